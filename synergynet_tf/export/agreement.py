"""What an export's answers differ by from those of the run that it was made of."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from synergynet_tf import metrics


@dataclasses.dataclass(frozen=True)
class Limits:
    """How far an export may be from its run; what is `None` has no limit.

    Attributes:
        logits: Largest difference of a logit, as a share of the largest logit where
            that is above 1: see `allowed_difference`.
        dsc: Largest change, up or down, of the mean DSC.
    """

    logits: float | None
    dsc: float


# Of an export that computes what its run computes.
MAX_OTHER_CODES = 0.01

LIMITS = {
    "none": Limits(1e-4, 1e-4),
    "float16": Limits(None, 0.002),
    "dynamic": Limits(None, 0.005),
    "int8": Limits(None, 0.01),
}


def allowed_difference(limit: float, largest_logit: float) -> float:
    """Returns how far logits may differ: rounding grows with what is rounded."""
    return limit * max(1.0, largest_logit)


def same_codes(run: np.ndarray | None, export: np.ndarray | None) -> Any:
    """Returns an index of the images whose logits can be compared.

    Of two codes that are equally near, rounding picks one, and the logits follow it.

    Args:
        run: The run's codes `(images, height, width)`, `None` where there are none.
        export: The export's.
    """
    if run is None or export is None:
        return slice(None)
    return (run == export).all(axis=(1, 2))


class Tally:
    """Adds up, case after case, how an export's answers differ from its run's.

    Args:
        num_classes: Foreground classes.
    """

    def __init__(self, num_classes: int) -> None:
        self._num_classes = num_classes
        self._largest = self._largest_logit = 0.0
        self._labels = self._changed = 0
        self._codes = self._other_codes = 0
        self._dsc: list[list[float]] = []

    def add_logits(self, run: np.ndarray, export: np.ndarray) -> None:
        """Compares the logits of some images; one that is not finite counts as `inf`.

        Raises:
            ValueError: If they have not the same shape.
        """
        _require_same_shape("logits", run, export)
        difference = float(np.max(np.abs(run - export), initial=0.0))
        if not math.isfinite(difference):
            difference = math.inf
        self._largest = max(self._largest, difference)
        self._largest_logit = max(
            self._largest_logit, float(np.max(np.abs(run), initial=0.0))
        )

    def add_codes(self, run: np.ndarray, export: np.ndarray | None) -> None:
        """Compares the codes of some images.

        Raises:
            ValueError: If the export gives none, or not as many.
        """
        if export is None:
            raise ValueError("The export gives no codes, its run does: export it again")
        _require_same_shape("codes", run, export)
        self._codes += run.size
        self._other_codes += int(np.count_nonzero(run != export))

    def add_labels(self, true: np.ndarray, run: np.ndarray, export: np.ndarray) -> None:
        """Compares a case's labels, and scores the export's against the reference."""
        self._labels += run.size
        self._changed += int(np.count_nonzero(run != export))
        self._dsc.append(metrics.dice_of_classes(true, export, self._num_classes))

    @property
    def largest_logit_difference(self) -> float:
        """Of all logits."""
        return self._largest

    @property
    def largest_logit(self) -> float:
        """The run's farthest from 0."""
        return self._largest_logit

    @property
    def labels_changed(self) -> float:
        """Share of pixels, on the images' own grids."""
        return self._changed / self._labels

    @property
    def codes_changed(self) -> float | None:
        """Share of the codes; `None` where there are none."""
        return self._other_codes / self._codes if self._codes else None

    @property
    def dsc(self) -> float:
        """Strict DSC: mean over cases, then over classes."""
        return mean_dsc(self._dsc)


def mean_dsc(by_case: Sequence[Sequence[float]]) -> float:
    """Returns the mean over cases, then classes, of what is not `nan`."""
    cases = [
        {str(number): {"dsc": dsc} for number, dsc in enumerate(classes)}
        for classes in by_case
    ]
    return metrics.mean_of_classes(metrics.average(cases))["dsc"]


def _require_same_shape(what: str, run: np.ndarray, export: np.ndarray) -> None:
    if run.shape != export.shape:
        raise ValueError(
            f"The export's {what} have the shape {export.shape}, the run's "
            f"{run.shape}: it is of another run"
        )
