"""The peer of `benchmarks.accuracy`: SMP's Unet on EfficientNet-Lite0, in PyTorch.

Run by the Python of `benchmarks/requirements.txt`. The batches are ours, augmented
alike; the network, its ImageNet weights (those of our encoder, in timm's layers), the
losses and the loop are what a user of SMP writes, with our `--recipe modern`: AdamW
0.001, decay 0.01 that spares vectors, warm-up, cosine, clipping to 1, EMA of 0.999.
"""

from __future__ import annotations

import argparse
import math
import os
import pathlib
from collections.abc import Iterator

os.environ["KERAS_BACKEND"] = "torch"  # Of the batches alone.

import numpy as np
import segmentation_models_pytorch as smp
import torch

from benchmarks.accuracy_scores import pooled_dice, write_scores
from synergynet_tf.data.batches import Batches
from synergynet_tf.data.store import Store, open_folder
from synergynet_tf.models.lite0_weights import is_of_the_encoder, require_package
from synergynet_tf.models.torch_file import read_tensors

BATCH_SIZE = 8
LEARNING_RATE, DECAY, WARMUP_STEPS, CLIP_NORM, EMA = 1e-3, 0.01, 300, 1.0, 0.999


class Net(torch.nn.Module):
    """SMP's Unet behind Lite0's normalization of an image in [0, 1]."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.unet = smp.Unet(
            "tu-tf_efficientnet_lite0", encoder_weights=None, classes=classes
        )
        take_imagenet(self.unet.encoder.model)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Returns the logits."""
        return self.unet((255.0 * images - 127.0) / 128.0)


def take_imagenet(encoder: torch.nn.Module) -> None:
    """Gives timm's Lite0 the published weights, tensor by tensor in their order."""
    tensors = read_tensors(require_package())
    theirs = [value for name, value in tensors.items() if is_of_the_encoder(name)]
    state = encoder.state_dict()
    ours = [name for name in state if not name.endswith(".num_batches_tracked")]
    for name, value in zip(ours, theirs, strict=True):
        if state[name].shape != value.shape:
            raise ValueError(f"{name} has the shape {tuple(state[name].shape)}")
        state[name] = torch.from_numpy(np.array(value))
    encoder.load_state_dict(state)


def main() -> None:
    """Trains, and writes `history.csv`, a row an epoch."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("arrays", "out"):
        parser.add_argument(f"--{name}", required=True, type=pathlib.Path)
    for name in ("epochs", "seed"):
        parser.add_argument(f"--{name}", required=True, type=int)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    train, val = (open_folder(args.arrays / part) for part in ("train", "val"))
    batches = Batches(train, BATCH_SIZE, args.seed, True, "strong")
    classes = int(max(train.labels.max(), val.labels.max())) + 1
    net = Net(classes).to(memory_format=torch.channels_last)
    averages = [weight.detach().clone() for weight in net.parameters()]
    steps = args.epochs * len(batches)
    optimizer = torch.optim.AdamW(
        [
            {"params": [w for w in net.parameters() if w.ndim > 1]},
            {"params": [w for w in net.parameters() if w.ndim == 1], "weight_decay": 0},
        ],
        LEARNING_RATE,
        weight_decay=DECAY,
    )
    warmup = min(WARMUP_STEPS, steps // 10)

    def share(step: int) -> float:
        rest = (step - warmup) / max(steps - warmup, 1)
        return (
            (step + 1) / warmup if step < warmup else 0.5 + math.cos(math.pi * rest) / 2
        )

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
    cross_entropy = torch.nn.CrossEntropyLoss()
    dice = smp.losses.DiceLoss("multiclass")
    scores: list[float] = []
    args.out.mkdir(parents=True, exist_ok=True)
    for epoch in range(args.epochs):
        net.train()
        for step in range(len(batches)):
            images, labels = as_tensors(*batches.batch(epoch, step))
            optimizer.zero_grad(set_to_none=True)
            logits = net(images)
            loss = cross_entropy(logits, labels) + dice(logits, labels)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), CLIP_NORM)
            optimizer.step()
            schedule.step()
            number = epoch * len(batches) + step
            decay = min(EMA, number / (10 + number))
            with torch.no_grad():
                torch._foreach_lerp_(averages, list(net.parameters()), 1 - decay)
        scores.append(validate(net, averages, val, classes))
        write_scores(args.out / "history.csv", scores)


def as_tensors(
    images: np.ndarray, labels: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns a batch as PyTorch takes it; the channels stay last in memory."""
    return torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels).long()


def validate(
    net: Net, averages: list[torch.Tensor], store: Store, classes: int
) -> float:
    """Returns the validation DSC of the averaged weights."""
    weights = [weight.detach().clone() for weight in net.parameters()]
    net.eval()
    batches = Batches(store, BATCH_SIZE, 0, False)

    def labeled() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for step in range(len(batches)):
            images, labels = batches.batch(0, step)
            logits = net(as_tensors(images, labels)[0])
            yield labels, logits.argmax(1).numpy()

    with torch.no_grad():
        _assign(net, averages)
        score = pooled_dice(labeled(), classes)
        _assign(net, weights)
    return score


def _assign(net: Net, values: list[torch.Tensor]) -> None:
    for weight, value in zip(net.parameters(), values, strict=True):
        weight.copy_(value)


if __name__ == "__main__":
    main()
