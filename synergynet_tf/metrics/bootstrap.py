"""Bootstrap confidence intervals by patient, Wilcoxon test, effect sizes, ranks.

Cases of one patient are alike, so patients are drawn, not cases: as many as there are,
with replacement, 2,000 times, and the mean is taken anew each time. The interval runs
from the 2.5th to the 97.5th percentile of these means (the percentile interval of
Efron and Tibshirani, 1993, An Introduction to the Bootstrap). The BCa interval takes
other percentiles, corrected for bias and skewness (Efron, 1987, J. Am. Stat. Assoc.
82:171-185). One patient is drawn the same each time and says nothing of others: its
interval is undefined, not narrow.

With few patients both intervals are too narrow; docs/intervals.md has by how much.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from synergynet_tf.metrics.overlap import Counts
from synergynet_tf.metrics.protocols import (
    ClassScores,
    overlap_scores,
)

RESAMPLES = 2000
SEED = 0
LEVEL = 0.95

# Means that differ by less, relative to the largest, are equal but for rounding.
ROUNDING = 1e-12
# From this many patients on the coverage is within 2 points of what is claimed.
ENOUGH_PATIENTS = 50

Interval = tuple[float, float]
ClassIntervals = dict[str, dict[str, Interval]]


class Coverage(NamedTuple):
    """Share of 95 % intervals that hold the true mean.

    Attributes:
        percentile: Coverage of percentile intervals, a fraction.
        bca: Coverage of BCa intervals, a fraction.
    """

    percentile: float
    bca: float


# By the number of patients, as `python -m studies.coverage` has measured it on DSC
# without misses: the first table of docs/intervals.md.
MEASURED_COVERAGE = {
    5: Coverage(0.807, 0.822),
    10: Coverage(0.881, 0.892),
    20: Coverage(0.911, 0.920),
    50: Coverage(0.932, 0.938),
}


class Resamples(NamedTuple):
    """Bootstrap distribution of a mean.

    Attributes:
        means: float64 `(resamples,)`: the mean of each resample, `nan` where no case
            with a value was drawn.
        several: Whether two patients or more have a value.
    """

    means: np.ndarray
    several: bool


# Resamples by class and metric.
Resampled = dict[str, dict[str, Resamples]]


def draw_patients(
    patients: Sequence[str], resamples: int = RESAMPLES, seed: int = SEED
) -> np.ndarray:
    """Draws bootstrap resamples: as many patients as there are, with replacement.

    Args:
        patients: Patient ID of each case.
        resamples: Number of resamples, at least 1.
        seed: Seed of the draw.

    Returns:
        float64 `(resamples, cases)`: how often each case was drawn. All cases of a
        patient are drawn together.
    """
    distinct, owner = np.unique(patients, return_inverse=True)
    share = np.full(len(distinct), 1 / len(distinct))
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(len(distinct), share, size=resamples)
    return drawn[:, owner].astype(np.float64)


def leave_one_out(patients: Sequence[str]) -> np.ndarray:
    """Makes the resamples of the jackknife: all cases but those of one patient.

    They go where those of `draw_patients` go, such as into `resample_averages`.

    Args:
        patients: Patient ID of each case.

    Returns:
        float64 `(patients, cases)`: 0 for the cases of the patient that is left out,
        1 for all others.
    """
    distinct, owner = np.unique(patients, return_inverse=True)
    return (np.arange(len(distinct))[:, None] != owner).astype(np.float64)


def are_several(weights: np.ndarray) -> bool:
    """Tells whether cases are of two patients or more: a draw then separates them.

    Args:
        weights: Weights of `draw_patients`, `(resamples, cases)`.
    """
    return bool((weights != weights[:, :1]).any())


def resample_means(values: Sequence[float], weights: np.ndarray) -> Resamples:
    """Computes the mean of each resample over the cases that have a value.

    Args:
        values: Value of each case; `nan` where undefined.
        weights: Weights of `draw_patients`, `(resamples, cases)`.
    """
    array = np.asarray(values, np.float64)
    defined = ~np.isnan(array)
    total, count = weights @ np.where(defined, array, 0.0), weights @ defined
    undefined = np.full(len(count), np.nan)
    means = np.divide(total, count, out=undefined, where=count > 0)
    return Resamples(means, are_several(weights[:, defined]))


def resample_averages(cases: Sequence[ClassScores], weights: np.ndarray) -> Resampled:
    """Averages the scores of each resample, as `average` does those of all cases."""
    return {
        name: {
            metric: resample_means([case[name][metric] for case in cases], weights)
            for metric in scores
        }
        for name, scores in cases[0].items()
    }


def resample_pools(
    cases: Sequence[dict[str, Counts]], weights: np.ndarray
) -> Resampled:
    """Pools the counts of each resample, as `pool` does those of all cases."""
    resampled, several = {}, are_several(weights)
    for name in cases[0]:
        pooled = weights @ np.array([case[name] for case in cases])
        scores = [overlap_scores(Counts(*map(float, counts))) for counts in pooled]
        resampled[name] = {
            metric: Resamples(np.array([score[metric] for score in scores]), several)
            for metric in scores[0]
        }
    return resampled


def interval(resamples: Resamples) -> Interval:
    """Returns the `central_range` of the means; `nan` of fewer than two patients."""
    return central_range(resamples.means) if resamples.several else (math.nan, math.nan)


def central_range(values: np.ndarray) -> Interval:
    """Returns the 2.5th and 97.5th percentile of those that are defined.

    Args:
        values: `(n,)`.

    Returns:
        Both `nan` if none is defined.
    """
    defined = values[~np.isnan(values)]
    if not defined.size:
        return math.nan, math.nan
    low, high = np.quantile(defined, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)


def bca_interval(
    resamples: Resamples, estimate: float, *jackknifed: np.ndarray
) -> Interval:
    """Bias-corrected and accelerated (BCa) interval of a mean.

    With `P` the normal distribution function, the ends are the percentiles

        P(z0 + (z0 + z) / (1 - a (z0 + z))),    z = -1.96 and 1.96
        z0 = P^-1(share of resamples below the estimate, half of those equal to it)
        a  = sum(u^3) / (6 sum(u^2)^1.5),       u = mean(jackknifed) - jackknifed

    of the means of the resamples. `scipy.stats.bootstrap(method="BCa")` has the same
    formulas, and the same sums over several samples.

    Args:
        resamples: Resamples with weights of `draw_patients`.
        estimate: Mean of all cases.
        jackknifed: `(n,)`: means of the same with the weights of `leave_one_out`. Where
            something is drawn besides patients, such as seeds, one array for each.
            Those that are `nan` are left out.

    Returns:
        `estimate` twice if all means are equal. Both `nan` with fewer than two
        patients, if no mean is defined, or if all means are on one side of the
        estimate, where `z0` is infinite.

    Reference:
        Efron, 1987, Better bootstrap confidence intervals, J. Am. Stat. Assoc.
        82:171-185; DiCiccio and Efron, 1996, Bootstrap confidence intervals,
        Stat. Sci. 11:189-228.
    """
    from scipy import special

    means = resamples.means[~np.isnan(resamples.means)]
    if not (resamples.several and means.size) or math.isnan(estimate):
        return math.nan, math.nan
    rounding = ROUNDING * np.abs(means).max()
    if np.abs(means - estimate).max() <= rounding:
        return estimate, estimate
    below = np.count_nonzero(means < estimate - rounding)
    above = np.count_nonzero(means > estimate + rounding)
    if not (below and above):
        return math.nan, math.nan
    z0 = special.ndtri((below + (means.size - below - above) / 2) / means.size)
    shifted = z0 + special.ndtri([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    ends = special.ndtr(z0 + shifted / (1 - acceleration(*jackknifed) * shifted))
    low, high = np.quantile(means, ends)
    return float(low), float(high)


def acceleration(*jackknifed: np.ndarray) -> float:
    """Returns `a` of `bca_interval`, which is 0 where all jackknifed are equal."""
    squares = cubes = 0.0
    for values in jackknifed:
        defined = values[~np.isnan(values)]
        if not defined.size:
            continue
        # Each source by its own number, as where several samples are drawn.
        moved = (defined.mean() - defined) * (defined.size - 1) / defined.size
        if np.abs(moved).max() <= ROUNDING * np.abs(defined).max():
            continue
        squares += float((moved**2).sum())
        cubes += float((moved**3).sum())
    return cubes / (6 * squares**1.5) if squares else 0.0


def bca_class_intervals(
    resampled: Resampled, jackknifed: Resampled, per_class: ClassScores
) -> ClassIntervals:
    """Returns the BCa interval of each class's mean.

    Args:
        resampled: Result of `resample_averages` or `resample_pools`, with weights of
            `draw_patients`.
        jackknifed: Result of the same function, with weights of `leave_one_out`.
        per_class: Result of `average` or `pool`.
    """
    return {
        name: {
            metric: bca_interval(
                resamples, per_class[name][metric], jackknifed[name][metric].means
            )
            for metric, resamples in by_metric.items()
        }
        for name, by_metric in resampled.items()
    }


def class_intervals(resampled: Resampled) -> ClassIntervals:
    """Returns the interval of each class's mean."""
    return {
        name: {metric: interval(resamples) for metric, resamples in by_metric.items()}
        for name, by_metric in resampled.items()
    }


