import math

import numpy as np
import pytest

from synergynet_tf import metrics
from synergynet_tf.metrics import bin_case, bootstrap, calibration, expected_dice


def test_by_hand():
    probability = np.array([[0.9, 0.9, 0.9], [0.3, 0.3, 1.0]], np.float32)
    true = np.array([[True, True, False], [True, False, True]])
    bins = bin_case(true, probability)
    # 0.9 in bin 13 (from 0.8667), 0.3 in bin 4 (from 0.2667), 1.0 in the last.
    assert np.flatnonzero(bins.share).tolist() == [4, 13, 14]
    assert bins.share[[4, 13, 14]] == pytest.approx([2 / 6, 3 / 6, 1 / 6])
    # Gaps |0.9 - 2/3| of three pixels, |0.3 - 1/2| of two, |1 - 1| of one.
    assert bins.ece == pytest.approx((3 * (0.9 - 2 / 3) + 2 * 0.2) / 6)
    # 2 * 0.1^2 + 0.9^2 + 0.7^2 + 0.3^2 + 0.
    assert bins.brier == pytest.approx((0.02 + 0.81 + 0.49 + 0.09) / 6)


def test_a_bin_has_its_lower_end():
    edges = np.arange(16) / 15
    bins = bin_case(np.zeros(16, bool), edges)
    # The last bin has its upper end, too.
    assert bins.share * 16 == pytest.approx([1] * 14 + [2])


def test_over_and_under_confidence_of_one_bin_cancel():
    # Only whole bins are compared: 0.5 on average, half of them true.
    bins = bin_case(np.array([True, False]), np.array([0.49, 0.51]))
    assert bins.ece == pytest.approx(0.0)
    assert bins.brier == pytest.approx(0.51**2)


def test_a_calibrated_probability_has_no_error():
    rng = np.random.default_rng(0)
    probability = rng.random(200_000)
    true = rng.random(200_000) < probability
    bins = bin_case(true, probability)
    # 15 bins of 13,333 pixels: gaps of about sqrt(p (1 - p) / 13,333) < 0.0044.
    assert bins.ece < 0.005
    # The mean of p (1 - p) over [0, 1], give or take 0.0005.
    assert bins.brier == pytest.approx(1 / 6, abs=0.002)


def test_cases_weigh_alike():
    small = bin_case(np.array([True]), np.array([0.5]))
    large = bin_case(np.zeros(100, bool), np.full(100, 0.25))
    whole = metrics.total_bins([small, large])
    assert (small.ece, large.ece) == pytest.approx((0.5, 0.25))
    assert whole.ece == pytest.approx((0.5 + 0.25) / 2)
    assert whole.brier == pytest.approx((0.25 + 0.0625) / 2)


def test_only_the_region_counts():
    true = np.array([True, False, False])
    probability = np.array([0.5, 0.25, 0.0])
    region = np.array([True, True, False])
    assert bin_case(true, probability, region).brier == pytest.approx(
        bin_case(true[:2], probability[:2]).brier
    )
    nothing = bin_case(true, probability, np.zeros(3, bool))
    assert math.isnan(nothing.ece) and math.isnan(nothing.brier)


def cases_of(count):
    rng = np.random.default_rng(1)
    cases = []
    for _ in range(count):
        probability = rng.random((6, 7))
        cases.append(bin_case(rng.random((6, 7)) < probability**2, probability))
    return cases


def test_every_case_once_is_the_total():
    cases = cases_of(5)
    whole = metrics.total_bins(cases)
    resampled = metrics.resample_calibration(cases, np.ones((1, 5)))
    assert resampled["ece"].means == pytest.approx([whole.ece])
    assert resampled["brier"].means == pytest.approx([whole.brier])
    twice = metrics.resample_calibration(cases, np.array([[2.0, 1, 0, 0, 0]]))
    drawn = metrics.total_bins([cases[0], cases[0], cases[1]])
    assert twice["ece"].means == pytest.approx([drawn.ece])


def test_cases_without_pixels_are_left_out():
    empty = bin_case(np.zeros(0, bool), np.zeros(0))
    cases = [*cases_of(1), empty]
    resampled = metrics.resample_calibration(cases, np.array([[1.0, 1.0], [0.0, 2.0]]))
    assert resampled["brier"].means == pytest.approx(
        [cases[0].brier, math.nan], nan_ok=True
    )
    # Of two patients only one has a value.
    weights = bootstrap.draw_patients(["x", "y"])
    of_one = metrics.resample_calibration(cases, weights)["brier"]
    assert all(map(math.isnan, bootstrap.interval(of_one)))


