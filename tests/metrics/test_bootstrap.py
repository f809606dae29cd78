import math

import numpy as np
import pytest
from scipy import stats

from synergynet_tf import metrics
from synergynet_tf.metrics import bootstrap
from synergynet_tf.metrics.bootstrap import (
    Resamples,
    central_range,
    draw_patients,
    interval,
    resample_means,
)


def test_patients_are_drawn_whole_and_as_many_as_there_are():
    weights = draw_patients(["a", "b", "a", "c"], resamples=50)
    assert weights.shape == (50, 4)
    assert np.array_equal(weights[:, 0], weights[:, 2])
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert set(weights[:, 1]) <= {0, 1, 2, 3}


def test_the_seed_decides():
    patients = [str(number) for number in range(9)]
    first, again, other = (draw_patients(patients, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_means_of_resamples_by_hand():
    weights = np.array([[1.0, 1, 1], [2, 0, 1], [0, 0, 3]])
    # (2 + 4) / 2; (2 * 2) / 2; no case with a value.
    means, several = resample_means([2.0, 4.0, math.nan], weights)
    assert means == pytest.approx([3.0, 2.0, math.nan], nan_ok=True)
    assert several


def test_central_range_by_hand():
    # Of 0 to 200 the 2.5th percentile is 5.
    assert central_range(np.arange(201.0)) == pytest.approx((5.0, 195.0))
    assert central_range(np.array([math.nan, 1.0])) == (1.0, 1.0)
    assert all(math.isnan(end) for end in central_range(np.full(3, math.nan)))


def is_undefined(ends):
    return all(math.isnan(end) for end in ends)


@pytest.mark.parametrize(
    ("patients", "values", "undefined"),
    [
        ("a", [0.5], True),
        ("aa", [0.5, 0.7], True),
        ("aab", [0.5, 0.7, math.nan], True),  # Of b nothing is known.
        ("ab", [0.5, 0.5], False),
        ("ab", [math.nan, math.nan], True),
    ],
)
def test_one_patient_has_no_interval(patients, values, undefined):
    found = interval(resample_means(values, draw_patients(list(patients))))
    assert is_undefined(found) == undefined
    if not undefined:
        assert found == (0.5, 0.5)


def test_one_patient_has_no_interval_of_pooled_counts():
    # A quarter of the pixels each: 2 * 1 / (2 * 1 + 1 + 1) = 0.5.
    counts = [{"a": metrics.Counts(1, 1, 1, 1)}] * 2
    of_one, of_two = (
        bootstrap.resample_pools(counts, draw_patients(patients))
        for patients in (["x", "x"], ["x", "y"])
    )
    assert is_undefined(bootstrap.class_intervals(of_one)["a"]["dsc"])
    assert is_undefined(bootstrap.mean_intervals(of_one)["dsc"])
    assert bootstrap.class_intervals(of_two)["a"]["dsc"] == (0.5, 0.5)


def test_mean_of_classes_has_an_interval_if_one_class_has():
    weights = draw_patients(["x", "y"])
    of_both = {"a": {"dsc": 0.2}, "b": {"dsc": 0.4}}
    cases = [of_both, {"a": {"dsc": 0.2}, "b": {"dsc": math.nan}}]
    resampled = bootstrap.resample_averages(cases, weights)
    by_class = bootstrap.class_intervals(resampled)
    assert by_class["a"]["dsc"] == pytest.approx((0.2, 0.2))
    assert is_undefined(by_class["b"]["dsc"])
    # y alone has only a, of 0.2; with x it is 0.3.
    mean = bootstrap.mean_intervals(resampled)["dsc"]
    assert mean == pytest.approx((0.2, 0.3))


def test_interval_is_scipys():
    values = np.random.default_rng(3).normal(size=40)
    weights = draw_patients([str(number) for number in range(40)])
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=2000, method="percentile", rng=0
    ).confidence_interval
    # Other draws: at 2,000 resamples an end varies by about 0.02 deviations.
    assert interval(resample_means(values, weights)) == pytest.approx(
        tuple(expected), abs=0.05
    )


def test_cases_of_one_patient_widen_the_interval():
    values = np.repeat(np.random.default_rng(0).normal(size=20), 10)
    apart = draw_patients([str(number) for number in range(200)])
    together = draw_patients([str(number // 10) for number in range(200)])
    narrow, wide = (interval(resample_means(values, w)) for w in (apart, together))
    # 200 cases that are 20 patients: the deviation is sqrt(10) times as large.
    ratio = (wide[1] - wide[0]) / (narrow[1] - narrow[0])
    assert ratio == pytest.approx(math.sqrt(10), rel=0.1)


def test_one_resample_of_every_case_once_is_the_mean():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (2, 4, 1, 6, 6)).astype(np.uint8)
    names, once = ("a", "b"), np.ones((1, 4))
    scores = [
        metrics.score_case(true, pred, names, (1, 1, 1))
        for true, pred in zip(*labels, strict=True)
    ]
    counts = [
        metrics.count_case(true, pred, names)
        for true, pred in zip(*labels, strict=True)
    ]
    for resampled, expected in (
        (bootstrap.resample_averages(scores, once), metrics.average(scores)),
        (bootstrap.resample_pools(counts, once), metrics.pool(counts)),
    ):
        averaged = bootstrap.resampled_means(resampled)
        for metric, value in metrics.mean_of_classes(expected).items():
            assert averaged[metric].means == pytest.approx([value])
            for name in names:
                means = resampled[name][metric].means
                assert means == pytest.approx([expected[name][metric]])


def test_a_class_that_was_not_drawn_is_left_out_of_the_mean():
    resampled = {
        "a": {"dsc": Resamples(np.array([0.2, math.nan]), True)},
        "b": {"dsc": Resamples(np.array([0.4, 0.8]), True)},
    }
    low, high = bootstrap.mean_intervals(resampled)["dsc"]
    # 0.3 and 0.8.
    assert (low, high) == pytest.approx((0.3 + 0.025 * 0.5, 0.3 + 0.975 * 0.5))


def test_signed_rank_by_hand():
    patients = list("abcdef")
    # Six differences of one sign: 2 of the 2^6 ways to choose signs are as extreme.
    differences = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert bootstrap.signed_rank_p(differences, patients) == pytest.approx(2 / 64)
    # A patient without a difference changes nothing.
    p = bootstrap.signed_rank_p([*differences, 0.0], [*patients, "g"])
    assert p == pytest.approx(2 / 64, rel=0.5)


def test_signed_rank_without_differences_is_one():
    assert bootstrap.signed_rank_p([0.0, 0.0], ["a", "b"]) == 1.0


def test_signed_rank_takes_a_difference_a_patient():
    patients = ["a", "a", "b", "b", "c", "c"]
    p = bootstrap.signed_rank_p([0.1, 0.3, 0.3, 0.5, 0.5, 0.8], patients)
    assert p == bootstrap.signed_rank_p([0.2, 0.4, 0.65], ["a", "b", "c"]) == 0.25


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.04: times 4, 3, 2, 1, each at least the one before.
    p_values = [0.04, 0.01, 0.03, 0.02]
    assert bootstrap.holm(p_values) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert bootstrap.holm([0.9, 0.8]) == [1.0, 1.0]
    assert bootstrap.holm([]) == []