def mean_intervals(resampled: Resampled) -> dict[str, Interval]:
    """Returns the interval of each mean over the classes that are defined."""
    averaged = resampled_means(resampled)
    return {metric: interval(resamples) for metric, resamples in averaged.items()}


def few_patients_warning(num_patients: int) -> str | None:
    """Says how far intervals of few patients can be trusted.

    Args:
        num_patients: Number of patients with a score.

    Returns:
        One line with the coverage that was measured with as many patients or the
        next smaller number; `None` from `ENOUGH_PATIENTS` on, and of no patient.

    Example:
    >>> print(few_patients_warning(12))
    12 patients are few: with 10, 95 % intervals held the true mean in 88 % of
    simulated data sets (BCa: 89 %). docs/intervals.md says more.
    """
    if num_patients >= ENOUGH_PATIENTS or num_patients < 1:
        return None
    if num_patients == 1:
        return "1 patient has no interval: it says nothing of others."
    smaller = [count for count in MEASURED_COVERAGE if count <= num_patients]
    measured = max(smaller, default=min(MEASURED_COVERAGE))
    percentile, bca = MEASURED_COVERAGE[measured]
    which = f"with {measured}" if smaller else f"even with {measured}"
    return (
        f"{num_patients} patients are few: {which}, 95 % intervals held the true mean "
        f"in {100 * percentile:.0f} % of simulated data sets (BCa: {100 * bca:.0f} %). "
        "docs/intervals.md says more."
    )


