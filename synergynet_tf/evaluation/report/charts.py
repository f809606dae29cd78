"""Line charts over epochs: where everything lies in the template's SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

WIDTH, HEIGHT = 360, 220
LEFT, RIGHT, TOP, BOTTOM = 52, WIDTH - 10, 12, HEIGHT - 38
MAX_TICKS = 5
# Most points that are each marked: more would be a thick line.
MAX_MARKS = 30


def line_chart(
    id_: str, title: str, epochs: Sequence[float], lines: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """Returns a chart for the template's macro `chart`.

    Args:
        id_: ID of the HTML element.
        title: Title of the chart, with the unit.
        epochs: The numbers of the epochs.
        lines: The values of `training` and `validation`, one for each epoch.
    """
    low, high = min(map(min, lines.values())), max(map(max, lines.values()))
    ticks = round_ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    first, last = epochs[0], max(epochs[-1], epochs[0] + 1)

    def x(epoch: float) -> str:
        return f"{LEFT + (epoch - first) / (last - first) * (RIGHT - LEFT):.1f}"

    def y(value: float) -> str:
        return f"{BOTTOM - (value - low) / (high - low) * (BOTTOM - TOP):.1f}"

    points = {
        kind: [(x(e), y(value)) for e, value in zip(epochs, values, strict=True)]
        for kind, values in lines.items()
    }
    return {
        "id": id_,
        "title": title,
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
        "right": RIGHT,
        "bottom": BOTTOM,
        "ticks": [(y(tick), short_number(tick)) for tick in ticks],
        "epochs": [(x(e), f"{e:.0f}") for e in _epoch_ticks(first, epochs[-1])],
        "lines": points,
        "marked": len(epochs) <= MAX_MARKS,
        "ends": {
            k: (short_number(v[0]), short_number(v[-1])) for k, v in lines.items()
        },
    }


def round_ticks(low: float, high: float) -> list[float]:
    """Returns round numbers that enclose the values, at most `MAX_TICKS + 1`."""
    if high <= low:
        low, high = (low - 0.5, high + 0.5) if low == 0 else (min(low, 0), max(high, 0))
    rough = (high - low) / MAX_TICKS
    unit = 10 ** math.floor(math.log10(rough))
    step = next(unit * n for n in (1, 2, 2.5, 5, 10, 20) if unit * n >= rough * 0.999)
    start = math.floor(low / step + 1e-9)
    stop = math.ceil(high / step - 1e-9)
    return [step * number for number in range(start, stop + 1)]


def _epoch_ticks(first: float, last: float) -> list[float]:
    step = max(1, math.ceil((last - first) / MAX_TICKS))
    return [first + step * i for i in range(int((last - first) / step) + 1)]


def short_number(value: float) -> str:
    """Writes a number with as many digits as a reader wants.

    Example:
    >>> [short_number(v) for v in (0.00125, 0.5, 12.0, 1018.0)]
    ['0.00125', '0.5', '12', '1018']
    """
    return f"{value:.4g}"
