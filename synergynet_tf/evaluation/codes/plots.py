"""Figures of codes: code maps, typical patches, attention maps and interventions.

A code has one color everywhere, which its number alone decides; because a palette of a
thousand cannot be told apart, the number stands beside it.
"""

from __future__ import annotations

import colorsys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from synergynet_tf.evaluation.codes.model import CodedCase
from synergynet_tf.evaluation.figures.overlays import (
    PALETTE,
    PAPER_COLOR,
    disable_mathtext,
)

DPI = 100
PANEL = 4.2  # Inches.
MAX_LEGEND_ROWS = 16
WINDOW = 3  # Side of a typical patch, in positions: its own and one around it.
PICKED = PALETTE[0]
# Successive multiples lie as far apart as they can, however many there are.
_GOLDEN = 0.618033988749895


def code_color(code: int) -> tuple[float, float, float]:
    """Returns the color of a code, RGB in [0, 1]."""
    return colorsys.hls_to_rgb(code * _GOLDEN % 1, (0.45, 0.6, 0.75)[code % 3], 0.85)


def draw_map(
    case: CodedCase, index: int, entries: Sequence[dict[str, Any]], caption: str
) -> np.ndarray:
    """Draws a slice with its ground truth, and with its codes.

    Args:
        case: The case.
        index: Index of the slice, from 0.
        entries: The `codes` of `describe_codes`.
        caption: A line above the picture.

    Returns:
        uint8 RGB `(height, width, 3)`.
    """
    figure, (left, right) = _panels(2, caption, beside=3.1)
    _draw_slice(left, case, index, case.labels[index], "ground truth")
    _draw_slice(right, case, index, case.labels[index], "codes")
    grid = case.codes[index]
    _tile(right, grid, case.labels.shape[1])
    known = {entry["code"]: entry for entry in entries}
    counted = Counter(grid.ravel().tolist()).most_common()
    handles = [
        Patch(
            color=code_color(code),
            label=f"{code}: {uses} of {grid.size} here; in all "
            f"{_percent(known[code], known[code]['majority'])}",
        )
        for code, uses in counted[:MAX_LEGEND_ROWS]
    ]
    title = f"{len(counted)} codes" + (
        f", of which {MAX_LEGEND_ROWS}" if len(counted) > MAX_LEGEND_ROWS else ""
    )
    legend = figure.legend(
        handles=handles,
        title=title,
        loc="center right",
        labelcolor="white",
        frameon=False,
        fontsize=8,
    )
    legend.get_title().set_color("white")
    return _render(figure)


def draw_sheet(
    cases: Iterable[CodedCase], entries: Sequence[dict[str, Any]]
) -> np.ndarray:
    """Draws the typical patches of codes, a row each.

    Args:
        cases: Cases that the entries name.
        entries: Entries of `describe_codes`, at least one.
    """
    known = {case.case_id: case for case in cases}
    columns = max(len(entry["typical"]) for entry in entries)
    width = columns + 3.4
    figure = Figure((width, len(entries) * 1.05), DPI, facecolor=PAPER_COLOR)
    for number, entry in enumerate(entries):
        top = 1 - (number + 0.95) / len(entries)
        text = f"{entry['code']}: {entry['uses']} uses, {entry['cases']} cases\n"
        covered = sorted(entry["classes"], key=lambda name: -entry["classes"][name])
        text += ", ".join(_percent(entry, name) for name in covered[:3])
        _write(figure, 0.1 / width, top + 0.45 / len(entries), text)
        for column, place in enumerate(entry["typical"]):
            box = ((column + 3.3) / width, top, 0.95 / width, 0.9 / len(entries))
            axes = figure.add_axes(box)
            _hide(axes)
            case = known[place["case_id"]]
            position = place["row"], place["column"]
            axes.imshow(_patch(case, place["slice"] - 1, *position))
            stride = case.labels.shape[1] // case.codes.shape[1]
            _frame(axes, 1, 1, stride, code_color(entry["code"]))
    return _render(figure)


def draw_attention(
    case: CodedCase,
    index: int,
    query: tuple[int, int],
    attention: np.ndarray | None,
    picks: np.ndarray | None,
    caption: str,
) -> np.ndarray:
    """Draws what a position attends to, and how often each position is picked.

    Its own pick is framed in blue.

    Args:
        case: The case.
        index: Index of the slice, from 0.
        query: Row and column of the position.
        attention: DisConX's weights of this slice, `(heads, tokens, tokens)`.
        picks: Tokens that the refinement picks in this slice, `(heads, tokens)`.
        caption: A line above the picture.
    """
    height, width = case.codes[index].shape
    token = query[0] * width + query[1]
    maps: list[tuple[str, np.ndarray]] = []
    if attention is not None:
        rows = attention[:, token]
        maps.append(("DisConX, mean", rows.mean(axis=0)))
        maps += [(f"DisConX, head {i + 1}", row) for i, row in enumerate(rows)]
    if picks is not None:
        for i, tokens in enumerate(picks):
            uses = np.bincount(tokens, minlength=height * width)
            maps.append((f"picked, head {i + 1}", uses / tokens.size))
    figure, axes = _panels(1 + len(maps), caption, max_columns=5, size=2.6)
    side = case.labels.shape[1]
    stride = side // height
    _draw_slice(axes[0], case, index, case.labels[index], "the query")
    for panel, (title, weights) in zip(axes[1:], maps, strict=True):
        largest = weights.max()
        times = largest * weights.size
        _draw_slice(panel, case, index, None, f"{title}: up to {times:.1f} x the mean")
        panel.imshow(
            weights.reshape(height, width),
            cmap="inferno",
            vmin=0,
            vmax=largest,
            alpha=0.75,
            extent=(-0.5, side - 0.5, side - 0.5, -0.5),
            interpolation="nearest",
        )
    for panel in axes:
        _frame(panel, *query, stride, "white")
    if picks is not None:
        for panel, tokens in zip(axes[-len(picks) :], picks, strict=True):
            row, column = divmod(int(tokens[token]), width)
            _frame(panel, row, column, stride, PICKED)
    return _render(figure)


