"""Numbers, titles and tables as text: one spelling of each for every command and page.

Fractions are shown in percent, changes of them in percentage points, distances as they
are. What is undefined, `None` or `nan`, is a dash.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from synergynet_tf.metrics import LESION_METRICS, METRICS

DASH = "-"
# Title of each metric's column, and the title without abbreviations.
METRIC_NAMES = {
    "dsc": ("DSC", "Dice similarity coefficient"),
    "hd95": ("HD95", "Hausdorff distance, 95th percentile"),
    "nsd": ("NSD", "normalized surface Dice"),
    "iou": ("IoU", "intersection over union"),
    "acc": ("ACC", "accuracy"),
    "sp": ("SP", "specificity"),
    "se": ("SE", "sensitivity"),
    "lesion_precision": ("precision", "true of all findings"),
    "lesion_recall": ("recall", "detected of all lesions"),
    "lesion_f1": ("F1", "harmonic mean of precision and recall"),
}
# Width to which sentences below a table are wrapped in a terminal.
LINE_WIDTH = 96


def number(value: float | None, form: str = ".3f", scale: float = 1) -> str:
    """Formats a number; a dash if it is undefined.

    Args:
        value: The number.
        form: A format specification, such as `+.2f` for a difference.
        scale: Factor of the number.

    Example:
    >>> number(0.25), number(0.256, ".1%"), number(None), number(math.nan)
    ('0.250', '25.6%', '-', '-')
    """
    if value is None or math.isnan(value):
        return DASH
    return f"{scale * value:{form}}"


def percent(fraction: float | None, digits: int = 2) -> str:
    """Formats a fraction in percent, without the sign.

    Example:
    >>> percent(0.8215), percent(0.8215, 0), percent(None)
    ('82.15', '82', '-')
    """
    return number(fraction, f".{digits}f", 100)


def points(change: float | None, digits: int = 2) -> str:
    """Formats a change of a fraction in percentage points, with its sign.

    Example:
    >>> points(0.01), points(-0.005, 1), points(None)
    ('+1.00', '-0.5', '-')
    """
    return number(change, f"+.{digits}f", 100)


def metric_scale(metric: str) -> int:
    """Returns what a metric is multiplied by to be shown: 100 for a fraction."""
    unit = (METRICS | LESION_METRICS)[metric].unit
    return 100 if unit == "fraction" else 1


def score(metric: str, value: float | None, form: str = ".2f") -> str:
    """Formats a score: a fraction in percent, a distance as it is.

    Example:
    >>> score("dsc", 0.8215), score("hd95", 8.2), score("dsc", -0.01, "+.2f")
    ('82.15', '8.20', '-1.00')
    """
    return number(value, form, metric_scale(metric))


def in_brackets(
    ends: Sequence[float | None], form: str = ".2f", scale: float = 1
) -> str:
    """Formats an interval; a dash if it is undefined.

    Example:
    >>> in_brackets((0.25, 0.5), ".1f"), in_brackets((0.25, 0.5), ".0f", 100)
    ('[0.2, 0.5]', '[25, 50]')
    """
    low, high = (number(end, form, scale) for end in ends)
    return DASH if DASH in (low, high) else f"[{low}, {high}]"


def with_interval(
    value: float | None,
    ends: Sequence[float | None],
    form: str = ".2f",
    scale: float = 1,
    ends_form: str | None = None,
) -> str:
    """Formats an estimate and its interval; a single dash if there is no estimate.

    Args:
        value: The estimate.
        ends: Ends of its interval.
        form: A format specification.
        scale: Factor of all three numbers.
        ends_form: Format specification of the ends; `None` for `form`.

    Example:
    >>> with_interval(0.5, (0.4, 0.65), scale=100, ends_form=".0f")
    '50.00 [40, 65]'
    """
    shown = number(value, form, scale)
    if shown == DASH:
        return DASH
    return f"{shown} {in_brackets(ends, ends_form or form, scale)}"


def mean_and_sd(
    mean: float | None, sd: float | None, form: str = ".2f", scale: float = 1
) -> str:
    """Formats a mean and, if it is defined, its standard deviation.

    Example:
    >>> mean_and_sd(0.82, 0.02, scale=100), mean_and_sd(8.2, None)
    ('82.00 ± 2.00', '8.20')
    """
    deviation = number(sd, form, scale)
    shown = number(mean, form, scale)
    return shown if deviation == DASH else f"{shown} ± {deviation}"


def counted(count: int, noun: str) -> str:
    """Formats a count with its noun.

    Example:
    >>> counted(1, "run"), counted(2, "run")
    ('1 run', '2 runs')
    """
    return f"{count} {noun}" + ("" if count == 1 else "s")


def duration(seconds: float) -> str:
    """Formats a duration.

    Example:
    >>> duration(40), duration(720), duration(11100)
    ('40 s', '12 min', '3 h 05 min')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def without_nan(value: Any) -> Any:
    """Replaces `nan` by `None`, for which JSON has a word, and tuples by lists."""
    if isinstance(value, Mapping):
        return {key: without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def with_nan(value: Any) -> Any:
    """Replaces `None` by `nan`, to compute with what was read from JSON."""
    if isinstance(value, Mapping):
        return {key: with_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [with_nan(entry) for entry in value]
    return math.nan if value is None else value


def data_title(report: Mapping[str, Any]) -> str:
    """Names what a report is of: `isic, official split, fold 1/5, test part`.

    Args:
        report: Report with the `dataset`, `data_split`, `fold` and `split` of
            `metrics.json`.
    """
    fold = f", fold {report['fold']}" if report.get("fold") else ""
    split = f"{report['data_split']} split{fold}"
    return f"{report['dataset']}, {split}, {report['split']} part"


def cases_title(report: Mapping[str, Any]) -> str:
    """Counts a report's cases: `8 cases of 4 patients (--limit 8)`.

    Args:
        report: Report with the `num_cases`, `num_patients` and `limit` of
            `metrics.json`; without patients or a limit, these are not named.
    """
    patients = report.get("num_patients")
    of_patients = "" if patients is None else f" of {patients} patients"
    limit = f" (--limit {report['limit']})" if report.get("limit") else ""
    return f"{report['num_cases']} cases{of_patients}{limit}"


def with_options(options: Mapping[str, bool]) -> str:
    """Names the post-processing that was on: `, with flips, largest`, or nothing."""
    names = [name for name, on in options.items() if on]
    return f", with {', '.join(names)}" if names else ""


def columns(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Aligns a table for a terminal.

    Args:
        rows: Cells; a row may end early.
        left: Number of text columns, left-aligned; the others are numbers,
            right-aligned.

    Example:
    >>> columns([["", "DSC", "HD95"], ["mean", "82.00"]]).splitlines()
    ['        DSC  HD95', 'mean  82.00']
    """
    count = max(map(len, rows), default=0)
    filled = [[*row, *[""] * (count - len(row))] for row in rows]
    widths = [max(map(len, column)) for column in zip(*filled, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in filled
    )


def markdown(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Formats a table in GitHub's Markdown.

    Args:
        rows: Cells, the head first.
        left: Number of text columns, left-aligned; the others are numbers,
            right-aligned.

    Example:
    >>> print(markdown([["size", "ms"], ["small", "1.5"]]))
    | size | ms |
    |---|---:|
    | small | 1.5 |
    """
    head, *lines = (
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
        for row in rows
    )
    rule = "".join("|---" if i < left else "|---:" for i in range(len(rows[0])))
    return "\n".join([head, f"{rule}|", *lines])
