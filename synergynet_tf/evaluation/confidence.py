"""Confidence in a predicted structure: the Dice that its probabilities expect.

Probabilities are those of the logits divided by a temperature, 1 unless
`evaluation.calibration` has fitted one.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.special import expit, softmax

from synergynet_tf.data.preprocess import to_labels


def to_probabilities(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Returns the probability of each foreground class at each pixel.

    Args:
        logits: float32 `(..., C)`: one is foreground, several are background and the
            classes.
        temperature: What the logits are divided by.

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
        temperature: What logits are divided by.
        overlap: float64 `(classes,)`: sum of the probabilities where the class is
            predicted.
        total: float64 `(classes,)`: sum of all its probabilities.
        pixels: int64 `(classes,)`: how many pixels it is predicted at.
    """

    temperature: float
    overlap: np.ndarray
    total: np.ndarray
    pixels: np.ndarray

    @classmethod
    def of(cls, num_classes: int, temperature: float = 1.0) -> Confidence:
        """Returns one that has seen no slice."""
        zeros = np.zeros(num_classes)
        return cls(temperature, zeros, zeros.copy(), np.zeros(num_classes, np.int64))

    def add(self, logits: np.ndarray) -> None:
        """Adds a slice: its logits `(rows, columns, C)`, on any grid."""
        labels = to_labels(logits)
        probabilities = to_probabilities(logits, self.temperature)
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
