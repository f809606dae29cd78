import math

import numpy as np
import pytest

from synergynet_tf.metrics import (
    accuracy,
    dice,
    dice_of_classes,
    iou,
    sensitivity,
    specificity,
)
from synergynet_tf.metrics.overlap import Counts, count, total

RATIOS = (dice, iou, accuracy, sensitivity, specificity)
EMPTY = np.zeros((2, 5), bool)
FULL = np.ones((2, 5), bool)
# TP 4, FP 1, FN 2, TN 3.
TRUE = np.array([[1, 1, 1, 1, 1], [1, 0, 0, 0, 0]], bool)
PRED = np.array([[1, 1, 1, 0, 0], [1, 1, 0, 0, 0]], bool)


def test_counts_by_hand():
    assert count(TRUE, PRED) == Counts(4, 1, 2, 3)


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (dice, 2 * 4 / (6 + 5)),
        (iou, 4 / 7),
        (accuracy, 7 / 10),
        (sensitivity, 4 / 6),
        (specificity, 3 / 4),
    ],
)
def test_ratios_by_hand(ratio, expected):
    assert ratio(TRUE, PRED) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("true", "pred", "expected"),
    [  # dice, iou, accuracy, sensitivity, specificity
        (EMPTY, EMPTY, (math.nan, math.nan, 1.0, math.nan, 1.0)),
        (EMPTY, PRED, (0.0, 0.0, 0.5, math.nan, 0.5)),
        (TRUE, EMPTY, (0.0, 0.0, 0.4, 0.0, 1.0)),
        (FULL, FULL, (1.0, 1.0, 1.0, 1.0, math.nan)),
    ],
)
def test_edges(true, pred, expected):
    values = [ratio(true, pred) for ratio in RATIOS]
    assert values == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 3, 4), (2, 2, 2, 2)])
def test_any_rank(shape):
    rng = np.random.default_rng(0)
    true, pred = rng.random((2, *shape)) < 0.5
    assert dice(true, pred) == dice(true.ravel(), pred.ravel())


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize(
    ("true", "pred", "message"),
    [
        (TRUE.astype(np.uint8), PRED, "`true` must be a boolean mask"),
        (TRUE, PRED.astype(np.float32), "`pred` must be a boolean mask"),
        (TRUE, PRED[:, :4], "one shape"),
    ],
)
def test_wrong_masks_are_refused(ratio, true, pred, message):
    with pytest.raises(ValueError, match=message):
        ratio(true, pred)


def test_total_adds_entry_by_entry():
    assert total([Counts(1, 2, 3, 4), Counts(10, 20, 30, 40)]) == (11, 22, 33, 44)


def test_fractions_sum_to_one():
    assert Counts(4, 1, 2, 3).fractions() == pytest.approx((0.4, 0.1, 0.2, 0.3))


def test_dice_of_each_class_by_hand():
    true, pred = np.zeros((2, 4, 4), np.uint8)
    true[0, :2], pred[0, :1], pred[3, 0] = 1, 1, 2
    one, two, three = dice_of_classes(true, pred, 3)
    assert (one, two) == (pytest.approx(2 / 3), 0) and np.isnan(three)
