"""A comparison of two runs as text."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from synergynet_tf.evaluation.tables.console import (
    DASH,
    LINE_WIDTH,
    NAMES,
    with_options,
)
from synergynet_tf.metrics import METRICS

COUNTS = ("better", "worse", "equal", "one_sided")
CLASS_METRICS = ("dsc", "hd95")


def format_comparison(comparison: Mapping[str, Any]) -> str:
    """Sets what `compare_runs` returns as a table.

    Every metric has a line for the mean over classes, and DSC and HD95 one for each
    class if there are several. Differences are in percentage points, or in the unit
    of distances.

    Returns:
        Lines of text that end in a newline.
    """
    unit = "voxels"
    if comparison["protocol"] != "transunet":
        unit = comparison["distance_unit"]
    fold = f", fold {comparison['fold']}" if comparison["fold"] else ""
    lines = [
        f"{comparison['dataset']}, {comparison['data_split']} split{fold}, "
        f"{comparison['split']} part, {comparison['protocol']}: "
        f"{comparison['num_cases']} cases of {comparison['num_patients']} patients"
    ]
    for label, run in zip(("first", "second"), comparison["runs"], strict=True):
        name = f"{run['model']} seed {run['seed']}{with_options(run['options'])}"
        lines.append(f"{label:<7} {name}, {run['folder']}")
    words = ("second - first", "95 % from", "to", "p", "better", "worse", "equal")
    lines += ["", _line("", "", *words, "one-sided")]
    blocks = {"mean": comparison["mean"]}
    if len(comparison["per_class"]) > 1:
        blocks |= {
            name: {
                metric: scores[metric] for metric in CLASS_METRICS if metric in scores
            }
            for name, scores in comparison["per_class"].items()
        }
    for name, scores in blocks.items():
        for metric, summary in scores.items():
            lines.append(_metric_line(name, metric, summary, unit))
            name = ""
    note = (
        f"Intervals by patient, {comparison['bootstrap']['resamples']} resamples; p of "
        "Wilcoxon's signed-rank test, a difference a patient. One-sided: scored in one "
        "run alone, and not in the difference."
    )
    return "\n".join([*lines, *textwrap.wrap(note, LINE_WIDTH)]) + "\n"


def _metric_line(name: str, metric: str, summary: Mapping[str, Any], unit: str) -> str:
    is_fraction = METRICS[metric].unit == "fraction"
    scale = 100 if is_fraction else 1
    numbers = (summary["difference"], *summary["interval"])
    cells = [DASH if n is None else f"{scale * n:+.2f}" for n in numbers]
    p = DASH if summary["p"] is None else f"{summary['p']:.2g}"
    counts = [str(summary[count]) for count in COUNTS]
    title = NAMES[metric] if is_fraction else f"{NAMES[metric]} {unit}"
    return _line(name, title, *cells, p, *counts)


def _line(name: str, title: str, *cells: str) -> str:
    widths = (15, 10, 8, 9, 7, 6, 6, 10)
    row = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
    return f"{name[:11]:<12}{title:<12}{''.join(row)}".rstrip()
