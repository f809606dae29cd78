"""Paired differences of two methods: intervals, tests and effect sizes.

Of methods with several seeds, each seed of the one is compared with each of the other,
and a case's difference is the mean over these pairs. Intervals draw the patients, and
the seeds of either method apart from them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from synergynet_tf.evaluation.label_maps.methods import MEAN, Distribution, pairs
from synergynet_tf.evaluation.scores import CaseResult
from synergynet_tf.evaluation.tables.paired_runs import Differences, subtract, summarize
from synergynet_tf.metrics import bootstrap

Report = dict[str, Any]
# Numbers of the draws of the two methods' seeds, which are independent.
SEED_DRAWS = (1, 2)


class Draws(NamedTuple):
    """Weights of pairs of seeds and of cases, in draws or with some left out.

    Attributes:
        pairs: float64 `(draws, pairs)`: weight of each pair of seeds.
        cases: float64 `(draws, cases)`: weight of each case.
    """

    pairs: np.ndarray
    cases: np.ndarray


class Plan(NamedTuple):
    """Draws of the bootstrap, and those of the jackknife, one for each source."""

    drawn: Draws
    left_out: list[Draws]


def compare_methods(
    first: Sequence[Sequence[CaseResult]],
    second: Sequence[Sequence[CaseResult]],
    block: str,
) -> Report:
    """Subtracts the first method's scores from the second's, case by case.

    Args:
        first: Results of each seed of a method.
        second: Results of each seed of another method, of the same cases.
        block: A protocol, or `methods.LESIONS`.

    Returns:
        For each metric, under `mean` and `per_class`, what `tables.paired_runs` says,
        `bca_interval`, and the effect sizes `rank_biserial` and `cohens_d_z`.
    """
    patients = [result.patient for result in first[0]]
    scores = [
        [[result.scores[block] for result in seed] for seed in seeds]
        for seeds in (first, second)
    ]
    of_pairs = [
        subtract(scores[0][i], scores[1][j]) for i, j in pairs(len(first), len(second))
    ]
    names = list(scores[0][0][0])
    listed = list(scores[0][0][0][names[0]])
    summary = summarize(_merge(of_pairs), names, listed, patients)
    values = np.stack([own.values for own in of_pairs])
    means = np.stack([own.over_classes().values for own in of_pairs])
    if len(of_pairs) > 1:
        # The mean over classes is taken in each pair, as it is in each prediction.
        by_case = _merge([own.over_classes() for own in of_pairs])
        one_class = Differences(*(array[:, None] for array in by_case))
        summary["mean"] = summarize(one_class, [MEAN], listed, patients)["mean"]
    plan = make_plan(patients, len(first), len(second))
    for name, entries in _blocks(summary):
        for i, metric in enumerate(listed):
            own = means[..., i] if name == MEAN else values[:, :, names.index(name), i]
            entries[metric] |= _infer(own, plan, entries[metric]["difference"])
            entries[metric] |= _effect_sizes(own, patients)
    return summary


def make_plan(patients: Sequence[str], first: int, second: int) -> Plan:
    """Draws patients, and the seeds of two methods, for all metrics alike.

    Args:
        patients: Patient ID of each case.
        first: Number of seeds of the first method.
        second: Number of seeds of the second method.
    """
    weights = bootstrap.draw_patients(patients)
    index = pairs(first, second)
    drawn = np.ones((len(weights), len(index)))
    left_out = [Draws(np.ones((1, len(index))), bootstrap.leave_one_out(patients))]
    for side, count in enumerate((first, second)):
        if count == 1:
            continue
        seeds = bootstrap.draw_seeds(count, len(weights), SEED_DRAWS[side])
        drawn = drawn * seeds[:, index[:, side]]
        kept = (np.arange(count)[:, None] != index[:, side]).astype(np.float64)
        left_out.append(Draws(kept, np.ones((1, len(patients)))))
    return Plan(Draws(drawn, weights), left_out)


def replace_pooled(
    summary: Report,
    first: Sequence[Distribution],
    second: Sequence[Distribution],
) -> None:
    """Replaces differences and intervals of the cases by those of the pooled scores.

    p and effect sizes stay those of the cases' own scores.

    Args:
        summary: Report of `compare_methods`; changed in place.
        first: Distribution of each seed of a method, under `pooled`.
        second: Distribution of each seed of the other method.
    """
    for name, entries in _blocks(summary):
        for metric, entry in entries.items():
            means, drawn, left_out = [], [], []
            for side, seeds in enumerate((first, second)):
                own = [seed.drawn[name][metric] for seed in seeds]
                weights = bootstrap.draw_seeds(
                    len(own), len(own[0].means), SEED_DRAWS[side]
                )
                means.append(np.mean([seed.means[name][metric] for seed in seeds]))
                drawn.append(bootstrap.resample_seeds(own, weights))
                left_out.append(
                    np.mean([s.left_out[name][metric].means for s in seeds], axis=0)
                )
            change = bootstrap.Resamples(
                drawn[1].means - drawn[0].means, drawn[1].several
            )
            entry["difference"] = float(means[1] - means[0])
            entry["interval"] = bootstrap.interval(change)
            entry["bca_interval"] = bootstrap.bca_interval(
                change, entry["difference"], left_out[1] - left_out[0]
            )


def correct(blocks: Sequence[Report]) -> None:
    """Adds `p_holm` to each metric: corrected for the number of comparisons.

    Args:
        blocks: Reports of `compare_methods`, one for each method that is compared with
            the first; changed in place.
    """
    for parts in zip(*map(_blocks, blocks), strict=True):
        entries = [entry for _, entry in parts]
        for metric in entries[0]:
            for entry in entries:
                entry[metric]["p_holm"] = math.nan
            tested = [e[metric] for e in entries if not math.isnan(e[metric]["p"])]
            corrected = bootstrap.holm([summary["p"] for summary in tested])
            for summary, p in zip(tested, corrected, strict=True):
                summary["p_holm"] = p


def _blocks(summary: Mapping[str, Any]) -> Iterator[tuple[str, Report]]:
    """Yields the metrics of the mean, and of each class."""
    yield MEAN, summary["mean"]
    yield from summary["per_class"].items()


def _merge(of_pairs: Sequence[Differences]) -> Differences:
    """Averages the differences of all pairs of seeds, where they are defined."""
    if len(of_pairs) == 1:
        return of_pairs[0]
    values = np.stack([own.values for own in of_pairs])
    known = ~np.isnan(values)
    total, count = np.where(known, values, 0.0).sum(axis=0), known.sum(axis=0)
    undefined = np.full(total.shape, np.nan)
    means = np.divide(total, count, out=undefined, where=count > 0)
    one_sided = np.any([own.one_sided for own in of_pairs], axis=0)
    return Differences(means, one_sided)


def _resample(values: np.ndarray, draws: Draws) -> bootstrap.Resamples:
    """Takes the mean difference of each draw over its cases and pairs of seeds.

    Args:
        values: float64 `(pairs, cases)`; `nan` where undefined.
        draws: Draws of pairs of seeds and of cases.
    """
    if len(values) == 1:
        return bootstrap.resample_means(values[0].tolist(), draws.cases)
    known = ~np.isnan(values)
    total, count = draws.pairs @ np.where(known, values, 0.0), draws.pairs @ known
    by_case = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    weights = draws.cases * (count > 0)
    sums = weights.sum(axis=1)
    undefined = np.full(len(sums), np.nan)
    means = np.divide(
        (weights * by_case).sum(axis=1), sums, out=undefined, where=sums > 0
    )
    several = bootstrap.are_several(draws.cases[:, known.any(axis=0)])
    return bootstrap.Resamples(means, several)


def _infer(values: np.ndarray, plan: Plan, difference: float) -> Report:
    """Returns both intervals of a difference, `(pairs, cases)`."""
    drawn = _resample(values, plan.drawn)
    left_out = [_resample(values, draws).means for draws in plan.left_out]
    return {
        "interval": bootstrap.interval(drawn),
        "bca_interval": bootstrap.bca_interval(drawn, difference, *left_out),
    }


def _effect_sizes(values: np.ndarray, patients: Sequence[str]) -> Report:
    """Returns both effect sizes of a difference, `(pairs, cases)`."""
    known = ~np.isnan(values)
    cases = known.any(axis=0)
    if not cases.any():
        return {"rank_biserial": math.nan, "cohens_d_z": math.nan}
    totals = np.where(known, values, 0.0).sum(axis=0)[cases] / known.sum(axis=0)[cases]
    owners = [p for p, ok in zip(patients, cases, strict=True) if ok]
    return {
        "rank_biserial": bootstrap.rank_biserial(totals.tolist(), owners),
        "cohens_d_z": bootstrap.cohens_d_z(totals.tolist(), owners),
    }
