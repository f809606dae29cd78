"""Robustness of several runs side by side: what corruption costs each, and a plot.

The loss of a run is its clean DSC less its mean DSC over all corruptions and
severities, each weighing alike. Runs saw the same cases, corrupted alike, so the
difference of two losses is taken within each resample of the patients.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from synergynet_tf import runs
from synergynet_tf.evaluation.figures.overlays import LINE_COLORS, disable_mathtext
from synergynet_tf.evaluation.robustness.corruptions import PARAMETERS
from synergynet_tf.formats import (
    cases_title,
    columns,
    data_title,
    with_interval,
    with_nan,
    without_nan,
)
from synergynet_tf.metrics import bootstrap
from synergynet_tf.metrics.bootstrap import Resamples

Report = Mapping[str, Any]
WORDS = {
    "noise": "noise, SD",
    "blur": "blur, pixels of 224",
    "contrast": "contrast, factor",
    "field": "field, log of factor",
    "jpeg": "JPEG, quality",
}
# Words for each number that `summarize` returns of a run.
SUMMARY = {
    "corrupted": "mean of all but clean",
    "loss": "clean less that",
    "excess": "that less the first run's",
}


def summarize(
    reports: Sequence[Mapping[str, Any]], patients: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Sums up what corruption costs each run, and compares it with the first run.

    Args:
        reports: Reports of `corrupt_run`, of the same cases.
        patients: Patient ID of each case.

    Returns:
        For each run its mean DSC when `corrupted`, the `loss` and, less that of the
        first run, the `excess`, each with its 95 % `<name>_interval` by patient;
        fractions, `None` where undefined and the first run's excess.
    """
    case_ids = list(reports[0]["rows"][0]["cases"])
    weights = bootstrap.draw_patients([patients[case_id] for case_id in case_ids])
    summaries, first = [], None
    for report in reports:
        rows = [_resampled(row, weights) for row in report["rows"]]
        several = all(row.several for row in rows)
        means = np.mean([row.means for row in rows[1:]], axis=0)
        loss = Resamples(rows[0].means - means, several)
        found = {"corrupted": Resamples(means, several), "loss": loss, "excess": None}
        if first is None:
            first = loss
        else:
            both = several and first.several
            found["excess"] = Resamples(loss.means - first.means, both)
        summaries.append(without_nan(_numbers(found)))
    return summaries


def _resampled(row: Mapping[str, Any], weights: np.ndarray) -> Resamples:
    """Returns a row's mean DSC: of all cases, then of each resample of them."""
    scores = [
        {name: {"dsc": with_nan(value)} for name, value in by_class.items()}
        for by_class in row["cases"].values()
    ]
    everyone = np.ones((1, weights.shape[1]))
    resampled = bootstrap.resample_averages(scores, np.vstack([everyone, weights]))
    return bootstrap.resampled_means(resampled)["dsc"]


def _numbers(found: Mapping[str, Resamples | None]) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    for name, values in found.items():
        numbers[name], numbers[f"{name}_interval"] = None, (None, None)
        if values is not None:
            numbers[name] = float(values.means[0])
            drawn = Resamples(values.means[1:], values.several)
            numbers[f"{name}_interval"] = bootstrap.interval(drawn)
    return numbers


def format_robustness(
    names: Sequence[str], reports: Sequence[Report], summaries: Sequence[Report]
) -> str:
    """Sets mean DSC in percent by corruption and severity, a column a run.

    Args:
        names: Names of the runs.
        reports: Reports of `corrupt_run`, of the same cases.
        summaries: Summaries of the reports, from `summarize`.

    Returns:
        Lines of text that end in a newline.
    """
    first = reports[0]
    title = f"{data_title(first)}, {first['protocol']}: {cases_title(first)}"
    level = f"{100 * first['bootstrap']['level']:.0f} %"
    rows = [["", "", "", *names]]
    for same in zip(*(report["rows"] for report in reports), strict=True):
        name, severity = same[0]["corruption"], same[0]["severity"]
        head = [WORDS.get(name, name) if severity <= 1 else "", str(severity)]
        cells = [_cell(row["dsc"], row["interval"]) for row in same]
        rows.append([*head, str(same[0]["parameter"] or ""), *cells])
    rows.append([])
    for key, words in SUMMARY.items():
        cells = [_cell(found[key], found[f"{key}_interval"]) for found in summaries]
        rows.append([words, "", "", *cells])
    lines = [
        title,
        f"DSC in %, mean over cases and classes, and its {level} interval by patient",
        "",
        columns(rows),
    ]
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
            values = with_nan([(row["dsc"], *row["interval"]) for row in shown])
            dsc, low, high = 100 * np.array(values).T
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


def _cell(dsc: float | None, interval: Sequence[float | None]) -> str:
    return with_interval(dsc, interval, ".2f", 100, ends_form=".1f")
