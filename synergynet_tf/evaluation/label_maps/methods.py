"""Scores of methods: each prediction, several seeds as one method, and ranks."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from synergynet_tf import metrics
from synergynet_tf.evaluation.scores import CaseResult
from synergynet_tf.metrics import LESION_METRICS, METRICS, bootstrap

Report = dict[str, Any]
# The block of the scores of lesions, beside those of the protocols.
LESIONS = "lesions"
# Name of the mean of all classes, beside their names, none of which is empty.
MEAN = ""


class Distribution(NamedTuple):
    """A prediction's means, with their bootstrap and jackknife distributions.

    Each is by class; the mean of the classes is one of them, `MEAN`.

    Attributes:
        means: Mean over all cases of each metric.
        drawn: Mean over each bootstrap resample of the patients.
        left_out: Mean over all patients but one, for each patient (jackknife).
    """

    means: metrics.ClassScores
    drawn: bootstrap.Resampled
    left_out: bootstrap.Resampled


def distribute(results: Sequence[CaseResult], block: str) -> Distribution:
    """Resamples the scores of a prediction.

    Args:
        results: Result of each case.
        block: A protocol that they were scored under, or `LESIONS`.
    """
    patients = [result.patient for result in results]
    drawn, left_out = (
        bootstrap.draw_patients(patients),
        bootstrap.leave_one_out(patients),
    )
    if block == "pooled":
        counts = [result.counts[block] for result in results]
        means = metrics.pool(counts)
        resampled = [bootstrap.resample_pools(counts, w) for w in (drawn, left_out)]
    else:
        scores = [result.scores[block] for result in results]
        means = metrics.average(scores)
        resampled = [bootstrap.resample_averages(scores, w) for w in (drawn, left_out)]
    return Distribution(
        {MEAN: metrics.mean_of_classes(means), **means},
        *({MEAN: bootstrap.resampled_means(own), **own} for own in resampled),
    )


def bca_block(own: Distribution) -> Report:
    """Returns the BCa intervals that belong to those of `scores.mean_block`."""
    found = bootstrap.bca_class_intervals(own.drawn, own.left_out, own.means)
    return {"mean_interval": found.pop(MEAN), "per_class_interval": found}


def describe_method(
    name: str, predictions: Sequence[str], of: Mapping[str, Mapping[str, Distribution]]
) -> Report:
    """Summarizes a method over its predictions, one a seed.

    Args:
        name: Name of the method.
        predictions: Names of its predictions, one a seed.
        of: Distribution of each prediction, by block.

    Returns:
        For each block, class and metric the mean over the seeds, its standard
        deviation, and the interval for which patients and seeds are drawn.
    """
    blocks = {
        block: {
            class_name: {
                metric: _over_seeds(
                    [of[block][prediction] for prediction in predictions],
                    class_name,
                    metric,
                )
                for metric in scores
            }
            for class_name, scores in of[block][predictions[0]].means.items()
        }
        for block in of
    }
    return {
        "name": name,
        "predictions": list(predictions),
        **{
            block: {"mean": by_class.pop(MEAN), "per_class": by_class}
            for block, by_class in blocks.items()
        },
    }


def _over_seeds(seeds: Sequence[Distribution], name: str, metric: str) -> Report:
    found = metrics.summarize_seeds(
        [seed.means[name][metric] for seed in seeds],
        [seed.drawn[name][metric] for seed in seeds],
    )
    return found._asdict()


def rank(
    methods: Mapping[str, Sequence[str]], of: Mapping[str, Distribution]
) -> Report:
    """Ranks the methods by the mean of the classes, for each metric.

    Args:
        methods: The names of each method's predictions.
        of: The distribution of each prediction.

    Returns:
        For each metric and method its `rank`, and in which `shares` of the resamples
        it has the ranks 1, 2, ...
    """
    listed = next(iter(of.values())).means[MEAN]
    found: Report = {}
    for metric in listed:
        means: dict[str, float] = {}
        drawn: dict[str, bootstrap.Resamples] = {}
        for method, predictions in methods.items():
            seeds = [of[name] for name in predictions]
            summed = _over_seeds(seeds, MEAN, metric)
            means[method] = summed["mean"]
            own = [seed.drawn[MEAN][metric] for seed in seeds]
            weights = bootstrap.draw_seeds(len(own), len(own[0].means))
            drawn[method] = bootstrap.resample_seeds(own, weights)
        direction = (METRICS | LESION_METRICS)[metric].direction
        ranked = metrics.rank_methods(means, drawn, direction)
        found[metric] = {name: own._asdict() for name, own in ranked.items()}
    return found


def pairs(first: int, second: int) -> np.ndarray:
    """Returns all pairs of two methods' seeds, `(pairs, 2)`."""
    return np.array(list(itertools.product(range(first), range(second))))
