"""Bootstrap confidence intervals by patient, Wilcoxon test, Holm correction.

Cases of one patient are alike, so patients are drawn, not cases: as many as there are,
with replacement, 2,000 times, and the mean is taken anew each time. The interval runs
from the 2.5th to the 97.5th percentile of these means (the percentile interval of
Efron and Tibshirani, 1993, An Introduction to the Bootstrap). One patient is drawn the
same each time and says nothing of others: its interval is undefined, not narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from synergynet_tf.metrics.overlap import Counts
from synergynet_tf.metrics.protocols import ClassScores, overlap_scores

RESAMPLES = 2000
SEED = 0
LEVEL = 0.95

Interval = tuple[float, float]
ClassIntervals = dict[str, dict[str, Interval]]


class Resamples(NamedTuple):
    """Bootstrap distribution of a mean.

    Attributes:
        means: float64 `(resamples,)`: the mean of each resample, `nan` where no case
            with a value was drawn.
        several: Whether two patients or more have a value.
    """

    means: np.ndarray
    several: bool


# Of each class and metric.
Resampled = dict[str, dict[str, Resamples]]


def draw_patients(
    patients: Sequence[str], resamples: int = RESAMPLES, seed: int = SEED
) -> np.ndarray:
    """Draws bootstrap resamples: as many patients as there are, with replacement.

    Args:
        patients: The patient of each case.
        resamples: How often, at least 1.
        seed: Of the draw.

    Returns:
        float64 `(resamples, cases)`: how often each case was drawn. All cases of a
        patient are drawn together.
    """
    distinct, owner = np.unique(patients, return_inverse=True)
    share = np.full(len(distinct), 1 / len(distinct))
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(len(distinct), share, size=resamples)
    return drawn[:, owner].astype(np.float64)


def are_several(weights: np.ndarray) -> bool:
    """Tells whether cases are of two patients or more: some draw parts them.

    Args:
        weights: From `draw_patients`, `(resamples, cases)`.
    """
    return bool((weights != weights[:, :1]).any())


def resample_means(values: Sequence[float], weights: np.ndarray) -> Resamples:
    """Takes the mean of each resample over the cases that have a value.

    Args:
        values: One for each case; `nan` where undefined.
        weights: From `draw_patients`, `(resamples, cases)`.
    """
    array = np.asarray(values, np.float64)
    defined = ~np.isnan(array)
    total, count = weights @ np.where(defined, array, 0.0), weights @ defined
    undefined = np.full(len(count), np.nan)
    means = np.divide(total, count, out=undefined, where=count > 0)
    return Resamples(means, are_several(weights[:, defined]))


def resample_averages(cases: Sequence[ClassScores], weights: np.ndarray) -> Resampled:
    """Does to each resample what `average` does to the cases."""
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
    """Does to each resample what `pool` does to the cases."""
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


def signed_rank_p(differences: Sequence[float], patients: Sequence[str]) -> float:
    """Two-sided p of Wilcoxon's signed-rank test, a difference a patient.

    The cases of a patient are averaged first, because the test takes its differences
    for independent. Patients without a difference are left out, as Wilcoxon does.

    Args:
        differences: One for each case, none `nan`.
        patients: The patient of each case.

    Returns:
        A fraction; 1.0 if no patient has a difference.
    """
    from scipy import stats

    owner = np.unique(patients, return_inverse=True)[1]
    means = np.bincount(owner, differences) / np.bincount(owner)
    if not means.any():
        return 1.0
    return float(stats.wilcoxon(means).pvalue)


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
