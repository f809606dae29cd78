"""A table of the paper as text, Markdown, LaTeX or CSV."""

from __future__ import annotations

import csv
import io
import re
import textwrap
from collections.abc import Sequence

from synergynet_tf.evaluation.tables.paper_table import Line, PaperTable
from synergynet_tf.formats import (
    DASH,
    LINE_WIDTH,
    columns,
    in_brackets,
    markdown,
    mean_and_sd,
    number,
    points,
)

PAPER = "paper"


def format_text(table: PaperTable) -> str:
    """Formats the table for a terminal: several lines for each row."""
    rows = [["", "runs", *table.titles.values(), "against", "p"]]
    for line in table.lines:
        ours = [line.row, str(len(line.seeds) or DASH), *_means(table, line)]
        rows.append([*ours, *_compared(line)])
        if len(line.seeds) > 1:
            deviations = [c.sd for c in line.cells.values()]
            rows.append(["  SD over seeds", "", *_numbers(table, deviations)])
        if line.seeds:
            intervals = [c.interval or (None, None) for c in line.cells.values()]
            low, high = zip(*intervals, strict=True)
            rows.append(["  95 % interval, from", "", *_numbers(table, low)])
            rows.append(["  to", "", *_numbers(table, high)])
        rows.append([f"  {PAPER}", "", *_papers(table, line)])
        if line.seeds:
            pairs = zip(_papers(table, line), _differences(table, line), strict=True)
            differences = [cell if paper else "" for paper, cell in pairs]
            rows.append(["  difference", "", *differences])
    sentences = [
        part for text in _sentences(table) for part in textwrap.wrap(text, LINE_WIDTH)
    ]
    return "\n".join([*sentences, "", columns(rows)]) + "\n"


def format_markdown(table: PaperTable) -> str:
    """Formats the table in GitHub's Markdown, its caption above."""
    rows = [
        [f"*{cell}*" if cell else "" for cell in row] if row[0] == PAPER else row
        for row in _grid(table)
    ]
    return "\n".join([" ".join(_sentences(table)), "", markdown(rows)]) + "\n"


def format_latex(table: PaperTable) -> str:
    """Formats the table in LaTeX; it needs the package `booktabs`."""
    head, *body = _grid(table)
    keys, lines = {line.row for line in table.lines}, list[str]()
    for row in body:
        texts = [_latex_number(cell) for cell in row]
        if row[0] == PAPER:
            texts = [rf"\textit{{{text}}}" if text else "" for text in texts]
        if lines and row[0] in keys:
            lines.append(r"\addlinespace")
        lines.append(" & ".join(texts) + r" \\")
    start = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_latex(' '.join(_sentences(table)))}}}",
        rf"\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
        r"\toprule",
        " & ".join(map(_latex, head)) + r" \\",
        r"\midrule",
    ]
    end = [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join([*start, *lines, *end]) + "\n"


def format_csv(table: PaperTable) -> str:
    """Formats the table as CSV: a line for each number, with how it was made."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    numbers = ("runs", "mean", "sd", "low", "high", "paper", "difference")
    against = ("rival", "against_rival", "p_holm")
    head = (*table.settings, "row", "column", "protocol", "unit", *numbers, *against)
    writer.writerow(head)
    for line in table.lines:
        compared = _compared(line) if line.comparison else ("", "")
        for name, cell in line.cells.items():
            column = table.columns[name]
            low, high = cell.interval or (None, None)
            values = (cell.mean, cell.sd, low, high, cell.paper, cell.difference)
            unit = "%" if column.scale == 100 else "voxels"
            shown = ["" if v is None else round(column.scale * v, 4) for v in values]
            start = (*table.settings.values(), line.row, name, column.protocol, unit)
            writer.writerow(
                [*start, len(line.seeds), *shown, table.baseline, *compared]
            )
    return text.getvalue()


FORMATTERS = {
    "text": format_text,
    "markdown": format_markdown,
    "latex": format_latex,
    "csv": format_csv,
}


def _sentences(table: PaperTable) -> list[str]:
    return [*table.caption, *table.notes]


def _grid(table: PaperTable) -> list[list[str]]:
    """Returns the head, then up to four lines of each row, all of one length."""
    grid = [["", "runs", *table.titles.values(), f"against {table.baseline}", "p"]]
    for line in table.lines:
        cells = [(table.columns[name].scale, cell) for name, cell in line.cells.items()]
        ours = [mean_and_sd(c.mean, c.sd, scale=scale) for scale, c in cells]
        grid.append([line.row, str(len(line.seeds) or DASH), *ours, *_compared(line)])
        if line.seeds:
            ranges = [
                in_brackets(c.interval or (None, None), scale=scale)
                for scale, c in cells
            ]
            grid.append(["95 % interval", "", *ranges, "", ""])
        grid.append([PAPER, "", *_papers(table, line), "", ""])
        if line.seeds:
            grid.append(["difference", "", *_differences(table, line), "", ""])
    return grid


def _numbers(
    table: PaperTable, values: Sequence[float | None], form: str = ".2f"
) -> list[str]:
    """Formats a value of each column."""
    pairs = zip(values, table.columns.values(), strict=True)
    return [number(value, form, column.scale) for value, column in pairs]


def _means(table: PaperTable, line: Line) -> list[str]:
    return _numbers(table, [cell.mean for cell in line.cells.values()])


def _papers(table: PaperTable, line: Line) -> list[str]:
    """Formats the paper's numbers; nothing where the paper has no such column."""
    papers = _numbers(table, [cell.paper for cell in line.cells.values()])
    return ["" if cell == DASH else cell for cell in papers]


def _differences(table: PaperTable, line: Line) -> list[str]:
    return _numbers(table, [c.difference for c in line.cells.values()], "+.2f")


def _compared(line: Line) -> list[str]:
    """Formats the difference from the baseline and its p."""
    if line.comparison is None:
        return [DASH, DASH]
    return [points(line.comparison.difference), number(line.comparison.p, ".2g")]


def _latex(text: str) -> str:
    """Escapes what LaTeX would read as a command."""
    text = text.replace("\\", r"\textbackslash ")
    for mark in "&%$#_{}":
        text = text.replace(mark, f"\\{mark}")
    for mark, name in (("~", "tilde"), ("^", "circum")):
        text = text.replace(mark, rf"\textascii{name} ")
    return text.replace("±", r"$\pm$")


def _latex_number(cell: str) -> str:
    """Replaces hyphens by minus signs, and a missing number by a dash."""
    return "--" if cell == DASH else re.sub(r"(?<!\w)-(?=\d)", "$-$", _latex(cell))
