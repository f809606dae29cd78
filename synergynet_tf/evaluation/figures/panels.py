"""Panels of several runs on the same slices: delineations and Grad-CAM.

`find_slices` picks the slices, `predict_views` has a run predict them, and
`draw_delineations` and `draw_gradcams` draw a grid of panels, a column for each run.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import pathlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cv2
import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from synergynet_tf import metrics, runs
from synergynet_tf.data import Case
from synergynet_tf.data.preprocess import Preprocessor
from synergynet_tf.evaluation.cases import RunCases
from synergynet_tf.evaluation.figures.gradcam import GradCam
from synergynet_tf.evaluation.figures.overlays import (
    GROUND_TRUTH_COLOR,
    PAPER_COLOR,
    busiest_slice,
    class_handles,
    disable_mathtext,
    draw_ground_truth,
    draw_prediction,
    ground_truth_handle,
    readable,
    rgb,
)
from synergynet_tf.evaluation.predict import label_all
from synergynet_tf.evaluation.predictor import Predictor, load_run_model
from synergynet_tf.formats import number

PANEL_INCHES = 3.2
TITLE_INCHES = 0.5
LEGEND_INCHES = 0.4
BAR_INCHES = 1.0
DPI = 120
MAX_BOXES = 3
# Errors thinner than this share of the image are an outline's, not a region's.
THICKNESS = 1 / 80
MARGIN = 0.35  # Margin around the outlines, as a share of their longest side.
HEAT = "inferno"
HEAT_FILL = 0.75  # Opacity of a map's highest value.

Panel = tuple[np.ndarray, str]
Box = tuple[int, int, int, int]


@dataclasses.dataclass(frozen=True, eq=False)
class Slice:
    """A slice of a case.

    Attributes:
        case: The whole case.
        index: Index of the slice, from 0.
        modality: Modality of the image, as in `DataConfig.modality`; `rgb` for a
            photograph.
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
    """A run's prediction of a slice.

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
        for wanted in numbers or [busiest_slice(case.label, None) + 1]:
            if not 1 <= wanted <= count:
                raise ValueError(
                    f"--slices must be from 1 to {count} for {case.case_id}. "
                    f"Received: --slices {wanted}"
                )
            slices.append(Slice(case, wanted - 1, modality))
    return slices


def predict_views(cases: RunCases, slices: Sequence[Slice]) -> list[View]:
    """Predicts slices with a run's model, and computes their Grad-CAM.

    Raises:
        ValueError: If the run or a case cannot be used.
    """
    model = load_run_model(cases.run)
    predictor = Predictor(model)
    by_id = {slice_.case.case_id: slice_.case for slice_ in slices}
    labeled = label_all(predictor, cases.preprocessor, by_id, by_id.__getitem__)
    labels = {case.case_id: maps["native"] for case, maps in labeled}
    preprocessor = cases.preprocessor
    # A scan's intensities are scaled by those of the whole volume.
    images = {i: preprocessor.images(case.image) for i, case in by_id.items()}
    cam = GradCam(model)
    views = []
    for slice_ in slices:
        pred_labels = labels[slice_.case.case_id][slice_.index]
        maps = cam(images[slice_.case.case_id][slice_.index])
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


def found_labels(slice_: Slice, views: Iterable[View]) -> list[int]:
    """Lists the classes of a slice that the ground truth or a view has, by label."""
    found = {label for view in views for label in view.maps}
    return sorted(found | {*np.unique(slice_.true_labels).tolist()} - {0})


def require_classes(slices: Sequence[Slice], views: Sequence[Sequence[View]]) -> None:
    """Refuses slices without any class, which have no Grad-CAM.

    Args:
        slices: The slices.
        views: For each run, a view of each slice.
    """
    rows = zip(slices, *views, strict=True)
    if not any(found_labels(slice_, of_runs) for slice_, *of_runs in rows):
        raise ValueError(
            "Neither the ground truth nor a run has any class in these slices, so "
            "there is no Grad-CAM to draw; name others with --slices or --cases"
        )


def draw_delineations(
    path: str | pathlib.Path,
    slices: Sequence[Slice],
    views: Sequence[Sequence[View]],
    names: Sequence[str],
    class_names: Sequence[str],
) -> None:
    """Draws outlines of several runs beside each other, a row for each slice.

    The first column is the image with the ground truth. The image is cut to what is
    delineated. White boxes are around the largest regions of wrong labels, titles
    have the mean DSC of the slice's classes.

    Args:
        path: Path of a PNG file, which is written whole or not at all.
        slices: Slices, one for each row.
        views: For each run, a view of each slice.
        names: Names of the runs.
        class_names: Names of the foreground classes; class `i` has label `i + 1`.
    """
    count = len(class_names)
    rows = []
    for slice_, *of_runs in zip(slices, *views, strict=True):
        true = slice_.true_labels
        cut = _window([true, *(view.pred_labels for view in of_runs)])
        origin = cut[0].start or 0, cut[1].start or 0
        plain = readable(slice_.pixels[cut])
        draw_ground_truth(plain, true[cut], count)
        panels = [(plain, f"{slice_.title}\nground truth")]
        for name, view in zip(names, of_runs, strict=True):
            canvas = readable(slice_.pixels[cut])
            pred = view.pred_labels
            draw_prediction(canvas, pred[cut], count)
            draw_ground_truth(canvas, true[cut], count)
            for box in error_boxes(true, pred):
                _draw_box(canvas, box, origin, len(canvas) / len(true[cut]))
            dsc = metrics.dice_of_classes(true, pred, count)
            dsc = [value for value in dsc if not math.isnan(value)]
            score = number(float(np.mean(dsc)) if dsc else None)
            panels.append((canvas, f"{name}\nDSC {score}"))
        rows.append(panels)
    figure, _ = _arrange(rows)
    error = Patch(facecolor="none", edgecolor=GROUND_TRUTH_COLOR, label="error")
    _write(figure, [*class_handles(class_names), ground_truth_handle(), error], path)


def draw_gradcams(
    path: str | pathlib.Path,
    slices: Sequence[Slice],
    views: Sequence[Sequence[View]],
    names: Sequence[str],
    class_names: Sequence[str],
) -> None:
    """Draws Grad-CAM of several runs, a row for each slice and class it has.

    A class counts if the ground truth or a run has it. Each map is divided by its
    largest value; titles have the DSC of the class in the slice. Arguments are those
    of `draw_delineations`, in whose slices there is a class.
    """
    rows = []
    count = len(class_names)
    for slice_, *of_runs in zip(slices, *views, strict=True):
        true = slice_.true_labels
        for label in found_labels(slice_, of_runs):
            only = np.where(true == label, true, 0)
            plain = readable(slice_.pixels)
            draw_ground_truth(plain, only, count)
            panels = [(plain, f"{slice_.title}\n{class_names[label - 1]}")]
            for name, view in zip(names, of_runs, strict=True):
                canvas = readable(slice_.pixels)
                map_ = view.maps.get(label)
                if map_ is not None:
                    draw_heat(canvas, map_)
                draw_ground_truth(canvas, only, count)
                dsc = metrics.dice(true == label, view.pred_labels == label)
                score = number(dsc)
                panels.append((canvas, f"{name}\nDSC {score}{_lacks(map_)}"))
            rows.append(panels)
    figure, axes = _arrange(rows, BAR_INCHES)
    bar = figure.colorbar(
        ScalarMappable(cmap=HEAT), ax=axes, location="bottom", fraction=0.03, aspect=60
    )
    bar.set_label("Grad-CAM, divided by each map's largest value", color="white")
    bar.ax.tick_params(colors="white")
    _write(figure, [ground_truth_handle()], path)


def error_boxes(true: np.ndarray, pred: np.ndarray) -> list[Box]:
    """Returns boxes around the largest regions of wrong labels, the largest first.

    Args:
        true: uint8 `(rows, columns)`.
        pred: uint8 `(rows, columns)`.

    Returns:
        At most `MAX_BOXES`: the first row and column, and those after the last.
    """
    wrong = (true != pred).astype(np.uint8)
    thick = max(3, round(THICKNESS * max(wrong.shape)))
    kernel = np.ones((thick, thick), np.uint8)
    regions = cv2.morphologyEx(wrong, cv2.MORPH_OPEN, kernel)
    _, _, stats, _ = cv2.connectedComponentsWithStats(regions, connectivity=8)
    largest = sorted(stats[1:].tolist(), key=lambda row: -row[cv2.CC_STAT_AREA])
    return [
        (top, left, top + height, left + width)
        for left, top, width, height, _ in largest[:MAX_BOXES]
    ]


def draw_heat(canvas: np.ndarray, map_: np.ndarray) -> None:
    """Lays a heat map over an image, in place: the higher, the more opaque.

    Args:
        canvas: uint8 RGB.
        map_: float32 `(h, w)`, at least 0, of the same scene.
    """
    size = canvas.shape[1], canvas.shape[0]
    share = cv2.resize(map_ / max(float(map_.max()), 1e-30), size)[..., None]
    colors = 255 * matplotlib.colormaps[HEAT](share[..., 0])[..., :3]
    opacity = HEAT_FILL * share
    canvas[:] = np.rint((1 - opacity) * canvas + opacity * colors)


def _lacks(map_: np.ndarray | None) -> str:
    if map_ is None:
        return ", not found"
    return "" if map_.any() else ", nowhere above 0"


def _window(labels: Iterable[np.ndarray]) -> tuple[slice, slice]:
    """Returns the rows and columns of all that is labeled, and a margin around it."""
    labeled = np.any([label > 0 for label in labels], axis=0)
    if not labeled.any():
        return slice(None), slice(None)
    spans = [np.flatnonzero(labeled.any(axis=axis)) for axis in (1, 0)]
    margin = math.ceil(MARGIN * max(span[-1] - span[0] + 1 for span in spans))
    rows, columns = (
        slice(max(0, int(span[0]) - margin), int(span[-1]) + 1 + margin)
        for span in spans
    )
    return rows, columns


def _draw_box(
    canvas: np.ndarray, box: Box, origin: tuple[int, int], zoom: float
) -> None:
    """Draws a white box on a dark edge around pixels of the image, in place."""
    top, left, bottom, right = (
        round(zoom * (edge - start))
        for edge, start in zip(box, 2 * origin, strict=True)
    )
    for color, width in ((PAPER_COLOR, 7), (GROUND_TRUTH_COLOR, 3)):
        corners = (left - 4, top - 4), (right + 4, bottom + 4)
        cv2.rectangle(canvas, *corners, rgb(color), width)


def _arrange(
    rows: Sequence[Sequence[Panel]], room: float = 0.0
) -> tuple[Figure, np.ndarray]:
    """Arranges panels in a grid, each below its title, and leaves room, in inches."""
    heights = [max(p.shape[0] / p.shape[1] for p, _ in row) for row in rows]
    width, height = PANEL_INCHES * len(rows[0]), PANEL_INCHES * sum(heights)
    # A figure of its own, not pyplot's: nothing global changes.
    figure = Figure(
        (width, height + TITLE_INCHES * len(rows) + LEGEND_INCHES + room),
        DPI,
        facecolor=PAPER_COLOR,
        layout="constrained",
    )
    grid = figure.subplots(
        len(rows), len(rows[0]), squeeze=False, height_ratios=heights
    )
    for place, (pixels, title) in zip(grid.flat, itertools.chain(*rows), strict=True):
        place.imshow(pixels)
        place.set_title(title, color="white", fontsize=9)
        place.set_axis_off()
    return figure, grid


def _write(
    figure: Figure, handles: list[Patch | Line2D], path: str | pathlib.Path
) -> None:
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=len(handles),
        labelcolor="white",
        frameon=False,
    )
    disable_mathtext(figure)
    with runs.atomic_file(path) as temporary:
        FigureCanvasAgg(figure).print_png(temporary)
