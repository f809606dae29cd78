"""A comparison as text: scores with intervals, and differences to the first."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from synergynet_tf.evaluation.tables.compare import difference_rows
from synergynet_tf.evaluation.tables.console import (
    CASE_METRICS,
    NAMES,
    PAPER_METRICS,
    PROTOCOL_TITLES,
)
from synergynet_tf.formats import (
    LINE_WIDTH,
    columns,
    counted,
    metric_scale,
    with_interval,
)

KINDS = ("missed", "false", "empty")
NOTE = (
    "Intervals: 95 %, {resamples} resamples of the patients. Missed: in the reference "
    "alone; false: in the prediction alone; empty: in neither."
)
NOTE_ON_DIFFERENCES = (
    "p of Wilcoxon's signed-rank test, a difference a patient; Holm: corrected for the "
    "number of predictions that are compared with the first. The difference of a mean "
    "is that of each case's mean over the classes that both have scored. One-sided: "
    "scored in one prediction alone, and not in the difference."
)
NOTE_ON_POOLED = (
    "Differences and intervals are of the pools; p and counts of the cases' own scores."
)


def format_comparison(report: Mapping[str, Any]) -> str:
    """Formats what `compare_label_maps` returns as tables for a terminal.

    Returns:
        Lines of text that end in a newline.
    """
    parts = []
    for protocol in report["protocols"]:
        unit = "voxels" if protocol == "transunet" else report["distance_unit"]
        parts += [
            f"{PROTOCOL_TITLES[protocol]} (%, {unit}): "
            f"{counted(report['num_cases'], 'case')} of "
            f"{counted(report['num_patients'], 'patient')}",
            columns(_score_rows(report, protocol), left=2),
            "",
        ]
        for entry in report["differences"]:
            title = f"{entry['name']} - {entry['minus']}"
            parts += [
                columns(difference_rows(entry[protocol], unit, title), left=2),
                "",
            ]
        if protocol == "pooled" and report["differences"]:
            parts += [NOTE_ON_POOLED, ""]
    notes = [NOTE.format(**report["bootstrap"])]
    if report["differences"]:
        notes.append(NOTE_ON_DIFFERENCES)
    parts += textwrap.wrap(" ".join(notes), LINE_WIDTH)
    return "\n".join(parts) + "\n"


def _score_rows(report: Mapping[str, Any], protocol: str) -> list[list[str]]:
    """Returns a line for each prediction's mean, and one for each of its classes."""
    shown = PAPER_METRICS[protocol]
    if protocol == "strict":
        shown = CASE_METRICS[report["distance_unit"]]
    rows = [["", "", *(NAMES[metric] for metric in shown), *KINDS]]
    for prediction in report["predictions"]:
        block, structures = prediction[protocol], prediction["structures"]
        all_classes = {k: sum(of[k] for of in structures.values()) for k in KINDS}
        parts = [("mean", block["mean"], block["mean_interval"], all_classes)]
        if len(structures) > 1:
            parts += [
                (name, scores, block["per_class_interval"][name], structures[name])
                for name, scores in block["per_class"].items()
            ]
        title = prediction["name"]
        for name, scores, intervals, counts in parts:
            cells = [
                with_interval(scores[m], intervals[m], scale=metric_scale(m))
                for m in shown
            ]
            rows.append([title, name, *cells, *(str(counts[k]) for k in KINDS)])
            title = ""
    return rows
