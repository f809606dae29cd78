"""Line charts as SVG, for the report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from synergynet_tf.evaluation.report.markup import Markup, element, join

WIDTH, HEIGHT = 360, 220
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 12, 38
MOST_TICKS = 5
# Up to so many points each is marked: more would be a thick line.
MOST_MARKS = 30


class Line(NamedTuple):
    """A line of a chart.

    Attributes:
        title: What it shows.
        values: One for each epoch.
        kind: `training` or `validation`: how it is drawn.
    """

    title: str
    values: Sequence[float]
    kind: str


def line_chart(
    id_: str, title: str, epochs: Sequence[float], lines: Sequence[Line]
) -> Markup:
    """Draws lines over epochs; `title` says what, and in which unit."""
    low = min(min(line.values) for line in lines)
    high = max(max(line.values) for line in lines)
    ticks = _ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    first, last = epochs[0], max(epochs[-1], epochs[0] + 1)

    def x(epoch: float) -> float:
        return LEFT + (epoch - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    grid = [_grid_line(y(tick), _label(tick)) for tick in ticks]
    axis = [
        _text(x(epoch), HEIGHT - BOTTOM + 16, f"{epoch:.0f}", "middle")
        for epoch in _epoch_ticks(first, epochs[-1])
    ]
    axis.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, "epoch", "middle"))
    drawn = [
        _line(line, [(x(e), y(v)) for e, v in zip(epochs, line.values, strict=True)])
        for line in lines
    ]
    said = "; ".join(
        f"{line.title} from {_label(line.values[0])} to {_label(line.values[-1])}"
        for line in lines
    )
    picture = element(
        "svg",
        element("title", f"{title}: {said}", id=f"{id_}-title"),
        *grid,
        *axis,
        *drawn,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        width=WIDTH,
        height=HEIGHT,
        role="img",
        aria_labelledby=f"{id_}-title",
    )
    key = element("span", *(_key(line) for line in lines), class_="keys")
    caption = element("figcaption", element("strong", title), key)
    return element("figure", caption, picture, class_="chart")


def _ticks(low: float, high: float) -> list[float]:
    """Returns round numbers that enclose the values, at most `MOST_TICKS + 1`."""
    if high <= low:
        low, high = (low - 0.5, high + 0.5) if low == 0 else (min(low, 0), max(high, 0))
    rough = (high - low) / MOST_TICKS
    unit = 10 ** math.floor(math.log10(rough))
    step = next(unit * n for n in (1, 2, 2.5, 5, 10, 20) if unit * n >= rough * 0.999)
    start = math.floor(low / step + 1e-9)
    stop = math.ceil(high / step - 1e-9)
    return [step * number for number in range(start, stop + 1)]


def _epoch_ticks(first: float, last: float) -> list[float]:
    step = max(1, math.ceil((last - first) / MOST_TICKS))
    return [first + step * i for i in range(int((last - first) / step) + 1)]


def _grid_line(y: float, label: str) -> Markup:
    line = element(
        "line", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{y:.1f}", y2=f"{y:.1f}", class_="grid"
    )
    return join([line, _text(LEFT - 6, y + 4, label, "end")])


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    return element("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor)


def _line(line: Line, points: Sequence[tuple[float, float]]) -> Markup:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    marks = [
        element("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=3)
        for x, y in (points if len(points) <= MOST_MARKS else ())
    ]
    return element("g", element("polyline", points=path), *marks, class_=line.kind)


def _key(line: Line) -> Markup:
    sample = element(
        "svg",
        element("line", x1=0, x2=26, y1=5, y2=5),
        viewBox="0 0 26 10",
        width=26,
        height=10,
        class_=line.kind,
        aria_hidden="true",
    )
    return element("span", sample, " ", line.title, class_="key")


def _label(value: float) -> str:
    """Writes a number with as many digits as a reader wants.

    Example:
    >>> [_label(v) for v in (0.00125, 0.5, 12.0, 1018.0)]
    ['0.00125', '0.5', '12', '1018']
    """
    return f"{value:.4g}"
