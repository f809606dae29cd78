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


def jackknifed_means(values, patients):
    return resample_means(values, bootstrap.leave_one_out(patients)).means


def test_leave_one_out_by_hand():
    assert bootstrap.leave_one_out(["b", "a", "b", "c"]).tolist() == [
        [1, 0, 1, 1],
        [0, 1, 0, 1],
        [1, 1, 1, 0],
    ]


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).beta(5, 1, size=20),
        np.random.default_rng(1).exponential(size=13),
        # Eight whole numbers have exact means: many resamples equal the estimate.
        np.array([0.0, 1, 2, 4, 4, 5, 9, 15]),
    ],
    ids=["beta", "exponential", "ties"],
)
def test_bca_is_scipys_on_the_same_resamples(values):
    found = stats.bootstrap((values,), np.mean, n_resamples=2000, method="BCa", rng=0)
    patients = [str(number) for number in range(len(values))]
    resamples = Resamples(found.bootstrap_distribution, True)
    ends = bootstrap.bca_interval(
        resamples, float(values.mean()), jackknifed_means(values, patients)
    )
    assert ends == pytest.approx(tuple(found.confidence_interval), rel=1e-9)
    # It is not the percentile interval.
    assert ends != pytest.approx(interval(resamples), rel=1e-3)


def test_bca_of_two_sources_is_scipys_of_two_samples():
    rng = np.random.default_rng(2)
    samples = rng.exponential(size=9), rng.beta(5, 1, size=14)

    def difference(first, second, axis=-1):
        return first.mean(axis=axis) - second.mean(axis=axis)

    found = stats.bootstrap(samples, difference, n_resamples=2000, method="BCa", rng=0)
    means = [values.mean() for values in samples]
    left_out = [
        jackknifed_means(values, [str(number) for number in range(len(values))])
        for values in samples
    ]
    ends = bootstrap.bca_interval(
        Resamples(found.bootstrap_distribution, True),
        float(means[0] - means[1]),
        left_out[0] - means[1],
        means[0] - left_out[1],
    )
    assert ends == pytest.approx(tuple(found.confidence_interval), rel=1e-9)


def test_bca_by_hand():
    # Half of the means are below the estimate, and nothing is skewed: percentiles.
    means = np.arange(201.0)
    symmetric = np.array([99.0, 100.0, 101.0])
    found = bootstrap.bca_interval(Resamples(means, True), 100.0, symmetric)
    assert found == pytest.approx((5.0, 195.0))
    # u = 2, -1, -1: a = 6 / (6 * 6^1.5) = 0.068.
    skewed = np.array([98.0, 101.0, 101.0])
    assert bootstrap.acceleration(skewed) == pytest.approx(6**-1.5)
    # z0 = 0: the ends are P(z / (1 - a z)), z = -1.96 and 1.96.
    low, high = bootstrap.bca_interval(Resamples(means, True), 100.0, skewed)
    z, a = stats.norm.ppf(0.975), 6**-1.5
    assert low == pytest.approx(200 * stats.norm.cdf(-z / (1 + a * z)))
    assert high == pytest.approx(200 * stats.norm.cdf(z / (1 - a * z)))


def test_bca_of_several_cases_a_patient_is_that_of_means_of_patients():
    rng = np.random.default_rng(4)
    values, owners = rng.beta(5, 1, size=(9, 2)), [str(n) for n in range(9)]
    twice = [owner for owner in owners for _ in range(2)]
    of_cases, of_patients = (
        bootstrap.bca_interval(
            resample_means(scores, draw_patients(patients)),
            float(values.mean()),
            jackknifed_means(scores, patients),
        )
        for scores, patients in (
            (values.ravel().tolist(), twice),
            (values.mean(axis=1).tolist(), owners),
        )
    )
    assert of_cases == pytest.approx(of_patients)


@pytest.mark.parametrize(
    ("patients", "values", "expected"),
    [
        ("a", [0.5], math.nan),
        ("aa", [0.5, 0.7], math.nan),
        ("aab", [0.5, 0.7, math.nan], math.nan),
        ("ab", [math.nan, math.nan], math.nan),
        ("abc", [0.1, 0.1, 0.1], 0.1),
        ("abcd", [0.1, 0.1, math.nan, 0.1], 0.1),
    ],
)
def test_bca_of_degenerate_cases(patients, values, expected):
    patients = list(patients)
    defined = [value for value in values if not math.isnan(value)]
    found = bootstrap.bca_interval(
        resample_means(values, draw_patients(patients)),
        # Not exactly 0.1, but for rounding.
        sum(defined) / len(defined) if defined else math.nan,
        jackknifed_means(values, patients),
    )
    assert found == pytest.approx((expected, expected), nan_ok=True)


def test_bca_with_all_means_on_one_side_is_undefined():
    resamples = Resamples(np.array([1.0, 2.0, 3.0]), True)
    assert is_undefined(bootstrap.bca_interval(resamples, 0.5, np.array([1.0, 2.0])))


def test_bca_leaves_out_what_is_undefined():
    means = np.concatenate([np.arange(201.0), np.full(7, math.nan)])
    left_out = np.array([98.0, math.nan, 101.0, 101.0])
    assert bootstrap.bca_interval(
        Resamples(means, True), 100.0, left_out
    ) == bootstrap.bca_interval(
        Resamples(means[:201], True), 100.0, left_out[[0, 2, 3]]
    )


def test_bca_of_classes_and_of_their_mean():
    rng = np.random.default_rng(5)
    patients = list("aabbccddee")
    cases = [
        {"x": {"dsc": float(rng.beta(5, 1))}, "y": {"dsc": float(rng.beta(5, 1))}}
        for _ in patients
    ]
    cases[3]["y"]["dsc"] = math.nan
    draws, left_out = draw_patients(patients), bootstrap.leave_one_out(patients)
    resampled, jackknifed = (
        bootstrap.resample_averages(cases, weights) for weights in (draws, left_out)
    )
    per_class = metrics.average(cases)
    by_class = bootstrap.bca_class_intervals(resampled, jackknifed, per_class)
    values = [case["y"]["dsc"] for case in cases]
    assert by_class["y"]["dsc"] == bootstrap.bca_interval(
        resample_means(values, draws),
        per_class["y"]["dsc"],
        jackknifed_means(values, patients),
    )
    mean = bootstrap.bca_class_intervals(
        {"": bootstrap.resampled_means(resampled)},
        {"": bootstrap.resampled_means(jackknifed)},
        {"": metrics.mean_of_classes(per_class)},
    )[""]["dsc"]
    both = [resampled[name]["dsc"].means for name in "xy"]
    both_left_out = [jackknifed[name]["dsc"].means for name in "xy"]
    assert mean == pytest.approx(
        bootstrap.bca_interval(
            Resamples(np.mean(both, axis=0), True),
            (per_class["x"]["dsc"] + per_class["y"]["dsc"]) / 2,
            np.mean(both_left_out, axis=0),
        )
    )


def test_bca_of_pools():
    # A quarter of the pixels each, or all right.
    counts = [{"a": metrics.Counts(1, 1, 1, 1)}, {"a": metrics.Counts(4, 0, 0, 0)}] * 3
    patients = list("uvwxyz")
    resampled, jackknifed = (
        bootstrap.resample_pools(counts, weights)
        for weights in (draw_patients(patients), bootstrap.leave_one_out(patients))
    )
    # Without one of the first: (2 + 12) tp, 2 fp, 2 fn; of the second (3 + 8), 3, 3.
    assert sorted(set(jackknifed["a"]["dsc"].means.tolist())) == pytest.approx(
        [22 / 28, 28 / 32]
    )
    per_class = metrics.pool(counts)
    low, high = bootstrap.bca_class_intervals(resampled, jackknifed, per_class)["a"][
        "dsc"
    ]
    assert 0.5 <= low < per_class["a"]["dsc"] < high <= 1


def test_seeds_are_drawn_apart_from_patients():
    seeds = bootstrap.draw_seeds(4, resamples=50)
    assert (seeds.sum(axis=1) == 4).all()
    assert np.array_equal(seeds, bootstrap.draw_seeds(4, resamples=50))
    assert not np.array_equal(seeds, draw_patients(list("abcd"), resamples=50))


def test_resamples_of_seeds_by_hand():
    of_seeds = [
        Resamples(np.array([0.2, 0.4, math.nan]), True),
        Resamples(np.array([0.5, math.nan, math.nan]), True),
    ]
    weights = np.array([[2.0, 1], [1, 1], [0, 2]])
    # (0.2 + 0.2 + 0.5) / 3; 0.4 alone; none.
    means, several = bootstrap.resample_seeds(of_seeds, weights)
    assert means == pytest.approx([0.3, 0.4, math.nan], nan_ok=True)
    assert several


def test_several_seeds_are_one_method():
    patients = [str(number) for number in range(200)]
    draws, values = draw_patients(patients), np.linspace(0.4, 0.6, 200)
    # Patients add sqrt(0.2^2 / 12 / 200) = 0.0041 to the deviation, seeds, as they are
    # drawn, sqrt(0.02 / 3 / 3) = 0.0471.
    means = [0.4, 0.5, 0.6]
    of_seeds = [resample_means(values + mean - 0.5, draws) for mean in means]
    found = bootstrap.summarize_seeds(means, of_seeds)
    assert (found.mean, found.sd) == pytest.approx((0.5, 0.1))
    # One in 27 draws has the lowest seed alone, at 0.4 and the patients' 0.0041.
    assert found.interval == pytest.approx((0.4, 0.6), abs=0.01)
    low, high = interval(of_seeds[1])
    assert high - low == pytest.approx(2 * 1.96 * 0.0041, rel=0.1)


