"""Evaluation protocols: rules that turn label maps into published numbers.

Four choices change a result more than most methods do: what an empty mask counts
as, the unit of HD95, what is averaged, and on which grid logits become labels. A
protocol fixes all four, and its name stands beside every number.

    strict      Every structure of every case counts alike; millimeters. A structure
                that neither mask has is not scored; one that only one of them has
                gets DSC 0 and the diagonal of the volume as HD95.
    transunet   TransUNet's test code (Beckschen/TransUNet 02ef001, utils.py), for
                comparison with printed rows of Synapse and ACDC only: HD95 in
                voxels with both directions pooled, DSC 1 for a false structure, and
                HD95 0 for a missed one. The network's grid is labeled, and the
                labels are enlarged by nearest neighbor.
    pooled      One confusion matrix for all cases, each of which weighs alike, for
                comparison with printed rows of ISIC and BTS: in most of them IoU =
                DSC / (2 - DSC) to rounding, which holds within one matrix and for no
                mean over images.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from synergynet_tf.metrics import overlap, surface
from synergynet_tf.metrics.overlap import Counts

Scores = dict[str, float]
ClassScores = dict[str, Scores]


class Metric(NamedTuple):
    """Unit and direction of a metric.

    Attributes:
        unit: `fraction`, in [0, 1], or `mm`, which is voxels under `transunet`.
        direction: +1 if higher is better, -1 if lower is.
    """

    unit: str
    direction: int


METRICS = {
    "dsc": Metric("fraction", +1),
    "hd95": Metric("mm", -1),
    "nsd": Metric("fraction", +1),
    "iou": Metric("fraction", +1),
    "acc": Metric("fraction", +1),
    "sp": Metric("fraction", +1),
    "se": Metric("fraction", +1),
}
PROTOCOLS = ("strict", "transunet", "pooled")
# The grid on which logits become labels under each protocol: the image's own, or the
# network's.
LABEL_GRIDS = {"strict": "native", "transunet": "network", "pooled": "native"}
# Assumption: 2 mm, about one pixel of the paper's 224-pixel input on an abdominal
# CT; the paper reports no surface Dice.
NSD_TOLERANCE_MM = 2.0


def score_case(
    true_labels: np.ndarray,
    pred_labels: np.ndarray,
    class_names: Sequence[str],
    spacing_mm: Sequence[float] | np.ndarray,
    protocol: str = "strict",
    tolerance_mm: float = NSD_TOLERANCE_MM,
) -> ClassScores:
    """Scores the prediction of one case, structure by structure.

    Args:
        true_labels: Ground-truth labels: integers, 0 for background and `i + 1` for
            `class_names[i]`, `(slices, rows, columns)` or `(rows, columns)`.
        pred_labels: Predicted labels, same shape.
        class_names: Names of the foreground classes.
        spacing_mm: Distance between neighbors along each axis, in mm; or, of axes that
            are not orthogonal, the step to the next neighbor, a row each.
        protocol: Name of the protocol, one of `PROTOCOLS`.
        tolerance_mm: Tolerance of `nsd`.

    Returns:
        For each class its metrics, `nan` where undefined. Under `strict` and
        `transunet` all of `METRICS`, all `nan` under `strict` if neither label map
        has the class; `transunet` changes `dsc` and `hd95` alone. Under `pooled`
        those that follow from counts. A single slice is scored as 2-D, except for
        `transunet`'s HD95: in 3-D each of its pixels would be boundary.

    Raises:
        ValueError: If the shapes differ, a label has no class, the spacing does not
            fit, or the protocol is unknown.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(
            f"`protocol` must be one of {', '.join(PROTOCOLS)}. "
            f"Received: protocol={protocol!r}"
        )
    scores = {}
    for name, true, pred in _structures(true_labels, pred_labels, class_names):
        counts = overlap.count(true, pred)
        if protocol == "pooled":
            scores[name] = overlap_scores(counts)
            continue
        scores[name] = _score_strict(true, pred, counts, spacing_mm, tolerance_mm)
        if protocol == "transunet":
            scores[name] |= _score_transunet(true, pred, counts)
    return scores


