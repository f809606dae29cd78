"""A table of the paper as text, Markdown, LaTeX or CSV."""

from __future__ import annotations

import csv
import io
import re
import textwrap
from collections.abc import Callable, Collection, Sequence

from synergynet_tf.evaluation.tables.console import DASH, LINE_WIDTH
from synergynet_tf.evaluation.tables.paper import Line, PaperTable
from synergynet_tf.evaluation.tables.row_scores import Cell, Column

PAPER = "paper"


def format_text(table: PaperTable) -> str:
    """Sets the table for a terminal: several lines for each row."""
    titles = [*table.titles.values(), "against", "p"]
    widths = [max(8, len(title) + 2) for title in titles]
    labels = [line.row for line in table.lines] + ["  95 % interval, from"]
    first = max(map(len, labels))

    def row(label: str, seeds: str, cells: Sequence[str]) -> str:
        numbers = (cell.rjust(w) for cell, w in zip(cells, widths, strict=False))
        return f"{label:<{first}}{seeds:>6}{''.join(numbers)}".rstrip()

    def numbers(line: Line, value: Callable[[Cell], float | None]) -> list[str]:
        return [_number(table.columns[n], value(c)) for n, c in line.cells.items()]

    lines = [row("", "runs", titles)]
    for line in table.lines:
        mean = [*numbers(line, lambda cell: cell.mean), *_compared(line)]
        lines.append(row(line.row, str(len(line.seeds) or DASH), mean))
        if len(line.seeds) > 1:
            lines.append(row("  SD over seeds", "", numbers(line, lambda c: c.sd)))
        if line.seeds:
            low = numbers(line, lambda c: c.interval and c.interval[0])
            high = numbers(line, lambda c: c.interval and c.interval[1])
            lines += [row("  95 % interval, from", "", low), row("  to", "", high)]
        papers = [n for n in table.columns if line.cells[n].paper is not None]
        cells = numbers(line, lambda c: c.paper)[: len(papers)]
        lines.append(row("  paper", "", cells))
        if line.seeds:
            lines.append(row("  difference", "", _differences(table, line, papers)))
    said = [
        part for text in _sentences(table) for part in textwrap.wrap(text, LINE_WIDTH)
    ]
    return "\n".join([*said, "", *lines]) + "\n"


def format_markdown(table: PaperTable) -> str:
    """Sets the table in GitHub's Markdown, its caption above."""
    head, *body = _grid(table)
    rule = "|".join(["", "---", *["---:"] * (len(head) - 1), ""])
    lines = [_markdown(head), rule]
    for cells in body:
        if cells[0] == PAPER:
            cells = [f"*{cell}*" if cell else "" for cell in cells]
        lines.append(_markdown(cells))
    return "\n".join([" ".join(_sentences(table)), "", *lines]) + "\n"


def format_latex(table: PaperTable) -> str:
    """Sets the table in LaTeX; it needs the package `booktabs`."""
    head, *body = _grid(table)
    rows, lines = {line.row for line in table.lines}, list[str]()
    for cells in body:
        texts = [_latex_number(cell) for cell in cells]
        if cells[0] == PAPER:
            texts = [rf"\textit{{{text}}}" if text else "" for text in texts]
        if lines and cells[0] in rows:
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
    """Sets the table as CSV: a line for each number, which says how it was made."""
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
            shown = [_rounded(column, value) for value in values]
            start = (*table.settings.values(), line.row, name, column.protocol, unit)
            writer.writerow([*start, len(line.seeds), *shown, table.rival, *compared])
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
    columns = table.columns
    grid = [["", "runs", *table.titles.values(), f"against {table.rival}", "p"]]
    for line in table.lines:
        cells = line.cells.items()
        papers = [
            "" if c.paper is None else _number(columns[n], c.paper) for n, c in cells
        ]
        ours = [_mean_and_sd(columns[name], cell) for name, cell in cells]
        runs = str(len(line.seeds) or DASH)
        grid.append([line.row, runs, *ours, *_compared(line)])
        if line.seeds:
            ranges = [_range(columns[name], cell) for name, cell in cells]
            grid.append(["95 % interval", "", *ranges, "", ""])
        grid.append([PAPER, "", *papers, "", ""])
        if line.seeds:
            grid.append(["difference", "", *_differences(table, line, columns), "", ""])
    return grid


def _compared(line: Line) -> list[str]:
    if line.comparison is None:
        return [DASH, DASH]
    difference, p = line.comparison
    return [f"{100 * difference:+.2f}", f"{p:.2g}"]


def _differences(table: PaperTable, line: Line, names: Collection[str]) -> list[str]:
    return [
        _number(table.columns[name], cell.difference, "+")
        for name, cell in line.cells.items()
        if name in names
    ]


def _mean_and_sd(column: Column, cell: Cell) -> str:
    mean = _number(column, cell.mean)
    return mean if cell.sd is None else f"{mean} ± {_number(column, cell.sd)}"


def _range(column: Column, cell: Cell) -> str:
    if cell.interval is None:
        return DASH
    return "[{}, {}]".format(*(_number(column, end) for end in cell.interval))


def _number(column: Column, value: float | None, sign: str = "") -> str:
    return DASH if value is None else f"{column.scale * value:{sign}.2f}"


def _rounded(column: Column, value: float | None) -> float | str:
    return "" if value is None else round(column.scale * value, 4)


def _markdown(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _latex(text: str) -> str:
    """Escapes what LaTeX would read as a command."""
    text = text.replace("\\", r"\textbackslash ")
    for mark in "&%$#_{}":
        text = text.replace(mark, f"\\{mark}")
    for mark, name in (("~", "tilde"), ("^", "circum")):
        text = text.replace(mark, rf"\textascii{name} ")
    return text.replace("±", r"$\pm$")


def _latex_number(cell: str) -> str:
    """Sets minus signs, and a dash for what is not there."""
    return "--" if cell == DASH else re.sub(r"(?<!\w)-(?=\d)", "$-$", _latex(cell))
