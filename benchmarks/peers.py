"""PyTorch worker: segmentation-models-pytorch's Unet with a ResNet-50, the baseline.

Run by the Python of `benchmarks/requirements.txt`; nothing of ours is imported but the
protocol and the batch. Channels last, autocast for bfloat16, PyTorch's fused SGD, every
core. `setting` is how it is run: the benchmark tries each, and compares us with the
fastest.

    eager      PyTorch's default
    weights    of bfloat16 inference: the weights are bfloat16, too, so that autocast
               does not convert them at each call
    compiled   `torch.compile`
"""

from __future__ import annotations

import functools
from typing import Any

import segmentation_models_pytorch as smp
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import worker


def build(spec: dict[str, Any]) -> tuple[worker.Calls, dict[str, Any]]:
    """Returns what can be timed, and facts about it.

    Args:
        spec: That of `benchmarks.ours.build`, with a `setting` in `train` and `infer`.
    """
    calls, facts = {
        "train": _train,
        "infer": _infer,
        "gemm": _gemm,
        "operations": _operations,
    }[spec["mode"]](spec)
    if spec.get("setting") == "compiled":
        for call in calls.values():
            call()  # Here, where a compiler's failure is said before the rounds.
    versions = {
        "torch": torch.__version__,
        "segmentation-models-pytorch": smp.__version__,
    }
    return calls, {**facts, "versions": versions, "threads": torch.get_num_threads()}


def _unet() -> torch.nn.Module:
    torch.manual_seed(0)
    model = smp.Unet("resnet50", encoder_weights=None, classes=1)
    return model.to(memory_format=torch.channels_last)


def _train(spec: dict[str, Any]) -> tuple[worker.Calls, dict[str, Any]]:
    model = _unet().train()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4, fused=True
    )
    cross_entropy = torch.nn.BCEWithLogitsLoss()
    dice = smp.losses.DiceLoss("binary")
    forward = torch.compile(model) if spec["setting"] == "compiled" else model
    mixed = spec["precision"] == "bfloat16"

    def step(images: torch.Tensor, labels: torch.Tensor) -> float:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            logits = forward(images)
        logits = logits.float()
        loss = cross_entropy(logits, labels) + dice(logits, labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    calls = {}
    for batch in spec["batches"]:
        images = _images(batch, spec["image_size"])
        labels = torch.from_numpy(worker.labels(batch, spec["image_size"]))[:, None]
        calls[f"batch {batch}"] = functools.partial(step, images, labels.float())
    return calls, {}


def _infer(spec: dict[str, Any]) -> tuple[worker.Calls, dict[str, Any]]:
    model = _unet().eval()
    mixed = spec["precision"] == "bfloat16"
    whole = spec["setting"] == "weights"
    if whole:
        model = model.bfloat16()
    forward = torch.compile(model) if spec["setting"] == "compiled" else model

    @torch.inference_mode()
    def predict(images: torch.Tensor) -> Any:
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed and not whole):
            logits = forward(images.bfloat16() if whole else images)
        return logits.float().numpy()

    return {
        f"batch {batch}": functools.partial(predict, _images(batch, spec["image_size"]))
        for batch in spec["batches"]
    }, {}


def _images(batch: int, size: int) -> torch.Tensor:
    """Returns `(batch, 3, size, size)`, its channels last in memory."""
    return torch.from_numpy(worker.images(batch, size)).permute(0, 3, 1, 2)


def _gemm(spec: dict[str, Any]) -> tuple[worker.Calls, dict[str, Any]]:
    calls = {}
    for precision in spec["precisions"]:
        for size in spec["sizes"]:
            a, b = (
                torch.rand(size, size).to(getattr(torch, precision)) for _ in range(2)
            )
            calls[f"{precision} {size}"] = functools.partial(torch.mm, a, b)
    return calls, {}


def _operations(spec: dict[str, Any]) -> tuple[worker.Calls, dict[str, Any]]:
    model, images = _unet().eval(), _images(1, spec["image_size"])
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(images)
    return {}, {
        "operations": {role: counter.get_total_flops() for role in spec["roles"]}
    }


if __name__ == "__main__":
    worker.serve(build)