def count_case(
    true_labels: np.ndarray, pred_labels: np.ndarray, class_names: Sequence[str]
) -> dict[str, Counts]:
    """Counts one case for `pool`, structure by structure.

    Assumption: counts are shares of the case's pixels, so that a large photograph
    weighs no more than a small one: the paper, and the works whose ISIC split it
    takes, score at one size, in which all weigh alike.

    Arguments and errors are those of `score_case`.
    """
    return {
        name: overlap.count(true, pred).fractions()
        for name, true, pred in _structures(true_labels, pred_labels, class_names)
    }


def pool(cases: Sequence[dict[str, Counts]]) -> ClassScores:
    """Scores all cases as one: each class's counts added up, then divided once."""
    return {
        name: overlap_scores(overlap.total([case[name] for case in cases]))
        for name in cases[0]
    }


def average(cases: Sequence[ClassScores]) -> ClassScores:
    """Averages each class's metrics over the cases in which they are defined."""
    return {
        name: {
            metric: _mean([case[name][metric] for case in cases])
            for metric in cases[0][name]
        }
        for name in cases[0]
    }


def mean_of_classes(per_class: ClassScores) -> Scores:
    """Averages each metric over the classes in which it is defined."""
    metrics = next(iter(per_class.values()))
    return {m: _mean([scores[m] for scores in per_class.values()]) for m in metrics}


def overlap_scores(counts: Counts) -> Scores:
    """Returns the metrics that follow from a confusion matrix."""
    return {
        "dsc": counts.dice,
        "iou": counts.iou,
        "acc": counts.accuracy,
        "sp": counts.specificity,
        "se": counts.sensitivity,
    }


def check_labels(
    true_labels: np.ndarray, pred_labels: np.ndarray, num_classes: int
) -> None:
    """Refuses labels that no class has.

    Raises:
        ValueError: If one is below 0 or above `num_classes`.
    """
    for name, labels in (("true_labels", true_labels), ("pred_labels", pred_labels)):
        if labels.size and not 0 <= labels.min() <= labels.max() <= num_classes:
            raise ValueError(
                f"`{name}` must hold 0 to {num_classes}, one value for each "
                f"class. Received: {labels.min()} to {labels.max()}"
            )


def _structures(
    true_labels: np.ndarray, pred_labels: np.ndarray, class_names: Sequence[str]
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yields a pair of masks of two label maps for each class.

    One after the other: of a scan with many classes there is no room for all.
    """
    check_labels(true_labels, pred_labels, len(class_names))
    for value, name in enumerate(class_names, start=1):
        yield name, true_labels == value, pred_labels == value


def _score_strict(
    true: np.ndarray,
    pred: np.ndarray,
    counts: Counts,
    spacing_mm: Sequence[float] | np.ndarray,
    tolerance_mm: float,
) -> Scores:
    if counts.ground_truth_is_empty and counts.prediction_is_empty:
        return dict.fromkeys(METRICS, math.nan)
    if true.ndim == 3 and len(true) == 1:
        true, pred, spacing_mm = true[0], pred[0], spacing_mm[1:]
    to_pred, to_true = surface.surface_distances(true, pred, spacing_mm)
    hd95 = surface.larger_percentile(to_pred, to_true)
    if math.isinf(hd95):
        hd95 = surface.diagonal_mm(true.shape, spacing_mm)
    nsd = surface.near_share(to_pred, to_true, tolerance_mm)
    scores = overlap_scores(counts) | {"hd95": hd95, "nsd": nsd}
    return {metric: scores[metric] for metric in METRICS}


def _score_transunet(true: np.ndarray, pred: np.ndarray, counts: Counts) -> Scores:
    """Returns what `calculate_metric_percase` of TransUNet's utils.py returns."""
    if counts.prediction_is_empty:
        return {"dsc": 0.0, "hd95": 0.0}
    if counts.ground_truth_is_empty:
        return {"dsc": 1.0, "hd95": 0.0}
    voxels = (1.0,) * true.ndim
    distances = surface.surface_distances(true, pred, voxels)
    hd95 = float(np.percentile(np.concatenate(distances), 95))
    return {"dsc": counts.dice, "hd95": hd95}


def _mean(values: list[float]) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return math.fsum(defined) / len(defined) if defined else math.nan
