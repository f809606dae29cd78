"""Validation DSC of the peers of `benchmarks.accuracy`, and the file they write it to.

NumPy and Python's library alone: the peers' environment runs this file.
"""

from __future__ import annotations

import csv
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np


def pooled_dice(pairs: Iterable[tuple[np.ndarray, np.ndarray]], classes: int) -> float:
    """Returns the DSC of all pixels as one, mean over classes but the background.

    As `training.pooled_dice.PooledDice`, by which a training of ours is judged; but a
    class that is neither there nor predicted counts as 0.

    Args:
        pairs: Ground truth and prediction, integers of one shape; taken one by one.
        classes: Number of classes, the background among them.
    """
    sums = np.zeros((3, classes), np.int64)
    for truth, prediction in pairs:
        for index in range(1, classes):
            true, pred = truth == index, prediction == index
            sums[:, index] += [(true & pred).sum(), true.sum(), pred.sum()]
    overlap, true, pred = sums[:, 1:]
    return float(np.mean(2 * overlap / np.maximum(true + pred, 1)))


def write_scores(path: pathlib.Path, scores: Sequence[float]) -> None:
    """Writes the validation DSC of each epoch so far, with columns as ours has."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "val_dsc"])
        writer.writerows(enumerate(scores, 1))
