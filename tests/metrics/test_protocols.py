import math

import numpy as np
import pytest

from synergynet_tf import metrics
from synergynet_tf.metrics import score_case

OVERLAP = {"dsc", "iou", "acc", "sp", "se"}


def labels(*pixels, shape=(2, 3, 4), value=1):
    result = np.zeros(shape, np.uint8)
    for pixel in pixels:
        result[pixel] = value
    return result


def score(true, pred, protocol, spacing=(3.0, 4.0, 12.0), names=("a",)):
    return score_case(true, pred, names, spacing, protocol)["a"]


ONE, NEXT, NONE = labels((0, 0, 0)), labels((0, 0, 1)), labels()
# Two slices of 3 mm, 3 rows of 4 mm, 4 columns of 12 mm.
DIAGONAL = math.hypot(6, 12, 48)


@pytest.mark.parametrize(
    ("true", "pred", "dsc", "hd95"),
    [
        (ONE, ONE, 1.0, 0.0),
        (ONE, NEXT, 0.0, 12.0),
        (ONE, NONE, 0.0, DIAGONAL),
        (NONE, ONE, 0.0, DIAGONAL),
        (NONE, NONE, math.nan, math.nan),
    ],
)
def test_strict(true, pred, dsc, hd95):
    scores = score(true, pred, "strict")
    assert (scores["dsc"], scores["hd95"]) == pytest.approx((dsc, hd95), nan_ok=True)


@pytest.mark.parametrize(
    ("true", "pred", "dsc", "hd95"),
    [
        (ONE, ONE, 1.0, 0.0),
        (ONE, NEXT, 0.0, 1.0),  # a voxel, whatever the spacing
        (ONE, NONE, 0.0, 0.0),
        (NONE, ONE, 1.0, 0.0),
        (NONE, NONE, 0.0, 0.0),
    ],
)
def test_transunet(true, pred, dsc, hd95):
    scores = score(true, pred, "transunet")
    assert (scores["dsc"], scores["hd95"]) == (dsc, hd95)


def test_pooling_the_directions_lowers_hd95():
    true = labels(*((0, 0, column) for column in range(5)), shape=(2, 1, 5))
    pred = labels((0, 0, 0), shape=(2, 1, 5))
    unit = (1.0, 1.0, 1.0)
    # One way 0, 1, 2, 3, 4 and the other way 0: of the six, the 95th percentile
    # lies at place 4.75; of the first five, at place 3.8.
    assert score(true, pred, "transunet", unit)["hd95"] == pytest.approx(3.75)
    assert score(true, pred, "strict", unit)["hd95"] == pytest.approx(3.8)


def test_strict_leaves_out_what_neither_has_and_only_that():
    assert all(math.isnan(value) for value in score(NONE, NONE, "strict").values())
    false = score(NONE, ONE, "strict")
    assert {name for name, value in false.items() if math.isnan(value)} == {"se"}
    missed = score(ONE, NONE, "strict")
    assert not any(math.isnan(value) for value in missed.values())
    assert missed["nsd"] == false["nsd"] == 0.0


def test_single_slice_is_scored_as_an_image():
    square = labels((0, slice(1, 6), slice(1, 6)), shape=(1, 7, 7))
    hollow = square.copy()
    hollow[0, 3, 3] = 0
    # The square's boundary is 16 of its 25 pixels. The hole makes its four
    # neighbors boundary too: one column (2 mm) or row (1 mm) inside the square's.
    # Of those 20 distances the 95th percentile is at place 18.05, among the last
    # two. In 3-D every pixel would be boundary and the percentile 0.
    scores = score_case(square, hollow, ("a",), (9.0, 1.0, 2.0))["a"]
    assert scores["hd95"] == 2.0
    missed = score_case(square, np.zeros_like(square), ("a",), (9.0, 1.0, 2.0))["a"]
    assert missed["hd95"] == pytest.approx(math.hypot(7, 14))


def test_tolerance_reaches_nsd():
    case = (ONE, NEXT, ("a",), (3.0, 4.0, 12.0))
    assert score_case(*case, tolerance_mm=12.0)["a"]["nsd"] == 1.0
    assert score_case(*case)["a"]["nsd"] == 0.0


def test_classes_are_label_values_in_order():
    true, pred = labels((0, 0, 0), value=2), labels((0, 0, 0), value=1)
    true[1], pred[1] = 2, 2
    scores = score_case(true, pred, ("a", "b"), (1, 1, 1))
    assert scores["a"]["dsc"] == 0.0  # false
    assert scores["b"]["dsc"] == pytest.approx(2 * 12 / (13 + 12))


@pytest.mark.parametrize("protocol", metrics.PROTOCOLS)
def test_every_protocol_returns_its_metrics(protocol):
    expected = OVERLAP if protocol == "pooled" else set(metrics.METRICS)
    assert set(score(ONE, NEXT, protocol)) == expected


def test_metrics_have_a_unit_and_a_direction():
    assert metrics.METRICS["hd95"] == ("mm", -1)
    assert {metrics.METRICS[name] for name in OVERLAP | {"nsd"}} == {("fraction", 1)}


def test_pool_weighs_cases_alike_whatever_their_size():
    small = (labels((0, 0, 0), shape=(1, 2, 2)), labels((0, 0, 0), shape=(1, 2, 2)))
    large = (labels((0, 0), shape=(1, 8, 8)), labels(shape=(1, 8, 8)))
    cases = [metrics.count_case(*case, ("a",)) for case in (small, large)]
    # TP 1/4 + 0, FN 0 + 1/8: dice 0.5 / (0.5 + 0.125), iou 0.25 / 0.375.
    pooled = metrics.pool(cases)["a"]
    assert pooled["dsc"] == pytest.approx(0.8)
    assert pooled["iou"] == pytest.approx(2 / 3)
    assert pooled["iou"] == pytest.approx(pooled["dsc"] / (2 - pooled["dsc"]))
    assert pooled["acc"] == pytest.approx((1 + 7 / 8) / 2)


def test_means_leave_out_the_undefined():
    cases = [
        {"a": {"dsc": 0.2}, "b": {"dsc": math.nan}, "c": {"dsc": math.nan}},
        {"a": {"dsc": 0.4}, "b": {"dsc": 0.9}, "c": {"dsc": math.nan}},
    ]
    per_class = metrics.average(cases)
    values = [per_class[name]["dsc"] for name in "abc"]
    assert values == pytest.approx([0.3, 0.9, math.nan], nan_ok=True)
    # Classes first over cases, then over classes: not the mean of 0.2, 0.4, 0.9.
    assert metrics.mean_of_classes(per_class)["dsc"] == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocol": "medpy"}, "one of strict, transunet, pooled.*'medpy'"),
        ({"pred": labels((0, 0, 0), value=2)}, "`pred_labels` must hold 0 to 1"),
        ({"true": labels((0, 0, 0), value=255)}, "`true_labels` must hold 0 to 1"),
        ({"pred": labels(shape=(2, 3, 5))}, "one shape"),
        ({"spacing": (1.0, 1.0)}, "spacing_mm"),
    ],
)
def test_wrong_input_is_refused(change, message):
    arguments = {"true": ONE, "pred": ONE, "protocol": "strict"} | change
    with pytest.raises(ValueError, match=message):
        score(**arguments)


def test_inputs_are_left_as_they_were():
    true, pred = ONE.copy(), NEXT.copy()
    for protocol in metrics.PROTOCOLS:
        score(true, pred, protocol)
    assert np.array_equal(true, ONE) and np.array_equal(pred, NEXT)
