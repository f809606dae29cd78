"""Figures of several runs on the same slices: delineations and Grad-CAM."""

from __future__ import annotations

import itertools
import math
import pathlib
from collections.abc import Iterable, Sequence

import cv2
import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from synergynet_tf import runs
from synergynet_tf.evaluation.figures.overlays import (
    PAPER_COLOR,
    REFERENCE,
    class_color,
    draw_prediction,
    draw_reference,
    readable,
    rgb,
    take_literally,
)
from synergynet_tf.evaluation.figures.slices import Slice, View, found_labels, slice_dsc
from synergynet_tf.formats import number

PANEL_INCHES = 3.2
TITLE_INCHES = 0.5
LEGEND_INCHES = 0.4
BAR_INCHES = 1.0
DPI = 120
MOST_BOXES = 3
# Errors thinner than this share of the image are an outline's, not a region's.
THICKNESS = 1 / 80
MARGIN = 0.35  # Around what is delineated, of its longest side.
HEAT = "inferno"
HEAT_FILL = 0.75  # Opacity of a map's highest value.

Panel = tuple[np.ndarray, str]
Box = tuple[int, int, int, int]


def draw_delineations(
    path: str | pathlib.Path,
    slices: Sequence[Slice],
    views: Sequence[Sequence[View]],
    names: Sequence[str],
    class_names: Sequence[str],
) -> None:
    """Draws outlines of several runs beside each other, a row for each slice.

    The first column is the image with the reference. The image is cut to what is
    delineated. White boxes are around the largest regions of wrong labels, titles
    have the mean DSC of the slice's classes.

    Args:
        path: Of a PNG file, which is written whole or not at all.
        slices: The rows.
        views: Of each run, what it makes of each slice.
        names: Of the runs.
        class_names: Foreground classes; class `i` has label `i + 1`.
    """
    count = len(class_names)
    rows = []
    for shown, *seen in zip(slices, *views, strict=True):
        true = shown.true_labels
        cut = _window([true, *(view.pred_labels for view in seen)])
        origin = cut[0].start or 0, cut[1].start or 0
        plain = readable(shown.pixels[cut])
        draw_reference(plain, true[cut], count)
        panels = [(plain, f"{shown.title}\nreference")]
        for name, view in zip(names, seen, strict=True):
            canvas = readable(shown.pixels[cut])
            pred = view.pred_labels
            draw_prediction(canvas, pred[cut], count)
            draw_reference(canvas, true[cut], count)
            for box in error_boxes(true, pred):
                _draw_box(canvas, box, origin, len(canvas) / len(true[cut]))
            dsc = [d for d in slice_dsc(true, pred, count) if not math.isnan(d)]
            score = number(float(np.mean(dsc)) if dsc else None)
            panels.append((canvas, f"{name}\nDSC {score}"))
        rows.append(panels)
    figure, _ = _arrange(rows)
    handles: list[Patch | Line2D] = [
        Patch(facecolor=class_color(value), label=f"predicted {name}")
        for value, name in enumerate(class_names, start=1)
    ]
    box_sign = Patch(facecolor="none", edgecolor=REFERENCE, label="error")
    _write(figure, [*handles, _dashes(), box_sign], path)


def draw_gradcams(
    path: str | pathlib.Path,
    slices: Sequence[Slice],
    views: Sequence[Sequence[View]],
    names: Sequence[str],
    class_names: Sequence[str],
) -> None:
    """Draws Grad-CAM of several runs, a row for each slice and class it has.

    A class counts if the reference or a run has it. Each map is divided by its
    largest value; titles have the DSC of the class in the slice. Arguments are those
    of `draw_delineations`, in whose slices there is a class.
    """
    rows = []
    count = len(class_names)
    for shown, *seen in zip(slices, *views, strict=True):
        true = shown.true_labels
        for label in found_labels(shown, seen):
            only = np.where(true == label, true, 0)
            plain = readable(shown.pixels)
            draw_reference(plain, only, count)
            panels = [(plain, f"{shown.title}\n{class_names[label - 1]}")]
            for name, view in zip(names, seen, strict=True):
                canvas = readable(shown.pixels)
                map_ = view.maps.get(label)
                if map_ is not None:
                    draw_heat(canvas, map_)
                draw_reference(canvas, only, count)
                dsc = slice_dsc(true, view.pred_labels, count)[label - 1]
                score = number(dsc)
                panels.append((canvas, f"{name}\nDSC {score}{_lacks(map_)}"))
            rows.append(panels)
    figure, axes = _arrange(rows, BAR_INCHES)
    bar = figure.colorbar(
        ScalarMappable(cmap=HEAT), ax=axes, location="bottom", fraction=0.03, aspect=60
    )
    bar.set_label("Grad-CAM, divided by each map's largest value", color="white")
    bar.ax.tick_params(colors="white")
    _write(figure, [_dashes()], path)


def error_boxes(true: np.ndarray, pred: np.ndarray) -> list[Box]:
    """Returns boxes around the largest regions of wrong labels, the largest first.

    Args:
        true: uint8 `(rows, columns)`.
        pred: The same.

    Returns:
        At most `MOST_BOXES`: the first row and column, and those after the last.
    """
    wrong = (true != pred).astype(np.uint8)
    thick = max(3, round(THICKNESS * max(wrong.shape)))
    kernel = np.ones((thick, thick), np.uint8)
    regions = cv2.morphologyEx(wrong, cv2.MORPH_OPEN, kernel)
    _, _, stats, _ = cv2.connectedComponentsWithStats(regions, connectivity=8)
    largest = sorted(stats[1:].tolist(), key=lambda row: -row[cv2.CC_STAT_AREA])
    return [
        (top, left, top + height, left + width)
        for left, top, width, height, _ in largest[:MOST_BOXES]
    ]


def draw_heat(canvas: np.ndarray, map_: np.ndarray) -> None:
    """Lays a map over an image, in place: the higher, the less of it is seen.

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
    seen = np.any([label > 0 for label in labels], axis=0)
    if not seen.any():
        return slice(None), slice(None)
    spans = [np.flatnonzero(seen.any(axis=axis)) for axis in (1, 0)]
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
    for color, width in ((PAPER_COLOR, 7), (REFERENCE, 3)):
        corners = (left - 4, top - 4), (right + 4, bottom + 4)
        cv2.rectangle(canvas, *corners, rgb(color), width)


def _arrange(
    rows: Sequence[Sequence[Panel]], room: float = 0.0
) -> tuple[Figure, np.ndarray]:
    """Sets panels in a grid, each below its title, and leaves room, in inches."""
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


def _dashes() -> Line2D:
    dashes = Line2D([], [], color=REFERENCE, linestyle=(0, (3, 2)), linewidth=2)
    dashes.set_label("reference")
    return dashes


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
    take_literally(figure)
    with runs.atomic_file(path) as temporary:
        FigureCanvasAgg(figure).print_png(temporary)
