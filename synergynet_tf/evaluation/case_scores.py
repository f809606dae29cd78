"""Scores of one case. What scoring processes import: NumPy and SciPy, never Keras."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from synergynet_tf import metrics


@dataclasses.dataclass(frozen=True, eq=False)
class LabeledCase:
    """A case's reference and predictions.

    Attributes:
        case_id: The dataset's.
        patient: Whose case it is.
        true_labels: uint8 `(slices, rows, columns)`.
        pred_labels: The same for each grid on which they were decided.
        spacing_mm: Distance between slices, rows and columns.
    """

    case_id: str
    patient: str
    true_labels: np.ndarray
    pred_labels: Mapping[str, np.ndarray]
    spacing_mm: tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class CaseResult:
    """What is kept of a scored case.

    Attributes:
        case_id: The dataset's.
        patient: Whose case it is.
        scores: For each protocol, each class's metrics.
        counts: For each protocol, each class's confusion matrix, as shares of the
            pixels.
    """

    case_id: str
    patient: str
    scores: dict[str, metrics.ClassScores]
    counts: dict[str, dict[str, metrics.Counts]]

    @property
    def dsc(self) -> float:
        """Mean DSC of the classes under `strict`; `nan` if none is in the case."""
        return metrics.mean_of_classes(self.scores["strict"])["dsc"]

    def presence(self, protocol: str, name: str) -> str:
        """Says whether the masks have a class: `both`, `empty`, `missed`, `false`."""
        return self.counts[protocol][name].presence


def score_labeled(
    case: LabeledCase,
    class_names: Sequence[str],
    protocols: Sequence[str],
    tolerance_mm: float,
) -> CaseResult:
    """Scores a case under each protocol, on the labels that belong to it.

    Raises:
        ValueError: If the predictions do not fit the reference; names the case.
    """
    scores, counts = {}, {}
    try:
        for protocol in protocols:
            pred = case.pred_labels[metrics.LABEL_GRIDS[protocol]]
            scores[protocol] = metrics.score_case(
                case.true_labels,
                pred,
                class_names,
                case.spacing_mm,
                protocol,
                tolerance_mm,
            )
            counts[protocol] = metrics.count_case(case.true_labels, pred, class_names)
    except ValueError as error:
        raise ValueError(f"Case {case.case_id}: {error}") from error
    return CaseResult(case.case_id, case.patient, scores, counts)