def test_intervals_hold_the_brier_score():
    cases, patients = cases_of(12), [str(number // 2) for number in range(12)]
    draws, left_out = (
        metrics.resample_calibration(cases, weights)
        for weights in (
            metrics.draw_patients(patients),
            metrics.leave_one_out(patients),
        )
    )
    whole = metrics.total_bins(cases)
    for name, value in (("ece", whole.ece), ("brier", whole.brier)):
        low, high = metrics.bca_interval(draws[name], value, left_out[name].means)
        assert low < value < high


def test_expected_dice_by_hand():
    probability = np.array([[0.9, 0.6], [0.4, 0.1]])
    # 2 * 1.5 / (2.0 + 2).
    assert expected_dice(probability) == pytest.approx(0.75)
    # The mask that three classes gave: 2 * (0.9 + 0.6 + 0.4) / (2.0 + 3).
    pred = np.array([[True, True], [True, False]])
    assert expected_dice(probability, pred) == pytest.approx(0.76)
    assert expected_dice(np.array([1.0, 0.0])) == 1.0
    assert math.isnan(expected_dice(np.array([0.5, 0.1])))


def test_risk_coverage_by_hand():
    curve = metrics.risk_coverage([0.9, 0.2, 0.5, 0.7], [0.1, 0.5, 0.3, 0.4])
    # By confidence: 0.1, 0.4, 0.3, 0.5.
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert curve.risk == pytest.approx([0.1, 0.5 / 2, 0.8 / 3, 1.3 / 4])
    assert curve.area == pytest.approx((0.1 + 0.25 + 0.8 / 3 + 0.325) / 4)
    # By risk: 0.1, 0.3, 0.4, 0.5.
    assert curve.best_area == pytest.approx((0.1 + 0.2 + 0.8 / 3 + 0.325) / 4)
    assert curve.random_area == pytest.approx(0.325)


def test_equal_confidence_is_the_mean_over_orders():
    curve = metrics.risk_coverage([0.9, 0.5, 0.5], [0.0, 0.2, 0.6])
    # Second: 0.1 or 0.3.
    assert curve.risk == pytest.approx([0.0, 0.2, 0.8 / 3])
    of_nothing = metrics.risk_coverage([0.5] * 3, [0.0, 0.2, 0.7])
    assert (
        of_nothing.area == pytest.approx(of_nothing.random_area) == pytest.approx(0.3)
    )


def test_cases_without_a_confidence_or_risk_are_left_out():
    curve = metrics.risk_coverage([0.9, math.nan, 0.1], [0.2, 0.5, math.nan])
    assert curve.coverage.tolist() == [1.0] and curve.area == 0.2
    nothing = metrics.risk_coverage([math.nan], [0.5])
    assert not nothing.risk.size and math.isnan(nothing.area)


def test_areas_of_resamples_are_those_of_the_drawn():
    confidence, risk = [0.9, 0.2, 0.5, math.nan], [0.1, 0.5, 0.3, 0.4]
    weights = np.array([[1.0, 1, 1, 1], [2, 0, 1, 1], [0, 0, 0, 4]])
    areas = metrics.resample_areas(confidence, risk, weights)
    expected = [
        metrics.risk_coverage(confidence, risk).area,
        metrics.risk_coverage([0.9, 0.9, 0.5], [0.1, 0.1, 0.3]).area,
        math.nan,
    ]
    assert areas.means == pytest.approx(expected, nan_ok=True)
    assert areas.several


def test_wrong_probabilities_are_refused():
    true = np.array([True, False])
    for probability, said in (
        (np.array([0.5, 1.5]), "1.5"),
        (np.array([0.5, math.nan]), "nan"),
        (np.array([0.5]), "shape"),
    ):
        with pytest.raises(ValueError, match=said):
            bin_case(true, probability)
        with pytest.raises(ValueError, match=said):
            expected_dice(probability, true)
    with pytest.raises(ValueError, match="boolean"):
        bin_case(np.array([1, 0]), np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match="one shape"):
        bin_case(true, np.array([0.5, 0.5]), np.array([True]))
    assert calibration.NUM_BINS == 15
