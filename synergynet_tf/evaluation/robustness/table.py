"""What corruption costs several runs: as text, as lines of a CSV file, as a picture."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from synergynet_tf import runs
from synergynet_tf.evaluation.figures.overlays import LINE_COLORS, disable_mathtext
from synergynet_tf.evaluation.robustness.corruptions import PARAMETERS
from synergynet_tf.evaluation.tables.console import DASH, in_brackets

Report = Mapping[str, Any]
WORDS = {
    "noise": "noise, SD",
    "blur": "blur, pixels of 224",
    "contrast": "contrast, factor",
    "field": "field, log of factor",
    "jpeg": "JPEG, quality",
}
# Of `robustness_summary.summarize`.
SUMMARY = {
    "corrupted": "mean of all but clean",
    "loss": "clean less that",
    "excess": "that less the first run's",
}


def format_robustness(
    names: Sequence[str], reports: Sequence[Report], summaries: Sequence[Report]
) -> str:
    """Sets mean DSC in percent by corruption and severity, a column a run.

    Args:
        names: Of the runs.
        reports: From `corrupt_run`, of the same cases.
        summaries: Of them, from `robustness_summary.summarize`.

    Returns:
        Lines of text that end in a newline.
    """
    first = reports[0]
    fold = f", fold {first['fold']}" if first["fold"] else ""
    width = max(22, *(len(name) + 2 for name in names))
    lines = [
        f"{first['dataset']}, {first['data_split']} split{fold}, "
        f"{first['split']} part, {first['protocol']}: {first['num_cases']} cases of "
        f"{first['num_patients']} patients",
        "DSC in %, mean over cases and classes, and its "
        f"{100 * first['bootstrap']['level']:.0f} % interval by patient",
        "",
        f"{'':<30}" + "".join(name.rjust(width) for name in names),
    ]
    for same in zip(*(report["rows"] for report in reports), strict=True):
        row = same[0]
        title = WORDS.get(row["corruption"], row["corruption"])
        severity = f"{row['severity']}{row['parameter'] or '':>7}"
        title = title if row["severity"] <= 1 else ""
        cells = "".join(_cell(row["dsc"], row["interval"]).rjust(width) for row in same)
        lines.append(f"{title:<22}{severity:<8}{cells}")
    lines.append("")
    for key, words in SUMMARY.items():
        cells = "".join(
            _cell(summary[key], summary[f"{key}_interval"]).rjust(width)
            for summary in summaries
        )
        lines.append(f"{words:<30}{cells}")
    return "\n".join(lines) + "\n"


def summary_rows(
    folders: Sequence[str | pathlib.Path], summaries: Sequence[Report]
) -> list[dict[str, Any]]:
    """Returns a line for each run."""
    rows = []
    for folder, summary in zip(folders, summaries, strict=True):
        row: dict[str, Any] = {"run": str(folder)}
        for key in SUMMARY:
            low, high = summary[f"{key}_interval"]
            row |= {key: summary[key], f"{key}_from": low, f"{key}_to": high}
        rows.append(row)
    return rows


def table_rows(
    folders: Sequence[str | pathlib.Path], reports: Sequence[Report]
) -> list[dict[str, Any]]:
    """Returns a line for each run, corruption and severity."""
    return [
        {
            "run": str(folder),
            "model": report["model"],
            "seed": report["seed"],
            "corruption": row["corruption"],
            "severity": row["severity"],
            "parameter": row["parameter"],
            "dsc": row["dsc"],
            "from": row["interval"][0],
            "to": row["interval"][1],
        }
        for folder, report in zip(folders, reports, strict=True)
        for row in report["rows"]
    ]


def draw_robustness(
    path: str | pathlib.Path, names: Sequence[str], reports: Sequence[Report]
) -> None:
    """Draws DSC by severity, a panel a corruption, a line with its interval a run."""
    figure = Figure((3.0 * len(PARAMETERS), 3.6), dpi=100, layout="constrained")
    panels = figure.subplots(1, len(PARAMETERS), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, PARAMETERS, strict=True):
        for number, (label, report) in enumerate(zip(names, reports, strict=True)):
            color = LINE_COLORS[number % len(LINE_COLORS)]
            rows = [row for row in report["rows"] if row["corruption"] == name]
            shown = [report["rows"][0], *rows]
            # JSON's null is a gap.
            lines = [(row["dsc"], *row["interval"]) for row in shown]
            dsc, low, high = zip(*_percents(lines), strict=True)
            severity = [row["severity"] for row in shown]
            axes.fill_between(severity, low, high, color=color, alpha=0.15, linewidth=0)
            axes.plot(severity, dsc, color=color, marker="o", ms=3, label=label)
        axes.set_title(WORDS[name], fontsize=10)
        axes.set_xticks(range(len(PARAMETERS[name]) + 1), ["clean\n", *_ticks(name)])
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("DSC, %")
    panels[0].set_ylim(0, 100)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    disable_mathtext(figure)
    with runs.atomic_file(path) as temporary:
        FigureCanvasAgg(figure).print_png(temporary)


def _ticks(name: str) -> list[str]:
    return [f"{i}\n{value:g}" for i, value in enumerate(PARAMETERS[name], start=1)]


def _percents(lines: Sequence[tuple[Any, ...]]) -> list[list[float]]:
    return [[float("nan") if v is None else 100 * v for v in line] for line in lines]


def _cell(value: float | None, interval: Sequence[float | None]) -> str:
    if value is None:
        return DASH
    ends = [None if end is None else 100 * end for end in interval]
    return f"{100 * value:.2f} {in_brackets(ends, '.1f')}"
