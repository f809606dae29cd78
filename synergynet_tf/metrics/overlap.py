"""Overlap metrics: Dice, IoU, accuracy, sensitivity, specificity.

Every metric here is a ratio of the four counts of a confusion matrix. Where its
denominator is zero the ratio says nothing about the prediction, and is `nan`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np


class Counts(NamedTuple):
    """Confusion matrix: pixels, or any number that adds up like pixels.

    Counts are added with `total`, not with `+`, which joins tuples.

    Attributes:
        tp: True positives, in both masks.
        fp: False positives, in the prediction only.
        fn: False negatives, in the ground truth only.
        tn: True negatives, in neither mask.
    """

    tp: float
    fp: float
    fn: float
    tn: float

    @property
    def pixels(self) -> float:
        """All pixels that were counted."""
        return math.fsum(self)

    @property
    def ground_truth_is_empty(self) -> bool:
        """Whether the structure is absent from the ground truth."""
        return self.tp + self.fn == 0

    @property
    def prediction_is_empty(self) -> bool:
        """Whether the structure is absent from the prediction."""
        return self.tp + self.fp == 0

    @property
    def presence(self) -> str:
        """Says whether the masks have it: `both`, `empty`, `missed` or `false`."""
        if self.ground_truth_is_empty:
            return "empty" if self.prediction_is_empty else "false"
        return "missed" if self.prediction_is_empty else "both"

    @property
    def dice(self) -> float:
        """`2 |A and B| / (|A| + |B|)`; `nan` if both masks are empty."""
        errors = self.fp + self.fn
        return _ratio(2 * self.tp, 2 * self.tp + errors)

    @property
    def iou(self) -> float:
        """`|A and B| / |A or B|`; `nan` if both masks are empty."""
        return _ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def accuracy(self) -> float:
        """Share of pixels on which the masks agree; `nan` if there are no pixels."""
        return _ratio(self.tp + self.tn, self.pixels)

    @property
    def sensitivity(self) -> float:
        """Share of the ground truth that was found; `nan` if it is empty."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> float:
        """Share of the background left alone; `nan` if there is no background."""
        return _ratio(self.tn, self.tn + self.fp)

    def fractions(self) -> Counts:
        """Returns the counts as shares of the pixels, which sum to one."""
        return Counts(*(count / self.pixels for count in self))


def count(true: np.ndarray, pred: np.ndarray) -> Counts:
    """Counts the pixels of two masks.

    Args:
        true: The ground truth: bool, any rank.
        pred: The prediction: bool, same shape.

    Raises:
        ValueError: If the shapes differ or a mask is not boolean.
    """
    check_masks(true, pred)
    tp = int(np.count_nonzero(true & pred))
    fp = int(np.count_nonzero(pred)) - tp
    fn = int(np.count_nonzero(true)) - tp
    return Counts(tp, fp, fn, true.size - tp - fp - fn)


def total(counts: list[Counts]) -> Counts:
    """Adds confusion matrices, entry by entry."""
    return Counts(*(math.fsum(entries) for entries in zip(*counts, strict=True)))


def dice(true: np.ndarray, pred: np.ndarray) -> float:
    """Dice similarity coefficient of two masks, in [0, 1].

    dice = 2 |true and pred| / (|true| + |pred|)

    Args:
        true: The ground truth: bool, any rank.
        pred: The prediction: bool, same shape.

    Returns:
        0.0 when exactly one mask is empty, `nan` when both are.

    Raises:
        ValueError: If the shapes differ or a mask is not boolean.

    Example:
    >>> dice(np.array([True, True, False]), np.array([True, False, False]))
    0.6666666666666666
    """
    return count(true, pred).dice


def dice_of_classes(
    true_labels: np.ndarray, pred_labels: np.ndarray, num_classes: int
) -> list[float]:
    """Dice similarity coefficient of each foreground class of two label maps.

    Args:
        true_labels: The ground truth: integers, any rank; class `i` has label `i + 1`.
        pred_labels: The prediction, same shape.
        num_classes: Number of foreground classes.

    Returns:
        `dice` of each class, `nan` for one that neither has.

    Example:
    >>> dice_of_classes(np.array([0, 1, 1]), np.array([0, 1, 0]), 2)
    [0.6666666666666666, nan]
    """
    labels = range(1, num_classes + 1)
    return [dice(true_labels == label, pred_labels == label) for label in labels]


def iou(true: np.ndarray, pred: np.ndarray) -> float:
    """Intersection over union (Jaccard index) of two masks, in [0, 1].

    Arguments and errors are those of `dice`; so are the empty masks' values.
    """
    return count(true, pred).iou


def accuracy(true: np.ndarray, pred: np.ndarray) -> float:
    """Accuracy: share of pixels on which two masks agree, in [0, 1].

    Arguments and errors are those of `dice`. Two empty masks agree: 1.0.
    """
    return count(true, pred).accuracy


def sensitivity(true: np.ndarray, pred: np.ndarray) -> float:
    """Sensitivity (recall): share of the ground truth predicted, in [0, 1].

    Arguments and errors are those of `dice`. `nan` when the ground truth is empty.
    """
    return count(true, pred).sensitivity


def specificity(true: np.ndarray, pred: np.ndarray) -> float:
    """Specificity: share of the background left alone, in [0, 1].

    Arguments and errors are those of `dice`. `nan` when the ground truth fills the
    image, so that there is no background.
    """
    return count(true, pred).specificity


def check_masks(true: np.ndarray, pred: np.ndarray) -> None:
    """Refuses anything but two boolean masks of one shape.

    Raises:
        ValueError: If the shapes differ or a mask is not boolean.
    """
    for name, mask in (("true", true), ("pred", pred)):
        if mask.dtype != np.bool_:
            raise ValueError(
                f"`{name}` must be a boolean mask. Received: dtype={mask.dtype}"
            )
    if true.shape != pred.shape:
        raise ValueError(
            "`true` and `pred` must have one shape. "
            f"Received: {true.shape} and {pred.shape}"
        )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
