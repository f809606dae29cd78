"""A comparison as text: scores with intervals, and differences to the first."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from synergynet_tf.evaluation.label_maps.methods import LESIONS
from synergynet_tf.evaluation.tables.console import (
    CASE_METRICS,
    NAMES,
    PAPER_METRICS,
    PROTOCOL_TITLES,
)
from synergynet_tf.evaluation.tables.paired_runs import difference_rows
from synergynet_tf.formats import (
    LINE_WIDTH,
    columns,
    counted,
    in_brackets,
    mean_and_sd,
    metric_scale,
    number,
    percent,
    score,
    with_interval,
)

KINDS = ("missed", "false", "empty")
LESION_KINDS = ("detected", "missed", "true", "false")
NOTE = (
    "Intervals: 95 %, {resamples} resamples of the patients: percentiles, below them "
    "BCa. Missed: in the reference alone; false: in the prediction alone; empty: in "
    "neither."
)
NOTE_ON_SEEDS = (
    "Of several seeds: mean and standard deviation of the seeds; the interval draws "
    "patients and seeds."
)
NOTE_ON_DIFFERENCES = (
    "p of Wilcoxon's signed-rank test, a difference a patient; Holm: corrected for the "
    "number of predictions that are compared with the first. The difference of a mean "
    "is that of each case's mean over the classes that both have scored. One-sided: "
    "scored in one prediction alone, and not in the difference. r: rank-biserial "
    "correlation, from -1 to 1; d_z: mean difference in standard deviations. Rank: in "
    "brackets the share of resamples in which a prediction has it."
)
NOTE_ON_POOLED = (
    "Differences and intervals are of the pools; p, counts and effect sizes of the "
    "cases' own scores."
)
NOTE_ON_LESIONS = (
    "Lesions and findings are connected components; scores are means of cases, counts "
    "are of all cases. Sizes are in voxels."
)


def format_report(report: Mapping[str, Any]) -> str:
    """Formats what `compare_label_maps` returns as tables for a terminal.

    Returns:
        Lines of text that end in a newline.
    """
    parts = []
    for block in report["ranks"]:
        unit = "voxels" if block == "transunet" else report["distance_unit"]
        parts += [
            f"{block_title(report, block)} (%"
            f"{'' if block == LESIONS else f', {unit}'}): "
            f"{counted(report['num_cases'], 'case')} of "
            f"{counted(report['num_patients'], 'patient')}",
            columns(_score_rows(report, block), left=2),
            "",
        ]
        if block == LESIONS:
            parts += [columns(lesion_rows(report), left=2), ""]
        for entry in report["differences"]:
            title = f"{entry['name']} - {entry['minus']}"
            parts += [
                columns(difference_rows(entry[block], unit, title), left=2),
                "",
                columns(_effect_rows(entry[block], block, report), left=2),
                "",
            ]
        if report["differences"]:
            parts += [columns(rank_rows(report, block)), ""]
        if block == "pooled" and report["differences"]:
            parts += [NOTE_ON_POOLED, ""]
    notes = [NOTE.format(**report["bootstrap"])]
    if any(len(method["predictions"]) > 1 for method in report["methods"]):
        notes.append(NOTE_ON_SEEDS)
    if report["differences"]:
        notes.append(NOTE_ON_DIFFERENCES)
    if LESIONS in report["ranks"]:
        notes.append(NOTE_ON_LESIONS)
    parts += textwrap.wrap(" ".join(notes), LINE_WIDTH)
    if report["warning"]:
        parts += ["", *textwrap.wrap(f"warning: {report['warning']}", LINE_WIDTH)]
    return "\n".join(parts) + "\n"


def block_title(report: Mapping[str, Any], block: str) -> str:
    """Names a protocol, or the rule of the lesions."""
    if block != LESIONS:
        return PROTOCOL_TITLES[block]
    rule = report["lesion_rule"]
    threshold = "" if rule["threshold"] is None else f" >= {rule['threshold']:g}"
    smallest = rule["minimal_size"]
    size = f", from {smallest} voxels on" if smallest > 1 else ""
    return f"lesions, overlap {rule['overlap']}{threshold}{size}"


def shown_metrics(report: Mapping[str, Any], block: str) -> tuple[str, ...]:
    """Returns the metrics of a block that tables have."""
    if block == LESIONS:
        return ("lesion_f1", "lesion_precision", "lesion_recall")
    if block == "strict":
        return CASE_METRICS[report["distance_unit"]]
    return PAPER_METRICS[block]


def _score_rows(report: Mapping[str, Any], block: str) -> list[list[str]]:
    """Returns lines for each prediction's mean, and one for each of its classes."""
    shown = shown_metrics(report, block)
    kinds = KINDS if block != LESIONS else ()
    rows = [["", "", *(NAMES[metric] for metric in shown), *kinds]]
    predictions = {entry["name"]: entry for entry in report["predictions"]}
    for method in report["methods"]:
        for name in method["predictions"]:
            rows += _prediction_rows(predictions[name], block, shown, kinds)
        if len(method["predictions"]) > 1:
            cells = [_seeds_cell(m, method[block]["mean"][m]) for m in shown]
            rows.append([method["name"], "mean", *cells])
    return rows


