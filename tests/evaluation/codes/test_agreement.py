import numpy as np
import pytest

from synergynet_tf.evaluation.codes.agreement import (
    class_pixels,
    count_table,
    describe_codes,
    permuted,
)
from tests.evaluation.codes.coded_squares import SIZE, draw, make_case


def test_classes_below_each_position_by_hand():
    labels = np.array([[[0, 1, 2, 2], [1, 1, 2, 2], [0, 0, 0, 0], [0, 0, 0, 1]]])
    expected = [[[[1, 3, 0], [0, 0, 4]], [[4, 0, 0], [3, 1, 0]]]]
    np.testing.assert_array_equal(class_pixels(labels, 2, 3), expected)
    table = count_table(np.array([1, 0, 1, 3]), np.array(expected).reshape(4, 3), 4)
    expected = [[0, 0, 4], [5, 3, 0], [0, 0, 0], [3, 1, 0]]
    np.testing.assert_array_equal(table, expected)


def test_permutation_stays_within_groups():
    groups = np.array([2, 0, 2, 0, 1, 2, 2, 2])
    generator = np.random.default_rng(0)
    orders = [permuted(groups, generator) for _ in range(20)]
    for order in orders:
        np.testing.assert_array_equal(groups[order], groups)
        assert sorted(order) == list(range(8))
    assert len({tuple(order) for order in orders}) > 10


@pytest.fixture(scope="module")
def perfect():
    """Two cases in which white is the class and black is not, at varying places."""
    cases = []
    for name, seed in (("a", 0), ("b", 1)):
        grids = np.random.default_rng(seed).permuted(np.arange(16).reshape(1, 4, 4) < 4)
        images = draw(*grids)
        labels = images[..., 0].astype(np.uint8)
        cases.append(make_case(images, labels, name)[1])
    return cases


def test_codes_that_are_the_classes(perfect):
    found = describe_codes(perfect, 4, ["square"])
    assert found["used"] == 2
    agreement = found["agreement"]
    # A quarter of all is the class: 1/4 log2 4 + 3/4 log2 4/3 bits.
    bits = 0.25 * 2 + 0.75 * np.log2(4 / 3)
    assert agreement["mutual_information"] == pytest.approx(bits)
    assert agreement["class_entropy"] == pytest.approx(bits)
    assert agreement["homogeneity"] == pytest.approx(1)
    assert agreement["purity"] == 1
    assert agreement["interval"]["purity"] == (1, 1)
    for chance in agreement["chance"].values():
        assert chance["mutual_information"]["mean"] < 0.5 * bits
        assert 0.75 <= chance["purity"]["mean"] < 1
    black, white = found["codes"]
    assert (black["code"], white["code"]) == (0, 2)
    assert (white["uses"], white["cases"], white["majority"]) == (8, 2, "square")
    assert white["classes"] == {"background": 0, "square": 1}
    # One of each slice, of equals the first.
    assert [place["case_id"] for place in white["typical"]] == ["a", "b"]
    place = white["typical"][0]
    at = place["slice"] - 1, place["row"], place["column"]
    assert perfect[0].codes[at] == 2 and place["distance"] == 0


def test_typical_positions_are_the_nearest():
    grid = np.zeros((4, 4))
    grid[1, 2], grid[3, 0] = 0.8, 0.9
    other = np.zeros((4, 4))
    other[2, 2] = 1.0
    _, case = make_case(draw(grid, other), np.zeros((2, SIZE, SIZE), np.uint8))
    codes = {
        entry["code"]: entry for entry in describe_codes([case], 4, ["x"])["codes"]
    }
    typical = [(p["slice"], p["row"], p["column"]) for p in codes[2]["typical"]]
    assert typical == [(2, 2, 2), (1, 3, 0)]
    assert codes[2]["distance"] == pytest.approx(0.1, abs=1e-5)


def undefined(value):
    return bool(np.isnan(value).all())


def test_one_patient_and_one_slice_leave_nothing_to_compare_with(perfect):
    alone = describe_codes(perfect[:1], 4, ["square"])["agreement"]
    assert alone["purity"] == 1
    assert all(undefined(ends) for ends in alone["interval"].values())
    by_place = alone["chance"]["within_positions"]
    assert list(by_place) == ["purity", "mutual_information", "homogeneity"]
    for level in by_place.values():
        assert undefined(level["mean"]) and undefined(level["interval"])
    # 16 positions of one case can still be permuted.
    within = alone["chance"]["within_cases"]["purity"]
    assert 0.75 <= within["mean"] < 1 and not undefined(within["interval"])


def test_without_any_foreground_nothing_can_be_told():
    _, case = make_case(draw(np.eye(4)), np.zeros((1, SIZE, SIZE), np.uint8))
    agreement = describe_codes([case], 4, ["x"])["agreement"]
    assert agreement["mutual_information"] == 0 and agreement["purity"] == 1
    assert np.isnan(agreement["homogeneity"])