def draw_edit(
    case: CodedCase,
    index: int,
    held: np.ndarray,
    labels: np.ndarray,
    color: tuple[float, float, float],
    caption: str,
) -> np.ndarray:
    """Draws ground truth, prediction, and prediction after an edit.

    Args:
        case: The case.
        index: Index of the slice, from 0.
        held: Mask of the changed positions, bool `(height, width)`.
        labels: The prediction after the edit, uint8 `(S, S)`.
        color: RGB color of the frames around these positions.
        caption: A line above the picture.
    """
    figure, panels = _panels(3, caption)
    values = (case.labels[index], case.pred_labels[index], labels)
    titles = ("ground truth", "prediction", "after the change")
    stride = case.labels.shape[1] // held.shape[0]
    for axes, value, title in zip(panels, values, titles, strict=True):
        _draw_slice(axes, case, index, value, title)
        for row, column in np.argwhere(held).tolist():
            _frame(axes, row, column, stride, color)
    return _render(figure)


def _panels(
    count: int,
    caption: str,
    max_columns: int = 3,
    size: float = PANEL,
    beside: float = 0.0,
) -> tuple[Figure, list[Axes]]:
    """Makes a dark figure of `count` square axes in rows, with room `beside` them."""
    columns = min(count, max_columns)
    rows = -(-count // columns)
    width, height = columns * size + beside, rows * (size + 0.25) + 0.35
    figure = Figure((width, height), DPI, facecolor=PAPER_COLOR)
    _write(figure, 0.1 / width, 1 - 0.18 / height, caption)
    panels = []
    for number in range(count):
        row, column = divmod(number, columns)
        bottom = height - 0.35 - (row + 1) * (size + 0.25)
        box = ((column * size + 0.05) / width, bottom / height)
        panels.append(
            figure.add_axes((*box, (size - 0.1) / width, (size - 0.1) / height))
        )
        _hide(panels[-1])
    return figure, panels


def _draw_slice(
    axes: Axes, case: CodedCase, index: int, labels: np.ndarray | None, title: str
) -> None:
    axes.imshow(case.pictures[index])
    axes.set_title(title, color="white", fontsize=9, pad=3)
    if labels is None:
        return
    for value in np.unique(labels[labels > 0]).tolist():
        color = PALETTE[(value - 1) % len(PALETTE)]
        axes.contour(labels == value, levels=[0.5], colors=[color], linewidths=1.5)


def _tile(axes: Axes, grid: np.ndarray, side: int) -> None:
    """Colors each position by its code, and writes the code's number on it."""
    distinct, numbers = np.unique(grid, return_inverse=True)
    axes.imshow(
        numbers.reshape(grid.shape),
        cmap=ListedColormap([code_color(code) for code in distinct.tolist()]),
        vmin=-0.5,
        vmax=len(distinct) - 0.5,
        alpha=0.45,
        extent=(-0.5, side - 0.5, side - 0.5, -0.5),
        interpolation="nearest",
    )
    stride = side / len(grid)
    for (row, column), code in np.ndenumerate(grid):
        axes.text(
            (column + 0.5) * stride - 0.5,
            (row + 0.5) * stride - 0.5,
            str(code),
            color="white",
            fontsize=min(9.0, 80 / len(grid)),
            horizontalalignment="center",
            verticalalignment="center",
        )


def _patch(case: CodedCase, index: int, row: int, column: int) -> np.ndarray:
    """Cuts out a position and what surrounds it; beyond the image is black."""
    stride = case.labels.shape[1] // case.codes.shape[1]
    margin = (WINDOW - 1) // 2 * stride
    picture = np.pad(case.pictures[index], [(margin, margin), (margin, margin), (0, 0)])
    top, left = row * stride, column * stride
    return picture[top : top + WINDOW * stride, left : left + WINDOW * stride]


def _frame(
    axes: Axes,
    row: int,
    column: int,
    stride: int,
    color: str | tuple[float, float, float],
) -> None:
    corner = column * stride - 0.5, row * stride - 0.5
    axes.add_patch(
        Rectangle(corner, stride, stride, fill=False, edgecolor=color, linewidth=1.5)
    )


def _percent(entry: dict[str, Any], name: str) -> str:
    return f"{100 * entry['classes'][name]:.0f} % {name}"


def _hide(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_facecolor(PAPER_COLOR)


def _write(figure: Figure, left: float, middle: float, text: str) -> None:
    figure.text(left, middle, text, color="white", fontsize=8.5, va="center")


def _render(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    disable_mathtext(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