def _prediction_rows(
    prediction: Mapping[str, Any],
    block: str,
    shown: Sequence[str],
    kinds: Sequence[str],
) -> list[list[str]]:
    own, structures = prediction[block], prediction["structures"]
    all_classes = {k: sum(of[k] for of in structures.values()) for k in KINDS}

    def row(title: str, name: str, scores: Any, ends: Any, counts: Any) -> list[str]:
        cells = [
            with_interval(scores[m], ends[m], scale=metric_scale(m)) for m in shown
        ]
        return [title, name, *cells, *(str(counts[k]) for k in kinds)]

    title = prediction["name"]
    bca = prediction["bca"][block]["mean_interval"]
    rows = [
        row(title, "mean", own["mean"], own["mean_interval"], all_classes),
        ["", "BCa", *(in_brackets(bca[m], scale=metric_scale(m)) for m in shown)],
    ]
    if len(structures) > 1:
        rows += [
            row("", name, scores, own["per_class_interval"][name], structures[name])
            for name, scores in own["per_class"].items()
        ]
    return rows


def _seeds_cell(metric: str, summed: Mapping[str, Any]) -> str:
    scale = metric_scale(metric)
    mean = mean_and_sd(summed["mean"], summed["sd"], scale=scale)
    return f"{mean} {in_brackets(summed['interval'], scale=scale)}"


def _effect_rows(
    differences: Mapping[str, Any], block: str, report: Mapping[str, Any]
) -> list[list[str]]:
    """Returns the BCa interval and the effect sizes of each mean difference."""
    rows = [["", "", "BCa 95 % from", "to", "r", "d_z"]]
    for metric in shown_metrics(report, block):
        own = differences["mean"][metric]
        rows.append(
            [
                "mean" if len(rows) == 1 else "",
                NAMES[metric],
                *(score(metric, end, "+.2f") for end in own["bca_interval"]),
                number(own["rank_biserial"], "+.2f"),
                number(own["cohens_d_z"], "+.2f"),
            ]
        )
    return rows


def rank_rows(report: Mapping[str, Any], block: str) -> list[list[str]]:
    """Returns the rank of each method for each metric, the head first."""
    shown, ranks = shown_metrics(report, block), report["ranks"][block]
    rows = [["rank", *(NAMES[metric] for metric in shown)]]
    for method in report["methods"]:
        rows.append([method["name"]])
        for metric in shown:
            own = ranks[metric][method["name"]]
            if own["rank"] is None:
                rows[-1].append(number(None))
                continue
            share = own["shares"][round(own["rank"]) - 1]
            rows[-1].append(f"{own['rank']:.0f} ({percent(share, 0)} %)")
    return rows


def lesion_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """Returns the lesions of all cases of each class, the head first."""
    words = ("lesions", "detected", "missed", "median size", "largest")
    rows = [["", "", *words, "findings", "true", "false"]]
    for prediction in report["predictions"]:
        title = prediction["name"]
        for name, own in prediction[LESIONS]["total"].items():
            detected, missed, true, false = (own[kind] for kind in LESION_KINDS)
            sizes = own["missed_sizes"]
            rows.append(
                [
                    title,
                    name,
                    str(detected + missed),
                    str(detected),
                    str(missed),
                    f"{statistics.median(sizes):g}" if sizes else number(None),
                    str(max(sizes)) if sizes else number(None),
                    *map(str, (true + false, true, false)),
                ]
            )
            title = ""
    return rows
