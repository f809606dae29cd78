"""Score tables of runs as text: ours, the paper's and the difference.

Runs share a table only where their numbers may be compared: the same data, image
size and epochs. Everything a reader needs to not mistake a short run for the
paper's stands in the title.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from synergynet_tf.config import ModelConfig
from synergynet_tf.evaluation.scores import MODEL_SETTINGS, Scores
from synergynet_tf.experiments import METHOD_TABLES, PAPER
from synergynet_tf.formats import DASH, LINE_WIDTH, METRIC_NAMES, score

Report = dict[str, Any]

NAMES = {metric: name for metric, (name, _) in METRIC_NAMES.items()}
# Metrics that the paper prints under each protocol, in its order.
PAPER_METRICS = {
    "pooled": ("iou", "dsc", "acc", "sp", "se"),
    "transunet": ("dsc", "hd95"),
    "strict": ("dsc", "hd95"),
}
# Metrics beside them, by the unit of distances: `px` for photographs, `mm` for scans.
CASE_METRICS = {"px": ("dsc", "iou", "hd95"), "mm": ("dsc", "nsd", "hd95")}
PROTOCOL_TITLES = {
    "pooled": "pooled, all cases as one",
    "transunet": "TransUNet's test code",
    "strict": "strict, mean of cases",
}
LABEL_WIDTH = 24
WIDTH = 7
GAP = "  "


def format_tables(found: Sequence[Scores]) -> str:
    """Formats scores as tables, one for each kind of experiment.

    A model has a line of ours, two of its bootstrap interval, one of the paper's, and
    one of the difference in percentage points (voxels for HD95); dashes where the
    paper has no number, and no line of it for data that it does not use.

    Args:
        found: Scores of runs, in any order.

    Returns:
        Lines of text that end in a newline.
    """
    groups: dict[tuple[str, str, str], list[Report]] = {}
    for scores in found:
        kind = scores.title(), _left_protocol(scores), scores.distance_unit
        groups.setdefault(kind, []).append(scores.to_json())
    return "\n".join(
        _format_table(title, protocol, group)
        for (title, protocol, _), group in groups.items()
    )


def _left_protocol(scores: Scores) -> str:
    """Names the protocol on the left: the one asked for, else the paper's."""
    asked = scores.protocol
    return scores.paper_protocol if asked == "strict" else asked


def _format_table(title: str, protocol: str, reports: Sequence[Report]) -> str:
    """Formats reports of one kind of experiment."""
    first = reports[0]
    columns = PAPER_METRICS[protocol]
    left_title = f"{PROTOCOL_TITLES[protocol]} (%)"
    right_title = f"strict, mean of cases (%, {first['distance_unit']})"
    lines = [
        title,
        f"{'':{LABEL_WIDTH}}{left_title:{WIDTH * len(columns)}}{GAP}{right_title}",
        _line(
            "model",
            [NAMES[metric] for metric in columns],
            [NAMES[metric] for metric in CASE_METRICS[first["distance_unit"]]],
            "codes used",
        ),
    ]
    for report in reports:
        lines += _model_lines(report, protocol, columns)
    lines += _notes(reports, protocol)
    return "\n".join(lines) + "\n"


def unlike_default(report: Report) -> str:
    """Names what is not the default, so that the paper's number is not of this run."""
    defaults = vars(ModelConfig())
    return ", ".join(
        f"{name} {report[name]}, not {defaults[name]}"
        for name in MODEL_SETTINGS
        if report[name] != defaults[name]
    )


def _model_lines(report: Report, protocol: str, columns: Sequence[str]) -> list[str]:
    ours, cases = report[protocol]["mean"], report["strict"]["mean"]
    metrics = CASE_METRICS[report["distance_unit"]]
    codes = report["codes"]
    lines = [
        _line(
            f"{report['model']} seed {report['seed']}",
            [score(metric, ours[metric]) for metric in columns],
            [score(metric, cases[metric]) for metric in metrics],
            f"{codes['used']} of {codes['total']}" if codes else DASH,
        )
    ]
    left, right = (report[p]["mean_interval"] for p in (protocol, "strict"))
    for i, label in enumerate(("  95 % interval, from", "  to")):
        lines.append(
            _line(
                label,
                [score(metric, left[metric][i]) for metric in columns],
                [score(metric, right[metric][i]) for metric in metrics],
            )
        )
    printed = PAPER.get((report["dataset"], report["model"]), {})
    if protocol != report["paper_protocol"] or unlike_default(report):
        printed = {}
    if report["dataset"] in METHOD_TABLES:
        lines.append(_line("  paper", [score(m, printed.get(m)) for m in columns]))
    if printed:
        pairs = {m: (ours[m], printed[m]) for m in columns}
        differences = [
            score(m, None if own is None else own - paper, "+.2f")
            for m, (own, paper) in pairs.items()
        ]
        lines.append(_line("  difference", differences))
    return lines


def _notes(reports: Sequence[Report], protocol: str) -> list[str]:
    """Says what the paper's rows are, and what was missed or falsely found."""
    dataset = reports[0]["dataset"]
    notes = []
    if dataset in METHOD_TABLES and protocol == reports[0]["paper_protocol"]:
        table = METHOD_TABLES[dataset]
        notes.append(f"Paper: Table {table.number}. {table.note}")
    for report in reports:
        name = f"{report['model']} seed {report['seed']}"
        if unlike := unlike_default(report):
            notes.append(f"{name}: {unlike}")
        if report["trained_epochs"] < report["epochs"]:
            notes.append(
                f"{name}: trained for {report['trained_epochs']} of "
                f"{report['epochs']} epochs"
            )
        counts = {
            kind: sum(counts[kind] for counts in report["structures"].values())
            for kind in ("missed", "false", "empty")
        }
        if any(counts.values()):
            notes.append(
                f"{name}: {counts['missed']} structures missed, {counts['false']} "
                f"false, {counts['empty']} in neither mask"
            )
    return [line for note in notes for line in textwrap.wrap(note, LINE_WIDTH)]


def _line(
    label: str, left: Sequence[str], right: Sequence[str] = (), codes: str = ""
) -> str:
    ours, cases = (
        "".join(f"{cell:>{WIDTH}}" for cell in part) for part in (left, right)
    )
    return f"{label:{LABEL_WIDTH}}{ours}{GAP}{cases}{codes:>{WIDTH + 6}}".rstrip()
