"""Slices to be shown, and what a run makes of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from synergynet_tf import metrics
from synergynet_tf.data import Case
from synergynet_tf.data.preprocess import Preprocessor
from synergynet_tf.evaluation.cases import RunCases
from synergynet_tf.evaluation.figures.gradcam import GradCam
from synergynet_tf.evaluation.figures.overlays import busiest_slice
from synergynet_tf.evaluation.predict import label_all
from synergynet_tf.evaluation.predictor import Predictor, load_run_model


@dataclasses.dataclass(frozen=True, eq=False)
class Slice:
    """A slice of a case.

    Attributes:
        case: The whole case.
        index: Which slice of it.
        modality: What the intensities are.
    """

    case: Case
    index: int
    modality: str

    @property
    def pixels(self) -> np.ndarray:
        """float32 `(rows, columns, channels)`; of a scan, the first channel."""
        pixels = self.case.image[self.index]
        return pixels if self.modality == "rgb" else pixels[..., :1]

    @property
    def true_labels(self) -> np.ndarray:
        """uint8 `(rows, columns)`."""
        return self.case.label[self.index]

    @property
    def title(self) -> str:
        """The case's name, and of a volume the slice's number."""
        count = len(self.case.label)
        number = f", slice {self.index + 1} of {count}" if count > 1 else ""
        return self.case.case_id + number


class View(NamedTuple):
    """What a run makes of a slice.

    Attributes:
        pred_labels: uint8 `(rows, columns)`, as `evaluate.py` scores them under
            `strict`.
        maps: Grad-CAM of each class that was found on the network's grid, by label.
    """

    pred_labels: np.ndarray
    maps: dict[int, np.ndarray]


def find_slices(
    cases: Iterable[Case], modality: str, numbers: Sequence[int] | None = None
) -> list[Slice]:
    """Picks slices of cases: those of the numbers, from 1, or the busiest of each.

    Raises:
        ValueError: If a case has no slice of a number.
    """
    slices = []
    for case in cases:
        count = len(case.label)
        for number in numbers or [busiest_slice(case.label, None) + 1]:
            if not 1 <= number <= count:
                raise ValueError(
                    f"--slices must be from 1 to {count} for {case.case_id}. "
                    f"Received: --slices {number}"
                )
            slices.append(Slice(case, number - 1, modality))
    return slices


def see(cases: RunCases, slices: Sequence[Slice]) -> list[View]:
    """Labels slices with a run's model, and looks at its bottleneck.

    Raises:
        ValueError: If the run or a case cannot be used.
    """
    model = load_run_model(cases.run)
    predictor = Predictor(model)
    by_id = {shown.case.case_id: shown.case for shown in slices}
    labeled = label_all(predictor, cases.config, by_id, by_id.__getitem__)
    labels = {case.case_id: maps["native"] for case, maps in labeled}
    preprocessor = Preprocessor.of(cases.config)
    # A scan's intensities are scaled by those of the whole volume.
    images = {i: preprocessor.images(case.image) for i, case in by_id.items()}
    cam = GradCam(model)
    views = []
    for shown in slices:
        pred_labels = labels[shown.case.case_id][shown.index]
        maps = cam(images[shown.case.case_id][shown.index])
        if preprocessor.center_crop < 1:
            maps = {
                label: _put_back(map_, pred_labels.shape, preprocessor)
                for label, map_ in maps.items()
            }
        views.append(View(pred_labels, maps))
    return views


def _put_back(
    map_: np.ndarray, shape: tuple[int, ...], preprocessor: Preprocessor
) -> np.ndarray:
    """Lays a map `(S, S)` of a center crop on its image, with 0 around it."""
    whole = np.zeros(shape, np.float32)
    inside = whole[preprocessor.box(shape[0], shape[1])]
    size = inside.shape[::-1]
    inside[:] = cv2.resize(map_.astype(np.float32), size)
    return whole


def found_labels(shown: Slice, seen: Iterable[View]) -> list[int]:
    """Lists the classes of a slice that the reference or a view has, by label."""
    found = {label for view in seen for label in view.maps}
    return sorted(found | {*np.unique(shown.true_labels).tolist()} - {0})


def require_classes(slices: Sequence[Slice], views: Sequence[Sequence[View]]) -> None:
    """Refuses slices without any class, which have no Grad-CAM.

    Args:
        slices: The slices.
        views: Of each run, what it makes of each slice.
    """
    rows = zip(slices, *views, strict=True)
    if not any(found_labels(shown, seen) for shown, *seen in rows):
        raise ValueError(
            "Neither the reference nor a run has any class in these slices, so there "
            "is no Grad-CAM to draw; name others with --slices or --cases"
        )


def slice_dsc(true: np.ndarray, pred: np.ndarray, num_classes: int) -> list[float]:
    """Returns the DSC of each class on a slice; `nan` where neither has the class."""
    labels = range(1, num_classes + 1)
    return [metrics.dice(true == label, pred == label) for label in labels]
