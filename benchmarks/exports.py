"""Latency of the exports for one image, beside the Keras model of their run."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import sys
from typing import Any

from benchmarks import startup, worker
from benchmarks.rounds import Spread, interleave, ratio
from synergynet_tf import runs
from synergynet_tf.export import tflite
from synergynet_tf.export.exported_model import find_exported

KERAS = "Keras"
CALL = "batch 1"


def build(spec: dict[str, Any]) -> tuple[worker.Calls, dict[str, Any]]:
    """Returns one prediction of a run or an exported model.

    Args:
        spec: `{"run" | "model": path, "image_size"}`.
    """
    if "run" in spec:
        from synergynet_tf.evaluation.predictor import Predictor, load_run_model

        predict = Predictor(load_run_model(runs.Run(spec["run"]))).predict_on_batch
    else:
        # A .tflite file runs without Keras and TensorFlow.
        predict = find_exported(spec["model"]).open().predict_on_batch
    image = worker.images(1, spec["image_size"])
    return {CALL: lambda: predict(image)}, {}


def measure(run: pathlib.Path, folder: pathlib.Path, rounds: int) -> dict[str, Any]:
    """Exports a run in every way, and times them in turn.

    Args:
        run: What `startup.train` made in `folder`.
        folder: Takes the exports.
        rounds: Turns of each.

    Returns:
        `model`: the method. `rows`: one for each way, by its name.
    """
    config = runs.Run(run).config.model
    specs = {KERAS: {"run": str(run)}} | {
        name: {"model": str(path)} for name, path in _export(run, folder).items()
    }
    command = [sys.executable, "-m", "benchmarks.exports"]
    with contextlib.ExitStack() as stack:
        workers = {
            name: stack.enter_context(
                worker.Worker(command, {**spec, "image_size": config.image_size})
            )
            for name, spec in specs.items()
        }
        for each in workers.values():
            each.facts()
        seconds = interleave(workers, CALL, rounds)
        peaks = {name: each.peak_mib for name, each in workers.items()}
    sizes = {KERAS: runs.Run(run).weights()} | {
        name: pathlib.Path(spec["model"])
        for name, spec in specs.items()
        if name != KERAS
    }
    return {
        "model": config.name,
        "rows": {
            name: {
                "seconds": dataclasses.asdict(Spread.of(values)),
                "rounds": values,
                "ratio": dataclasses.asdict(ratio(values, seconds[KERAS])),
                "megabytes": _bytes(sizes[name]) / 1e6,
                "peak_mib": peaks[name],
            }
            for name, values in seconds.items()
        },
    }


def _export(run: pathlib.Path, folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Calls the commands that export; returns what each wrote."""
    saved = folder / "saved_model"
    flags = ("--run", str(run), "--out")
    startup.call(("-m", "export.saved_model", *flags, str(saved)), folder)
    found = {"SavedModel": saved}
    for kind in tflite.KINDS:
        path = folder / f"{kind}.tflite"
        arguments = ("-m", "export.tflite", *flags, str(path), "--quantize", kind)
        startup.call(arguments, folder)
        found[f"TFLite, {kind}"] = path
    return found


def _bytes(path: pathlib.Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


if __name__ == "__main__":
    worker.serve(build)
