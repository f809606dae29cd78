"""The report's scores: means with their intervals, beside the paper's numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from synergynet_tf.evaluation.report.markup import Markup, element, join, section, table
from synergynet_tf.evaluation.tables.console import (
    DASH,
    NAMES,
    PROTOCOL_TITLES,
    unlike_default,
)
from synergynet_tf.experiments import METHOD_TABLES, PAPER
from synergynet_tf.metrics import METRICS, PROTOCOLS

Report = dict[str, Any]
NO_BREAK = "\N{NO-BREAK SPACE}"
MEAN = "mean of classes"
EXPLAINED = {
    "dsc": "Dice similarity coefficient",
    "hd95": "Hausdorff distance, 95th percentile",
    "nsd": "normalized surface Dice",
    "iou": "intersection over union",
    "acc": "accuracy",
    "sp": "specificity",
    "se": "sensitivity",
}


def number(metric: str, value: float | None, sign: str = "") -> str:
    """Writes a fraction as percent and a distance as it is; a dash for neither."""
    if value is None:
        return DASH
    return f"{scale(metric) * value:{sign}.2f}"


def scale(metric: str) -> int:
    """Returns what a value is multiplied with to be shown."""
    return 100 if METRICS[metric].unit == "fraction" else 1


def interval(metric: str, ends: Sequence[float | None]) -> str:
    """Writes the ends of an interval as `number` does; a dash if it has none."""
    if ends[0] is None or ends[1] is None:
        return DASH
    return f"[{number(metric, ends[0])}, {number(metric, ends[1])}]"


def unit(metric: str, protocol: str, distance_unit: str) -> str:
    """Names the unit of what `number` writes."""
    if METRICS[metric].unit == "fraction":
        return "%"
    return "voxels" if protocol == "transunet" else distance_unit


def title(metric: str, protocol: str, distance_unit: str) -> Markup:
    """Returns a column's title: the metric, what that means, and its unit."""
    name = element("abbr", NAMES[metric], title=EXPLAINED[metric])
    return join([name, f" {unit(metric, protocol, distance_unit)}"])


def key_numbers(report: Report) -> Markup:
    """Returns what a reader looks for first, each with its protocol."""
    distance = report["distance_unit"]
    entries = []
    for protocol in dict.fromkeys(("strict", report["paper_protocol"])):
        block = report[protocol]
        for metric in ("dsc", "hd95"):
            if metric not in block["mean"]:
                continue
            text = number(metric, block["mean"][metric])
            shown = f"{text} {unit(metric, protocol, distance)}"
            name = f"{NAMES[metric]}, {protocol}"
            ends = interval(metric, block["mean_interval"][metric])
            note = f"95 % interval {ends.replace(', ', f',{NO_BREAK}')}"
            entries.append(_tile(name, shown, note))
    if codes := report["codes"]:
        used = f"{codes['used']} of {codes['total']}"
        note = f"perplexity {codes['perplexity']:.1f}, on the scored cases"
        entries.append(_tile("Codes used", used, note))
    return element("dl", *entries, class_="tiles")


def scores_section(report: Report) -> Markup:
    """Returns a table for each protocol, and what was missed or falsely found."""
    bootstrap = report["bootstrap"]
    intro = (
        f"Of the {report['split']} part: {report['num_cases']} cases of "
        f"{report['num_patients']} patients. In brackets the 95 % bootstrap interval "
        f"by patient, {bootstrap['resamples']} resamples."
    )
    tables = [_scores(report, name) for name in PROTOCOLS if name in report]
    return section(
        "Scores",
        element("p", intro),
        *tables,
        _structures(report),
        id_="scores",
    )


def _tile(name: str, value: str, note: str) -> Markup:
    return element(
        "div",
        element("dt", name),
        element("dd", element("strong", value), " ", element("span", note)),
    )


def _scores(report: Report, protocol: str) -> Markup:
    """Sets the scores under one protocol as a table."""
    block = report[protocol]
    metrics = [metric for metric in METRICS if metric in block["mean"]]
    printed = _printed(report, protocol)
    classes = block["per_class"]
    alone = len(classes) == 1
    rows = []
    label = next(iter(classes)) if alone else MEAN
    rows.append([label, *_cells(block["mean"], block["mean_interval"], metrics)])
    if paper := {m: printed[m] for m in metrics if m in printed}:
        rows.append(_paper_row(report, block["mean"], paper, metrics))
    for name, scores in ({} if alone else classes).items():
        rows.append([name, *_cells(scores, block["per_class_interval"][name], metrics)])
        if name in printed:
            rows.append(_paper_row(report, scores, {"dsc": printed[name]}, metrics))
    titles = [title(metric, protocol, report["distance_unit"]) for metric in metrics]
    meaning = PROTOCOL_TITLES[protocol].removeprefix(f"{protocol}, ")
    caption = f"Protocol {protocol} ({meaning})"
    if printed:
        caption += f". The paper's: {METHOD_TABLES[report['dataset']].note}"
    return table(caption, ["class", *titles], rows, class_="scores")


def _printed(report: Report, protocol: str) -> Mapping[str, float]:
    """Returns the paper's numbers of this method, if they are of this protocol."""
    if protocol != report["paper_protocol"] or unlike_default(report):
        return {}
    return PAPER.get((report["dataset"], report["model"]), {})


def _cells(
    scores: Mapping[str, float | None],
    intervals: Mapping[str, Sequence[float | None]],
    metrics: list[str],
) -> list[str]:
    return [
        join(
            [
                element("strong", number(metric, scores[metric])),
                " ",
                element("span", interval(metric, intervals[metric])),
            ]
        )
        for metric in metrics
    ]


def _paper_row(
    report: Report,
    ours: Mapping[str, float | None],
    paper: Mapping[str, float],
    metrics: list[str],
) -> list[str]:
    """Returns the paper's numbers, and how far ours are from them."""
    cells = []
    for metric in metrics:
        value, mine = paper.get(metric), ours[metric]
        text = "" if value is None else number(metric, value)
        if value is not None and mine is not None:
            text += f" ({number(metric, mine - value, '+')})"
        cells.append(text)
    table_number = METHOD_TABLES[report["dataset"]].number
    label = f"paper, Table {table_number} (ours minus it)"
    return [element("span", label, class_="paper"), *cells]


def _structures(report: Report) -> Markup:
    kinds = {"missed": "missed", "false": "false", "empty": "in neither mask"}
    rows = [
        [name, *(str(counts[kind]) for kind in kinds)]
        for name, counts in report["structures"].items()
    ]
    caption = f"Structures, in how many of {report['num_cases']} cases"
    return table(
        f"{caption}; protocol {report['protocol']}", ["class", *kinds.values()], rows
    )