def resampled_means(resampled: Resampled) -> dict[str, Resamples]:
    """Averages each metric of each resample over the classes that are defined.

    They are of several patients if those of one class are.
    """
    averaged = {}
    for metric in next(iter(resampled.values())):
        of_classes = [by_metric[metric] for by_metric in resampled.values()]
        means = np.stack([resamples.means for resamples in of_classes])
        several = any(resamples.several for resamples in of_classes)
        defined = ~np.isnan(means)
        total, count = np.where(defined, means, 0.0).sum(axis=0), defined.sum(axis=0)
        undefined = np.full(total.shape, np.nan)
        averaged[metric] = Resamples(
            np.divide(total, count, out=undefined, where=count > 0), several
        )
    return averaged


class SeedScores(NamedTuple):
    """A method's score over the seeds it was trained with.

    Attributes:
        mean: Mean over the seeds.
        sd: Standard deviation over the seeds, `nan` of fewer than two.
        interval: Interval of the mean, with patients and seeds drawn. With one seed
            only patients are drawn, so that it says nothing about other seeds.
    """

    mean: float
    sd: float
    interval: Interval


def draw_seeds(
    num_seeds: int, resamples: int = RESAMPLES, seed: int = SEED
) -> np.ndarray:
    """Draws seeds of trainings as `draw_patients` draws patients.

    Args:
        num_seeds: Number of seeds, at least 1.
        resamples: Number of resamples, at least 1.
        seed: Seed of the draw. The same number draws independently of `draw_patients`.

    Returns:
        float64 `(resamples, num_seeds)`.
    """
    generator = np.random.default_rng((seed, 1))
    share = np.full(num_seeds, 1 / num_seeds)
    drawn = generator.multinomial(num_seeds, share, size=resamples)
    return drawn.astype(np.float64)


