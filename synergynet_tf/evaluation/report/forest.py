"""Forest plots of paired differences: where everything lies in the template's SVG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from synergynet_tf.evaluation.report.charts import round_ticks, short_number
from synergynet_tf.formats import number, with_interval

WIDTH = 640
LEFT, RIGHT = 200, 430  # Edges of the plot, between the names and the numbers.
TOP, ROW, AXIS = 10, 24, 42
MAX_LETTERS = 30
NARROW = 0.05  # Margin of the longest interval, as a share of the range.


class Difference(NamedTuple):
    """A row of the plot.

    Attributes:
        name: Label of the row, such as the names of the method and the class.
        value: The difference, as it is shown: percentage points or a distance.
        interval: Ends of the interval; `None` where undefined.
    """

    name: str
    value: float
    interval: tuple[float | None, float | None]


def forest_plot(
    id_: str, title: str, unit: str, better: str, rows: Sequence[Difference]
) -> dict[str, Any] | None:
    """Returns a plot for the template's macro `forest`.

    Args:
        id_: ID of the HTML element.
        title: Title of the plot, without the unit.
        unit: Unit of the differences.
        better: Note on which side of 0 the compared method is better.
        rows: Rows from top to bottom.

    Returns:
        `None` without a row.
    """
    if not rows:
        return None
    values = [0.0]
    for row in rows:
        values += [row.value, *(end for end in row.interval if end is not None)]
    margin = NARROW * (max(values) - min(values))
    ticks = round_ticks(min(values) - margin, max(values) + margin)
    low, high = ticks[0], ticks[-1]

    def x(value: float) -> str:
        return f"{LEFT + (value - low) / (high - low) * (RIGHT - LEFT):.1f}"

    bottom = TOP + ROW * len(rows)
    lines = []
    for place, row in enumerate(rows):
        ends = [end for end in row.interval if end is not None]
        lines.append(
            {
                "y": TOP + ROW * place + ROW // 2,
                "name": _shortened(row.name),
                "x": x(row.value),
                "ends": [x(end) for end in ends] if len(ends) == 2 else None,
                "text": with_interval(row.value, row.interval, "+.2f"),
            }
        )
    return {
        "id": id_,
        "title": f"{title}, {unit}",
        "axis": f"{unit}; {better}",
        "width": WIDTH,
        "height": bottom + AXIS,
        "left": LEFT,
        "right": RIGHT,
        "top": TOP,
        "bottom": bottom,
        "zero": x(0.0),
        "ticks": [(x(tick), short_number(tick)) for tick in ticks],
        "rows": lines,
        "summary": "; ".join(f"{r.name} {number(r.value, '+.2f')}" for r in rows),
    }


def _shortened(name: str) -> str:
    return name if len(name) <= MAX_LETTERS else f"{name[: MAX_LETTERS - 1]}…"
