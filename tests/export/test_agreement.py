import math

import numpy as np
import pytest

from synergynet_tf.export.agreement import LIMITS, Tally, mean_dsc
from synergynet_tf.export.parity_report import outside, spread
from synergynet_tf.metrics import dice_of_classes


def labels(*values):
    return np.array([[values]], np.uint8)


def test_differences_add_up_over_cases():
    tally = Tally(num_classes=2)
    tally.add_logits(np.zeros((1, 1, 2, 3)), np.full((1, 1, 2, 3), -0.25))
    tally.add_logits(np.ones((2, 1, 2, 3)), np.ones((2, 1, 2, 3)))
    assert tally.largest_logit_difference == 0.25
    tally.add_codes(np.array([[[1, 2]]]), np.array([[[1, 3]]]))
    tally.add_codes(np.array([[[5, 5]]]), np.array([[[5, 5]]]))
    assert tally.codes_changed == 0.25
    tally.add_labels(labels(1, 1, 0, 2), labels(1, 1, 0, 2), labels(1, 0, 0, 2))
    tally.add_labels(labels(1, 0, 0, 0), labels(1, 0, 0, 0), labels(1, 0, 0, 0))
    assert tally.labels_changed == 1 / 8
    # Class 1: 2 * 1 / (2 + 1) and 1; class 2: 1, and in the second case nothing.
    assert tally.dsc == pytest.approx(((2 / 3 + 1) / 2 + 1) / 2)


def test_without_a_codebook_no_share_of_codes():
    assert Tally(1).codes_changed is None


def test_logits_that_are_not_finite_are_infinitely_far():
    tally = Tally(1)
    tally.add_logits(np.zeros((1, 2)), np.array([[0.0, np.nan]]))
    tally.add_logits(np.zeros((1, 2)), np.zeros((1, 2)))
    assert tally.largest_logit_difference == math.inf


def test_exports_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"logits have the shape \(1, 3\)"):
        Tally(1).add_logits(np.zeros((1, 2)), np.zeros((1, 3)))
    with pytest.raises(ValueError, match="codes have the shape"):
        Tally(1).add_codes(np.zeros((1, 2)), np.zeros((1, 3)))


def test_an_absent_class_is_not_scored():
    scores = dice_of_classes(labels(1, 0), labels(1, 0), 2)
    assert scores[0] == 1 and math.isnan(scores[1])
    assert mean_dsc([scores]) == 1
    assert math.isnan(mean_dsc([[math.nan]]))


@pytest.mark.parametrize(
    ("precision", "largest", "difference", "change", "count"),
    [
        ("none", 0.5, 1e-4, 1e-4, 0),
        ("none", 0.5, 2e-4, -2e-4, 2),
        ("none", 10.0, 9e-4, 0.0, 0),
        ("none", 10.0, 1.1e-3, 0.0, 1),
        ("none", 10.0, math.inf, 0.0, 1),
        ("none", 10.0, 0.0, math.nan, 1),
        ("float16", 10.0, 9.0, 0.002, 0),
        ("float16", 10.0, 9.0, -0.0021, 1),
        ("dynamic", 10.0, 9.0, 0.0051, 1),
        ("int8", 10.0, 9.0, -0.01, 0),
        ("int8", 10.0, 9.0, -0.011, 1),
    ],
)
def test_limits(precision, largest, difference, change, count):
    measured = {
        "largest_logit": largest,
        "largest_logit_difference": difference,
        "dsc_change": change,
        "codes_changed": None,
    }
    assert len(outside(measured, LIMITS[precision])) == count


def test_few_other_codes_are_rounding_and_many_are_not():
    measured = {
        "largest_logit": 1.0,
        "largest_logit_difference": 0.0,
        "dsc_change": 0.0,
        "codes_changed": 0.009,
    }
    assert outside(measured, LIMITS["none"]) == []
    measured["codes_changed"] = 0.011
    assert outside(measured, LIMITS["none"]) == ["1.1% of the codes differ"]
    assert outside(measured, LIMITS["int8"]) == []


def test_cases_are_spread_evenly():
    assert spread("abcdef", 3) == ["a", "c", "e"]
    assert spread("ab", 5) == ["a", "b"]
