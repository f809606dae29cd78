"""Overlays: an image beside itself with the prediction and the ground truth on it."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

from synergynet_tf import runs
from synergynet_tf.data.images import encode_png

# Okabe and Ito's color-blind safe palette, first the colors that contrast with skin and
# gray tissue.
PALETTE = (
    "#56B4E9",
    "#E69F00",
    "#009E73",
    "#F0E442",
    "#CC79A7",
    "#D55E00",
    "#0072B2",
    "#999999",
)
# Colors of lines on white, where yellow cannot be read.
LINE_COLORS = tuple(color for color in PALETTE if color != "#F0E442")
GROUND_TRUTH_COLOR = "#FFFFFF"
PAPER_COLOR = "#202124"
SIDE = 720  # Longest side of each panel, in pixels, whatever the image's own.
MARGIN = 12
TEXT_LINE = 40
DPI = 100
MAX_LEGEND = 16  # With more classes, the legend names those in the slice.
FILL = 0.3  # Opacity of the prediction.


def overlay(
    image: np.ndarray,
    pred_labels: np.ndarray,
    class_names: Sequence[str],
    true_labels: np.ndarray | None = None,
    caption: str = "",
) -> np.ndarray:
    """Draws one slice twice: as it is, and with the prediction on it.

    A predicted class is filled translucently and outlined; the ground truth is a dashed
    white line on top, so that both are visible where they agree. Of a volume the slice
    with most foreground is drawn, of the ground truth if it has any.

    Args:
        image: float32 `(slices, rows, columns, channels)`; three channels are RGB
            in [0, 255], of others the first is stretched from its darkest to its
            brightest.
        pred_labels: uint8 `(slices, rows, columns)`.
        class_names: Names of the foreground classes; class `i` has label `i + 1`.
        true_labels: The ground truth, as `pred_labels`.
        caption: A line above the picture.

    Returns:
        uint8 RGB `(height, width, 3)`.
    """
    index = busiest_slice(pred_labels, true_labels)
    plain = readable(image[index])
    drawn = plain.copy()
    draw_prediction(drawn, pred_labels[index], len(class_names))
    if true_labels is not None:
        draw_ground_truth(drawn, true_labels[index], len(class_names))
    shown = [
        labels[index] for labels in (pred_labels, true_labels) if labels is not None
    ]
    if len(image) > 1:
        caption = f"{caption}, slice {index + 1} of {len(image)}".removeprefix(", ")
    handles = class_handles(class_names)
    if len(handles) > MAX_LEGEND:  # Those that are there, as far as there is room.
        there = np.unique(np.stack(shown)).tolist()
        handles = [handles[value - 1] for value in there if value][:MAX_LEGEND]
    return _compose(plain, drawn, handles, true_labels is not None, caption)


def write_png(path: str | pathlib.Path, pixels: np.ndarray) -> None:
    """Writes a picture, uint8 RGB or uint8 or uint16 gray, whole or not at all."""
    data = encode_png(pixels, path)
    with runs.atomic_file(path) as temporary:
        temporary.write_bytes(data)


def busiest_slice(pred: np.ndarray, true: np.ndarray | None) -> int:
    """Returns the slice with most foreground, of the ground truth if it has any."""
    labels = true if true is not None and true.any() else pred
    return int(np.argmax(np.count_nonzero(labels, axis=(1, 2))))


def readable(pixels: np.ndarray) -> np.ndarray:
    """Returns a slice `(rows, columns, channels)` as uint8 RGB of a readable size."""
    if pixels.shape[-1] != 3:
        pixels = pixels[..., :1]
        low, high = np.percentile(pixels, (0.5, 99.5))
        pixels = (pixels - low) * (255 / max(high - low, 1e-6))
        pixels = np.repeat(pixels, 3, axis=-1)
    rows, columns = pixels.shape[:2]
    scale = SIDE / max(rows, columns)
    size = max(1, round(columns * scale)), max(1, round(rows * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    resized = cv2.resize(pixels.astype(np.float32), size, interpolation=method)
    return np.clip(np.rint(resized), 0, 255).astype(np.uint8)


def draw_prediction(canvas: np.ndarray, labels: np.ndarray, num_classes: int) -> None:
    """Fills and outlines each class of a slice, in place.

    Args:
        canvas: Picture from `readable`.
        labels: uint8 `(rows, columns)`, of the slice's own size.
        num_classes: Number of foreground classes.
    """
    for value in _present(labels, num_classes):
        color = rgb(class_color(value))
        mask = enlarge_mask(labels == value, canvas)
        canvas[mask] = np.rint((1 - FILL) * canvas[mask] + FILL * np.array(color))
        cv2.drawContours(canvas, outlines(mask), -1, color, 2, cv2.LINE_AA)


def draw_ground_truth(canvas: np.ndarray, labels: np.ndarray, num_classes: int) -> None:
    """Outlines each class of a slice as white dashes, in place.

    Arguments are those of `draw_prediction`.
    """
    for value in _present(labels, num_classes):
        for outline in outlines(enlarge_mask(labels == value, canvas)):
            _draw_dashes(canvas, outline)


def _present(labels: np.ndarray, num_classes: int) -> list[int]:
    """Returns the labels of the classes that a slice has."""
    return [value for value in np.unique(labels).tolist() if 1 <= value <= num_classes]


def enlarge_mask(mask: np.ndarray, canvas: np.ndarray) -> np.ndarray:
    """Brings a bool mask to the size of a canvas from `readable`."""
    size = canvas.shape[1], canvas.shape[0]
    resized = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    return resized >= 0.5


def outlines(mask: np.ndarray) -> Sequence[np.ndarray]:
    """Returns closed lines around a bool mask and its holes, int32 `(points, 1, 2)`."""
    mode, method = cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
    return cv2.findContours(mask.astype(np.uint8), mode, method)[0]


def _draw_dashes(canvas: np.ndarray, outline: np.ndarray) -> None:
    """Draws a closed outline as white dashes on a dark edge, in place."""
    dash, gap = 9, 8
    for start in range(0, len(outline), dash + gap):
        points = [outline[start : start + dash]]
        cv2.polylines(canvas, points, False, rgb(PAPER_COLOR), 4, cv2.LINE_AA)
        cv2.polylines(canvas, points, False, rgb(GROUND_TRUTH_COLOR), 2, cv2.LINE_AA)


def _compose(
    plain: np.ndarray,
    drawn: np.ndarray,
    classes: Sequence[Patch],
    has_ground_truth: bool,
    caption: str,
) -> np.ndarray:
    """Sets both panels side by side, the caption above and the legend below."""
    rows, columns = plain.shape[:2]
    width = max(2 * columns + 3 * MARGIN, SIDE)  # Room for the legend.
    height = rows + 2 * TEXT_LINE
    # A figure of its own, not pyplot's: nothing global changes.
    figure = Figure((width / DPI, height / DPI), DPI, facecolor=PAPER_COLOR)
    canvas = FigureCanvasAgg(figure)
    for left, panel in ((MARGIN, plain), (columns + 2 * MARGIN, drawn)):
        figure.figimage(panel, left, TEXT_LINE)
    figure.text(
        MARGIN / width,
        1 - TEXT_LINE / 2 / height,
        caption,
        color="white",
        fontsize=12,
        verticalalignment="center",
    )
    handles: list[Patch | Line2D] = [*classes]
    if has_ground_truth:
        handles.append(ground_truth_handle())
    figure.legend(
        handles=handles,
        loc="center",
        bbox_to_anchor=(0.5, TEXT_LINE / 2 / height),
        ncols=max(1, len(handles)),
        labelcolor="white",
        frameon=False,
        fontsize=11,
    )
    disable_mathtext(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def class_handles(class_names: Sequence[str]) -> list[Patch]:
    """Returns the legend handles of predicted classes."""
    return [
        Patch(facecolor=class_color(value), label=f"predicted {name}")
        for value, name in enumerate(class_names, start=1)
    ]


def ground_truth_handle() -> Line2D:
    """Returns the legend handle of the ground truth."""
    handle = Line2D([], [], color=GROUND_TRUTH_COLOR, linewidth=2)
    handle.set_linestyle((0, (3, 2)))
    handle.set_label("ground truth")
    return handle


def disable_mathtext(figure: Figure) -> None:
    """Disables mathtext: a `$` in a name is a dollar sign."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)


def class_color(value: int) -> str:
    """Returns the color of the class whose label is `value`, from 1."""
    return PALETTE[(value - 1) % len(PALETTE)]


def rgb(name: str) -> tuple[int, int, int]:
    """Returns a color's three parts in [0, 255]."""
    red, green, blue = (round(255 * part) for part in to_rgb(name))
    return red, green, blue
