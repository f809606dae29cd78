"""Calibration of probabilities, and whether a confidence finds the bad cases.

A structure's probability is compared with whether the ground truth has it, pixel by
pixel. Each case is counted into `NUM_BINS` bins of equal width, and the bins are what
is added up over cases and resampled by patient:

    Brier = mean over pixels of (probability - truth)^2, truth 0 or 1
    ECE   = sum over bins of share of pixels * |mean probability - share that is true|

As in `count_case`, every case weighs alike, whatever its number of pixels. The ECE of
top labels (Guo et al., 2017, https://arxiv.org/abs/1706.04599) is the same with the
largest probability as `probability` and whether its class is right as `true`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from synergynet_tf.metrics.bootstrap import Resamples, are_several
from synergynet_tf.metrics.overlap import check_masks

NUM_BINS = 15


class Bins(NamedTuple):
    """A case, or any number of them, counted by probability.

    Bin `i` has probabilities of `[i / NUM_BINS, (i + 1) / NUM_BINS)`, the last one 1,
    too.

    Attributes:
        share: float64 `(NUM_BINS,)`: share of the pixels; of `n` cases it sums to `n`.
        probability: float64 `(NUM_BINS,)`: sum of the probabilities, divided likewise.
        true: float64 `(NUM_BINS,)`: share of the pixels that are true.
        squared_error: Brier score; summed over cases.
    """

    share: np.ndarray
    probability: np.ndarray
    true: np.ndarray
    squared_error: float

    @property
    def ece(self) -> float:
        """Expected calibration error, in [0, 1]; `nan` if there are no pixels."""
        whole = float(self.share.sum())
        if not whole:
            return math.nan
        return float(np.abs(self.probability - self.true).sum() / whole)

    @property
    def brier(self) -> float:
        """Brier score, in [0, 1]; `nan` if there are no pixels."""
        whole = float(self.share.sum())
        return self.squared_error / whole if whole else math.nan


def bin_case(
    true: np.ndarray, probability: np.ndarray, region: np.ndarray | None = None
) -> Bins:
    """Counts the pixels of one structure of a case by its probability.

    Args:
        true: The ground truth: bool, any rank.
        probability: Probability of the structure, in [0, 1], same shape.
        region: bool, same shape: the pixels that are counted, by default all. In a
            large image nearly all of them are background that no model doubts, and
            both scores are near 0.

    Returns:
        All 0 if no pixel is counted.

    Raises:
        ValueError: If the shapes differ, a mask is not boolean, or a probability is
            not in [0, 1].
    """
    check_masks(true, true if region is None else region)
    check_probability(probability, true.shape)
    if region is not None:
        true, probability = true[region], probability[region]
    values = probability.ravel().astype(np.float64)
    truth = true.ravel().astype(np.float64)
    index = np.minimum((values * NUM_BINS).astype(np.int64), NUM_BINS - 1)
    pixels = max(1, values.size)
    return Bins(
        np.bincount(index, minlength=NUM_BINS) / pixels,
        np.bincount(index, values, NUM_BINS) / pixels,
        np.bincount(index, truth, NUM_BINS) / pixels,
        float(np.square(values - truth).sum() / pixels),
    )


def total_bins(cases: Sequence[Bins]) -> Bins:
    """Adds the bins of several cases."""
    share, probability, true, squared_error = zip(*cases, strict=True)
    return Bins(
        np.sum(share, axis=0),
        np.sum(probability, axis=0),
        np.sum(true, axis=0),
        math.fsum(squared_error),
    )


def resample_calibration(
    cases: Sequence[Bins], weights: np.ndarray
) -> dict[str, Resamples]:
    """Computes for each resample what `total_bins` computes for all cases.

    ECE takes absolute values, so that it is larger in a resample than in all cases.
    `bca_interval` corrects for that, `interval` does not.

    Args:
        cases: Bins of one structure, each case once.
        weights: Weights of `draw_patients` or `leave_one_out`, `(resamples, cases)`.

    Returns:
        Resamples of `ece` and `brier`.
    """
    share = weights @ [case.share.sum() for case in cases]
    gaps = weights @ np.stack([case.probability - case.true for case in cases])
    errors = weights @ [case.squared_error for case in cases]
    several = are_several(weights[:, [case.share.any() for case in cases]])

    def divided(sums: np.ndarray) -> Resamples:
        undefined = np.full(len(share), np.nan)
        means = np.divide(sums, share, out=undefined, where=share > 0)
        return Resamples(means, several)

    return {"ece": divided(np.abs(gaps).sum(axis=1)), "brier": divided(errors)}


def expected_dice(probability: np.ndarray, pred: np.ndarray | None = None) -> float:
    """Confidence of a predicted structure: the Dice that its probabilities expect.

    The soft Dice of the probabilities with the mask `m` that was made of them,

        2 sum(p m) / (sum(p) + sum(m)),

    which is the ratio of the expected values in Dice if the probabilities are
    calibrated. No ground truth is needed.

    Args:
        probability: Probability of the structure, in [0, 1], any rank.
        pred: The predicted mask: bool, same shape; by default where the probability
            is over 0.5. With several classes, where the structure's is the largest.

    Returns:
        A value in [0, 1]; `nan` if the mask is empty: nothing was predicted that could
        be trusted or not.

    Raises:
        ValueError: If the shapes differ, the mask is not boolean, or a probability
            is not in [0, 1].

    Example:
    >>> expected_dice(np.array([0.75, 0.25]))
    0.75
    """
    mask = probability > 0.5 if pred is None else pred
    check_masks(mask, mask)
    check_probability(probability, mask.shape)
    if not mask.any():
        return math.nan
    values = probability.astype(np.float64)
    return float(2 * values[mask].sum() / (values.sum() + np.count_nonzero(mask)))


class RiskCoverage(NamedTuple):
    """Risk of the most confident cases, against how many of them are kept.

    Attributes:
        coverage: float64 `(n,)`: share of cases that are kept: `1 / n` to 1.
        risk: float64 `(n,)`: mean risk of the kept.
        area: Mean of `risk`, the area under the curve.
        best_area: Area with the cases ordered by their risk, the least that is
            possible.
        random_area: Expected area of an uninformative confidence: the mean risk of all
            cases.
    """

    coverage: np.ndarray
    risk: np.ndarray
    area: float
    best_area: float
    random_area: float


def risk_coverage(confidence: Sequence[float], risk: Sequence[float]) -> RiskCoverage:
    """Computes the risk that is left if the least confident cases are set aside.

    Cases of equal confidence count as the mean over all orders of them.

    Args:
        confidence: Confidence of each case, such as `expected_dice`.
        risk: Risk of each case, such as 1 - DSC.

    Returns:
        Curve of the cases that have both; without any, an empty curve, areas `nan`.

    Reference:
        Geifman et al., 2019, Bias-reduced uncertainty estimation for deep neural
        classifiers, https://arxiv.org/abs/1805.08206.
    """
    pairs = np.array([confidence, risk], np.float64)
    confidences, risks = pairs[:, ~np.isnan(pairs).any(axis=0)]
    if not risks.size:
        return RiskCoverage(risks, risks, math.nan, math.nan, math.nan)
    kept = np.arange(1, risks.size + 1)
    curve = _selective_risks(confidences, risks)
    return RiskCoverage(
        kept / risks.size,
        curve,
        float(curve.mean()),
        float(_selective_risks(-risks, risks).mean()),
        float(risks.mean()),
    )


def resample_areas(
    confidence: Sequence[float], risk: Sequence[float], weights: np.ndarray
) -> Resamples:
    """Computes the `area` of `risk_coverage` for each resample.

    Args:
        confidence: Confidence of each case.
        risk: Risk of each case.
        weights: Weights of `draw_patients` or `leave_one_out`, `(resamples, cases)`.
    """
    pairs = np.array([confidence, risk], np.float64)
    defined = ~np.isnan(pairs).any(axis=0)
    confidences, risks = pairs[:, defined]
    times = weights[:, defined].astype(np.int64)
    areas = [
        _selective_risks(np.repeat(confidences, row), np.repeat(risks, row)).mean()
        if row.any()
        else math.nan
        for row in times
    ]
    return Resamples(np.array(areas), are_several(times))


def _selective_risks(confidences: np.ndarray, risks: np.ndarray) -> np.ndarray:
    """Returns the mean risk of the `k` most confident cases, for each `k`."""
    _, group, sizes = np.unique(-confidences, return_inverse=True, return_counts=True)
    # Over all orders, each place among equals has their mean risk.
    in_order = np.repeat(np.bincount(group, risks) / sizes, sizes)
    return np.cumsum(in_order) / np.arange(1, risks.size + 1)


def check_probability(probability: np.ndarray, shape: tuple[int, ...]) -> None:
    """Refuses values that are not probabilities of a mask's pixels.

    Raises:
        ValueError: If the shape differs or a value is not in [0, 1].
    """
    if probability.shape != shape:
        raise ValueError(
            "`probability` must have the shape of the mask. "
            f"Received: {probability.shape} and {shape}"
        )
    if not ((probability >= 0) & (probability <= 1)).all():
        raise ValueError(
            "`probability` must be in [0, 1]. "
            f"Received: {probability.min()} to {probability.max()}"
        )
