"""Keras worker: our training step, prediction and GEMM, for `benchmarks.worker`.

Training is the package's own step, as `fit` compiles it; a prediction goes the way that
evaluate.py and predict.py go.
"""

from __future__ import annotations

import functools
from typing import Any

import keras

from benchmarks import worker
from synergynet_tf.config import ExperimentConfig
from synergynet_tf.evaluation.predictor import Predictor
from synergynet_tf.models import build_model, cost
from synergynet_tf.training.fit import compiled_model

# Of the learning rate's schedule, which ends long after the benchmark.
STEPS = 100_000


def build(spec: dict[str, Any]) -> tuple[worker.Calls, dict[str, Any]]:
    """Returns what can be timed, and facts about it.

    Args:
        spec: `{"mode": "train" | "infer", "role", "precision", "batches",
            "image_size"}`, `{"mode": "gemm", "sizes", "precisions"}`, or
            `{"mode": "operations", "roles", "image_size"}`.
    """
    return {
        "train": _train,
        "infer": _infer,
        "gemm": _gemm,
        "operations": _operations,
    }[spec["mode"]](spec)


def _config(role: str, spec: dict[str, Any]) -> ExperimentConfig:
    name, _, encoder = role.partition(" on ")
    config = ExperimentConfig()
    return config.replace(
        name=name,
        backbone=encoder or config.model.backbone,
        image_size=spec["image_size"],
        encoder_weights="none",
        precision=spec.get("precision", "float32"),
    )


def _train(spec: dict[str, Any]) -> tuple[worker.Calls, dict[str, Any]]:
    model = compiled_model(_config(spec["role"], spec), STEPS)
    calls = {}
    for batch in spec["batches"]:
        images = worker.images(batch, spec["image_size"])
        labels = worker.labels(batch, spec["image_size"])
        calls[f"batch {batch}"] = functools.partial(
            model.train_on_batch, images, labels
        )
    return calls, {}


def _infer(spec: dict[str, Any]) -> tuple[worker.Calls, dict[str, Any]]:
    config = _config(spec["role"], spec)
    if config.training.precision != "float32":
        keras.config.set_dtype_policy(f"mixed_{config.training.precision}")
    model = build_model(config.model)
    return {
        # Each its own, because a `Predictor` fills a batch up to its largest.
        f"batch {batch}": functools.partial(
            Predictor(model).predict_on_batch, worker.images(batch, spec["image_size"])
        )
        for batch in spec["batches"]
    }, {}


def _gemm(spec: dict[str, Any]) -> tuple[worker.Calls, dict[str, Any]]:
    def product(a: Any, b: Any) -> None:
        float(keras.ops.cast(keras.ops.matmul(a, b)[0, 0], "float32"))

    calls = {}
    for precision in spec["precisions"]:
        for size in spec["sizes"]:
            shape = (size, size)
            a, b = (keras.random.uniform(shape, dtype=precision) for _ in range(2))
            calls[f"{precision} {size}"] = functools.partial(product, a, b)
    return calls, {}


def _operations(spec: dict[str, Any]) -> tuple[worker.Calls, dict[str, Any]]:
    counted = {}
    for role in spec["roles"]:
        model = build_model(_config(role, spec).model)
        counted[role] = cost.count_operations(model)
    return {}, {"operations": counted}


if __name__ == "__main__":
    worker.serve(build)