def resample_seeds(of_seeds: Sequence[Resamples], weights: np.ndarray) -> Resamples:
    """Averages each resample of patients over the seeds drawn for it.

    Patients and seeds are drawn independently: a pigeonhole bootstrap (Owen, 2007,
    Ann. Appl. Stat. 1:386-411).

    Args:
        of_seeds: Resamples of each seed, all from the same draw of patients.
        weights: Weights of `draw_seeds`, `(resamples, seeds)`.
    """
    means = np.stack([resamples.means for resamples in of_seeds], axis=1)
    defined = ~np.isnan(means)
    total = (weights * np.where(defined, means, 0.0)).sum(axis=1)
    count = (weights * defined).sum(axis=1)
    undefined = np.full(len(count), np.nan)
    averaged = np.divide(total, count, out=undefined, where=count > 0)
    return Resamples(averaged, any(resamples.several for resamples in of_seeds))


def summarize_seeds(
    means: Sequence[float], of_seeds: Sequence[Resamples], seed: int = SEED
) -> SeedScores:
    """Combines the scores of several seeds of one method.

    Args:
        means: The mean score of each seed; those that are `nan` are left out.
        of_seeds: The resamples of each, all from the same draw of patients.
        seed: Seed of the draw of seeds.
    """
    scored = [
        (mean, resamples)
        for mean, resamples in zip(means, of_seeds, strict=True)
        if not math.isnan(mean)
    ]
    if not scored:
        return SeedScores(math.nan, math.nan, (math.nan, math.nan))
    values = np.array([mean for mean, _ in scored])
    weights = draw_seeds(len(scored), len(scored[0][1].means), seed)
    drawn = resample_seeds([resamples for _, resamples in scored], weights)
    sd = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    return SeedScores(float(values.mean()), sd, interval(drawn))


class MethodRank(NamedTuple):
    """Rank of a method among others, and its stability.

    Attributes:
        rank: 1 is the best. Equal methods share the better rank: 1, 1, 3.
        shares: `shares[i]` is the share of resamples in which it has rank `i + 1`.
    """

    rank: float
    shares: tuple[float, ...]


def rank_methods(
    means: Mapping[str, float], resampled: Mapping[str, Resamples], direction: int
) -> dict[str, MethodRank]:
    """Ranks methods, and tells how stable their ranks are under the bootstrap.

    Args:
        means: The mean of each method.
        resampled: Resamples of each method, all from the same draw of patients.
        direction: +1 if higher is better, -1 if lower is, as in `METRICS`.

    Returns:
        For each method, in the order of `means`. A method without a mean has rank
        `nan` and is left out of the others' ranks; so is a resample in which one
        of the rest has none. With fewer than two patients the shares are `nan`.
    """
    undefined = (math.nan,) * len(means)
    ranked = [name for name, mean in means.items() if not math.isnan(mean)]
    found = {name: MethodRank(math.nan, undefined) for name in means}
    if not ranked:
        return found
    drawn = np.stack([resampled[name].means for name in ranked])
    drawn = drawn[:, ~np.isnan(drawn).any(axis=0)]
    ranks = _ranks(np.array([[means[name]] for name in ranked]), direction)[:, 0]
    of_resamples = _ranks(drawn, direction)
    stable = drawn.size and all(resampled[name].several for name in ranked)
    for name, rank, in_resamples in zip(ranked, ranks, of_resamples, strict=True):
        counts = np.bincount(in_resamples, minlength=len(means) + 1)[1:]
        shares = tuple((counts / counts.sum()).tolist()) if stable else undefined
        found[name] = MethodRank(float(rank), shares)
    return found