def test_one_seed_has_no_deviation_and_the_interval_of_patients():
    resamples = resample_means([0.2, 0.4, 0.6], draw_patients(list("abc")))
    found = bootstrap.summarize_seeds([0.4], [resamples])
    assert found.mean == 0.4 and math.isnan(found.sd)
    assert found.interval == interval(resamples)
    # A seed without a score is left out.
    undefined = Resamples(np.full(2000, math.nan), False)
    of_both = bootstrap.summarize_seeds([0.4, math.nan], [resamples, undefined])
    assert (of_both.mean, of_both.interval) == (found.mean, found.interval)
    assert math.isnan(of_both.sd)
    nothing = bootstrap.summarize_seeds([math.nan], [undefined])
    assert math.isnan(nothing.mean) and is_undefined(nothing.interval)


def test_ranks_by_hand():
    drawn = {
        "a": [0.9, 0.9, 0.5, math.nan],
        "b": [0.8, 0.8, 0.8, 0.9],
        "c": [0.1, 0.8, 0.6, 0.1],
    }
    resampled = {
        name: Resamples(np.array(means), True) for name, means in drawn.items()
    }
    found = bootstrap.rank_methods({"a": 0.9, "b": 0.8, "c": 0.8}, resampled, +1)
    assert [found[name].rank for name in "abc"] == [1, 2, 2]
    # Of three resamples; the fourth has no value of a. b: second, second (with c),
    # first. c: third, second, second.
    assert found["a"].shares == pytest.approx((2 / 3, 0, 1 / 3))
    assert found["b"].shares == pytest.approx((1 / 3, 2 / 3, 0))
    assert found["c"].shares == pytest.approx((0, 2 / 3, 1 / 3))
    # Of distances the lowest is the best.
    lowest = bootstrap.rank_methods({"a": 0.9, "b": 0.8, "c": 0.8}, resampled, -1)
    assert [lowest[name].rank for name in "abc"] == [3, 1, 1]
    assert lowest["c"].shares == pytest.approx((2 / 3, 1 / 3, 0))


def test_a_method_without_a_mean_has_no_rank():
    some = Resamples(np.array([0.5, 0.6]), True)
    none = Resamples(np.full(2, math.nan), False)
    found = bootstrap.rank_methods({"a": math.nan, "b": 0.5}, {"a": none, "b": some}, 1)
    assert math.isnan(found["a"].rank) and all(map(math.isnan, found["a"].shares))
    assert found["b"] == (1, (1.0, 0.0))
    of_one = bootstrap.rank_methods({"b": 0.5}, {"b": Resamples(some.means, False)}, 1)
    assert of_one["b"].rank == 1 and all(map(math.isnan, of_one["b"].shares))


def test_rank_biserial_by_hand():
    patients = list("abcd")
    # Ranks 1, 2, 3, 4, the third negative: (1 + 2 + 4 - 3) / 10.
    assert bootstrap.rank_biserial([0.1, 0.2, -0.3, 0.4], patients) == 0.4
    # Equal ones share the mean rank: 1.5 - 1.5.
    assert bootstrap.rank_biserial([0.1, -0.1], list("ab")) == 0.0
    # The patient without one is left out: it has no rank.
    assert bootstrap.rank_biserial([0.1, 0.2, 0.0], list("abc")) == 1.0
    assert bootstrap.rank_biserial([0.1, 0.2], list("ab")) == 1.0
    assert bootstrap.rank_biserial([0.0, 0.0], list("ab")) == 0.0
    # Cases of a patient are averaged: 0.1 and -0.2.
    assert bootstrap.rank_biserial([0.4, -0.2, -0.2], list("aab")) == -1 / 3


def test_rank_biserial_has_wilcoxons_statistic():
    differences = np.random.default_rng(6).normal(size=11)
    patients = [str(number) for number in range(11)]
    smaller = stats.wilcoxon(differences).statistic
    # r = 1 - 2 W / (n (n + 1) / 2), of the smaller sum W.
    assert abs(bootstrap.rank_biserial(differences, patients)) == pytest.approx(
        1 - 2 * smaller / 66
    )


def test_cohens_d_z_by_hand():
    # Mean 2, deviation 1; the cases of the second patient are averaged.
    assert bootstrap.cohens_d_z([1, 1, 3, 3], list("abbc")) == pytest.approx(2.0)
    assert bootstrap.cohens_d_z([0.0, 0.0], list("ab")) == 0.0
    assert math.isnan(bootstrap.cohens_d_z([0.5, 0.6], list("aa")))
    assert math.isnan(bootstrap.cohens_d_z([0.1] * 5, list("aaabc")))


@pytest.mark.parametrize(
    "effect", [bootstrap.rank_biserial, bootstrap.cohens_d_z, bootstrap.signed_rank_p]
)
def test_undefined_differences_are_refused(effect):
    with pytest.raises(ValueError, match="nan"):
        effect([0.1, math.nan], ["a", "b"])
