"""Calibration of a run: a temperature for its probabilities, and what it changes.

The temperature `T` is fitted on the validation part, where it makes the ground truth
most likely (Guo et al., 2017, https://arxiv.org/abs/1706.04599, section 4.2);
probabilities are the sigmoid or softmax of `logits / T`. One, not one a class: the
order of the classes at a pixel stays what it was, and with it every label.

Far from every structure no model doubts, and a whole image is well calibrated by its
background alone. So what is fitted and counted are the pixels near a structure: at
most `MARGIN` pixels, along a row or a column of the slice, from its ground truth or
its prediction.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from scipy.special import log_softmax
from tqdm import tqdm

from synergynet_tf.data import Case
from synergynet_tf.data.preprocess import center_box
from synergynet_tf.evaluation.cases import RunCases
from synergynet_tf.evaluation.confidence import Confidence, to_probabilities
from synergynet_tf.evaluation.predict import Model, Watch, label_all
from synergynet_tf.metrics.bootstrap import (
    bca_interval,
    draw_patients,
    leave_one_out,
)
from synergynet_tf.metrics.calibration import (
    Bins,
    bin_case,
    resample_areas,
    resample_calibration,
    risk_coverage,
    total_bins,
)
from synergynet_tf.runs import SCORED_SHA256

MARGIN = 5
# Pixels drawn for the fit, so that a large case costs no more memory than a small one.
PIXELS_A_CASE = 20_000
# Logarithms of the temperatures that are tried: 1/20 to 20.
LOG_LIMITS = (-3.0, 3.0)


def fit_temperature(logits: np.ndarray, true: np.ndarray) -> float:
    """Returns the temperature under which the labels are most likely.

    Args:
        logits: float32 `(pixels, C)`.
        true: uint8 `(pixels,)`.

    Raises:
        ValueError: If there is no pixel.
    """
    if not len(true):
        raise ValueError("No validation case has a structure, found or missed")

    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(logits, true, float(np.exp(log_temperature)))

    found = minimize_scalar(loss, bounds=LOG_LIMITS, method="bounded")
    return float(np.exp(found.x))


def negative_log_likelihood(
    logits: np.ndarray, true: np.ndarray, temperature: float = 1.0
) -> float:
    """Returns the mean over pixels of minus the log-probability of the label, in nats.

    Args:
        logits: float32 `(pixels, C)`; one logit is foreground's, and background's is 0.
        true: uint8 `(pixels,)`.
        temperature: Divisor of the logits.
    """
    scaled = np.asarray(logits, np.float64) / temperature
    if scaled.shape[-1] == 1:
        scaled = np.concatenate([np.zeros_like(scaled), scaled], axis=-1)
    chosen = np.take_along_axis(log_softmax(scaled, -1), true[:, None].astype(int), -1)
    return float(-chosen.mean())


def calibrate(model: Model, validation: RunCases, measured: RunCases) -> dict[str, Any]:
    """Fits the temperature of a run, and measures what it changes.

    Args:
        model: Model of the run.
        validation: Cases that the temperature is fitted on.
        measured: Cases whose probabilities are scored with the temperature and without.

    Returns:
        Content of `calibration.json`.

    Raises:
        ValueError: If a case cannot be read, or no structure is in any.
    """
    logits, true = _draw_pixels(model, validation)
    temperature = fit_temperature(logits, true)
    return {
        "model": validation.config.model.name,
        "dataset": validation.config.data.dataset,
        SCORED_SHA256: validation.run.weights_sha256,
        "temperature": temperature,
        "margin": MARGIN,
        "fitted": {
            **_describe(validation),
            "nll_before": negative_log_likelihood(logits, true),
            "nll_after": negative_log_likelihood(logits, true, temperature),
        },
        "measured": {
            **_describe(measured),
            **_measure(model, measured, temperature),
        },
    }


def _describe(cases: RunCases) -> dict[str, Any]:
    return {
        "split": cases.part,
        "num_cases": len(cases.case_ids),
        "num_patients": len(set(cases.patients.values())),
    }


def _near(mask: np.ndarray) -> np.ndarray:
    """Returns the pixels at most `MARGIN` from a mask `(rows, columns)`."""
    side = 2 * MARGIN + 1
    return cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0


def _watch_all(
    model: Model, cases: RunCases, watch: Callable[[Case], Watch], title: str
) -> None:
    """Predicts every case; `watch(case)` returns the function that gets its logits."""
    read = functools.partial(cases.dataset.read_case, cases.root)
    labeled = label_all(
        model,
        cases.preprocessor,
        cases.case_ids,
        read,
        watch=lambda _, case: watch(case),
    )
    for _ in tqdm(labeled, title, len(cases.case_ids), unit="case", disable=None):
        pass


def _draw_pixels(model: Model, cases: RunCases) -> tuple[np.ndarray, np.ndarray]:
    """Returns logits `(pixels, C)` and labels `(pixels,)` near structures.

    Only pixels that the network sees count: outside a center crop there are no logits.
    """
    share = cases.config.data.center_crop
    drawn: list[tuple[np.ndarray, np.ndarray]] = []
    generator = np.random.default_rng(0)

    def watch(case: Case) -> Watch:
        slices = iter(case.label)
        count = max(1, PIXELS_A_CASE // len(case.label))

        def draw(logits: np.ndarray, labels: np.ndarray) -> None:
            true = next(slices)
            rows, columns = true.shape
            seen = np.zeros(true.shape, bool)
            seen[center_box(rows, columns, share)] = True
            places = np.flatnonzero(seen & _near((true > 0) | (labels > 0)))
            chosen = generator.permutation(places)[:count]
            pixels = logits.reshape(-1, logits.shape[-1])[chosen]
            drawn.append((pixels, true.ravel()[chosen]))

        return draw

    _watch_all(model, cases, watch, "fit")
    logits, true = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    return logits, true


class _Structure(NamedTuple):
    """A class of a case: its probabilities, before and after, and their Dice."""

    patient: str
    before: Bins
    after: Bins
    confidence: float
    dsc: float


class _Watched:
    """A case that is predicted slice by slice, to become its `_Structure`s."""

    def __init__(self, case: Case, patient: str, count: int, temperature: float):
        self._slices, self._patient = iter(case.label), patient
        self._temperatures = 1.0, temperature
        self._bins: list[list[list[Bins]]] = [[[], []] for _ in range(count)]
        self._near: list[list[int]] = [[] for _ in range(count)]
        self._counts = np.zeros((count, 2), np.int64)
        self._confidence = Confidence.of(count)

    def add(self, logits: np.ndarray, labels: np.ndarray) -> None:
        """Adds the logits `(rows, columns, C)` and labels of the next slice."""
        true = next(self._slices)
        both = [to_probabilities(logits, t) for t in self._temperatures]
        self._confidence.add(both[1], labels)
        for i in range(len(self._counts)):
            truth, pred = true == i + 1, labels == i + 1
            region = _near(truth | pred)
            self._near[i].append(int(np.count_nonzero(region)))
            for bins, probability in zip(self._bins[i], both, strict=True):
                bins.append(bin_case(truth, probability[..., i], region))
            self._counts[i] += (
                np.count_nonzero(truth & pred),
                np.count_nonzero(truth) + np.count_nonzero(pred),
            )

    def structures(self) -> list[_Structure]:
        """Returns one for each class, when every slice was added."""
        found = []
        confidences = self._confidence.expected_dice()
        for i, confidence in enumerate(confidences):
            before, after = (_weighted(own, self._near[i]) for own in self._bins[i])
            hits, both = self._counts[i]
            dsc = 2 * hits / both if both else np.nan
            found.append(_Structure(self._patient, before, after, confidence, dsc))
        return found


def _weighted(slices: Sequence[Bins], pixels: Sequence[int]) -> Bins:
    """Returns the bins of a case from those of its slices, and their pixels."""
    weights = np.array(pixels) / max(1, sum(pixels))
    return total_bins(
        [
            Bins(*(w * part for part in own))
            for w, own in zip(weights, slices, strict=True)
        ]
    )


def _measure(model: Model, cases: RunCases, temperature: float) -> dict[str, Any]:
    count = len(cases.class_names)
    watched: list[_Watched] = []

    def watch(case: Case) -> Watch:
        patient = cases.patients[case.case_id]
        watched.append(_Watched(case, patient, count, temperature))
        return watched[-1].add

    _watch_all(model, cases, watch, "measure")
    of_cases = [case.structures() for case in watched]
    by_class = dict(zip(cases.class_names, zip(*of_cases, strict=True), strict=True))
    return {
        "per_class": {
            name: {
                "before": _scores([own.before for own in structures], structures),
                "after": _scores([own.after for own in structures], structures),
            }
            for name, structures in by_class.items()
        },
        "confidence": _trust([own for case in of_cases for own in case]),
    }


def _scores(bins: Sequence[Bins], of: Sequence[_Structure]) -> dict[str, Any]:
    """Returns ECE and Brier score, and their BCa intervals by patient."""
    patients = [structure.patient for structure in of]
    resampled = resample_calibration(bins, draw_patients(patients))
    left_out = resample_calibration(bins, leave_one_out(patients))
    total = total_bins(bins)
    values = {"ece": total.ece, "brier": total.brier}
    return {
        **values,
        "interval": {
            name: bca_interval(resampled[name], value, left_out[name].means)
            for name, value in values.items()
        },
    }


def _trust(structures: Sequence[_Structure]) -> dict[str, Any]:
    """Tells whether the confidence finds the bad structures: areas of `1 - DSC`.

    All of it is `nan` if the network has found no structure, so that none has one.
    """
    found = [s for s in structures if not np.isnan(s.confidence)]
    confidence = [s.confidence for s in found]
    risk = [1 - s.dsc for s in found]
    curve = risk_coverage(confidence, risk)
    patients = [s.patient for s in found]
    interval = (math.nan, math.nan)
    if found:
        drawn, left_out = (
            resample_areas(confidence, risk, weights)
            for weights in (draw_patients(patients), leave_one_out(patients))
        )
        interval = bca_interval(drawn, curve.area, left_out.means)
    return {
        "structures": len(found),
        "area": curve.area,
        "interval": list(interval),
        "best_area": curve.best_area,
        "random_area": curve.random_area,
        "kept": list(curve.coverage),
        "risk": list(curve.risk),
    }