def _ranks(means: np.ndarray, direction: int) -> np.ndarray:
    """Returns for each entry of a column how many are better, plus 1."""
    better = direction * means[None] > direction * means[:, None]
    return 1 + better.sum(axis=1)


def signed_rank_p(differences: Sequence[float], patients: Sequence[str]) -> float:
    """Two-sided p of Wilcoxon's signed-rank test, a difference a patient.

    The cases of a patient are averaged first, because the test takes its differences
    for independent. Patients without a difference are left out, as Wilcoxon does.

    Args:
        differences: Difference of each case, none `nan`.
        patients: Patient ID of each case.

    Returns:
        A fraction; 1.0 if no patient has a difference.
    """
    from scipy import stats

    means = _patient_means(differences, patients)
    if not means.any():
        return 1.0
    return float(stats.wilcoxon(means).pvalue)


def rank_biserial(differences: Sequence[float], patients: Sequence[str]) -> float:
    """Matched-pairs rank-biserial correlation: the effect size of `signed_rank_p`.

    Of the ranks of the absolute differences, a difference a patient,

        r = (sum of positive differences' ranks - sum of negative ones') / sum of both

    Arguments are those of `signed_rank_p`; patients without a difference are left
    out, as there.

    Returns:
        -1 if all differences are negative, 1 if all are positive, 0 if no patient
        has one.

    Reference:
        Kerby, 2014, The simple difference formula, Comprehensive Psychology 3.

    Example:
    >>> rank_biserial([0.1, 0.2, -0.3], ["a", "b", "c"])
    0.0
    """
    from scipy import stats

    means = _patient_means(differences, patients)
    means = means[means != 0]
    if not means.size:
        return 0.0
    ranks = stats.rankdata(np.abs(means))
    return float((np.sign(means) * ranks).sum() / ranks.sum())


def cohens_d_z(differences: Sequence[float], patients: Sequence[str]) -> float:
    """Cohen's d_z: mean difference in standard deviations, a difference a patient.

    Arguments are those of `signed_rank_p`. The standard deviation is that of the
    sample, with `n - 1`.

    Returns:
        0 if no patient has a difference; `nan` of one patient, and if all have the
        same difference, which has no deviation.

    Reference:
        Lakens, 2013, Front. Psychol. 4:863.
    """
    means = _patient_means(differences, patients)
    if not means.any():
        return 0.0
    if np.ptp(means) <= ROUNDING * np.abs(means).max():
        return math.nan
    return float(means.mean() / means.std(ddof=1))


def _patient_means(differences: Sequence[float], patients: Sequence[str]) -> np.ndarray:
    """Averages the differences of each patient.

    Raises:
        ValueError: If one is `nan`.
    """
    if np.isnan(np.asarray(differences, np.float64)).any():
        raise ValueError("`differences` must be numbers. Received: nan")
    owner = np.unique(patients, return_inverse=True)[1]
    return np.bincount(owner, differences) / np.bincount(owner)


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrects p-values for their number (Holm, 1979, Scand. J. Statist. 6:65-70).

    The smallest of `n` is multiplied by `n`, the next by `n - 1`, and so on; none
    becomes smaller than the one before it, or larger than 1.

    Example:
    >>> holm([0.25, 0.0625])
    [0.25, 0.125]
    """
    corrected, largest = [0.0] * len(p_values), 0.0
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected
