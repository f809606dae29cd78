"""Confidence in a predicted structure: the Dice that its probabilities expect."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.special import expit, softmax


def to_probabilities(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Returns the probability of each foreground class at each pixel.

    Args:
        logits: float32 `(..., C)`: one is foreground, several are background and the
            classes.
        temperature: Divisor of the logits; 1 unless `evaluation.calibration` has fitted
            another.

    Returns:
        float32 `(..., classes)`.
    """
    scaled = logits / np.float32(temperature)
    return expit(scaled) if logits.shape[-1] == 1 else softmax(scaled, -1)[..., 1:]


@dataclasses.dataclass(eq=False)
class Confidence:
    """Confidence in each class of an image or volume, slice by slice.

    `metrics.calibration.expected_dice` of the whole is the same number, but needs all
    slices at once.

    Attributes:
        overlap: float64 `(classes,)`: sum of the probabilities where the class is
            predicted.
        total: float64 `(classes,)`: sum of all its probabilities.
        pixels: int64 `(classes,)`: how many pixels it is predicted at.
    """

    overlap: np.ndarray
    total: np.ndarray
    pixels: np.ndarray

    @classmethod
    def of(cls, num_classes: int) -> Confidence:
        """Returns one that has seen no slice."""
        zeros = np.zeros(num_classes)
        return cls(zeros, zeros.copy(), np.zeros(num_classes, np.int64))

    def add(self, probabilities: np.ndarray, labels: np.ndarray) -> None:
        """Adds a slice.

        Args:
            probabilities: `(rows, columns, classes)`, on any grid.
            labels: uint8 `(rows, columns)`; class `i` has label `i + 1`.
        """
        for i in range(len(self.pixels)):
            mask, own = labels == i + 1, probabilities[..., i]
            self.overlap[i] += own.sum(dtype=np.float64, where=mask)
            self.total[i] += own.sum(dtype=np.float64)
            self.pixels[i] += np.count_nonzero(mask)

    def expected_dice(self) -> np.ndarray:
        """Returns float64 `(classes,)` in [0, 1]; `nan` for one not predicted."""
        undefined = np.full(len(self.pixels), np.nan)
        sums = self.total + self.pixels
        return np.divide(2 * self.overlap, sums, out=undefined, where=self.pixels > 0)
