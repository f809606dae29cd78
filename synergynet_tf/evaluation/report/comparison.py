"""HTML report of a comparison of label maps: one self-contained file, `report.html`."""

from __future__ import annotations

import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from synergynet_tf import runs
from synergynet_tf.evaluation.figures.overlays import class_color
from synergynet_tf.evaluation.label_maps import Classes, ComparedCases
from synergynet_tf.evaluation.label_maps.methods import LESIONS
from synergynet_tf.evaluation.label_maps.table import (
    LESION_KINDS,
    block_title,
    lesion_rows,
    rank_rows,
    shown_metrics,
)
from synergynet_tf.evaluation.report.context import FOUND, cases_context
from synergynet_tf.evaluation.report.differing_cases import differing_cases
from synergynet_tf.evaluation.report.forest import Difference, forest_plot
from synergynet_tf.evaluation.report.page import NAME, render
from synergynet_tf.evaluation.tables.console import NAMES
from synergynet_tf.formats import (
    counted,
    in_brackets,
    mean_and_sd,
    metric_scale,
    number,
    score,
)
from synergynet_tf.metrics import LESION_METRICS, METRICS, Counts

Context = dict[str, Any]
Report = Mapping[str, Any]
# A cell is text, or a number and the smaller text beside it.
Row = list[str | tuple[str, ...]]
MEAN = "mean of classes"
# Metrics to draw, if a block has them.
DRAWN = ("dsc", "hd95", "lesion_f1")
# Most rows of the tables of single structures and lesions; files have all of them.
MAX_ROWS = 100


def write_comparison_report(
    report: Report,
    cases: ComparedCases,
    classes: Classes,
    out: str | pathlib.Path,
    images: Mapping[str, pathlib.Path],
) -> pathlib.Path:
    """Writes `report.html` of a comparison, whole or not at all.

    Args:
        report: Report of `compare_label_maps`.
        cases: Files of the cases.
        classes: Classes, and their values in the files.
        out: Folder of the report.
        images: Images of `find_images`; label maps without one are drawn alone.

    Returns:
        Its path.

    Raises:
        OSError: If a file cannot be read or written.
        ValueError: If an image does not fit its label map, or cannot be used.
    """
    names = [method["name"] for method in report["methods"]]
    context = {
        "title": f"Comparison of {' and '.join(names)}" if names[1:] else names[0],
        "warnings": _warnings(report),
        "described": _facts(report),
        "tiles": _tiles(report),
        "resamples": report["bootstrap"]["resamples"],
        "tables": [_scores(report, block) for block in report["ranks"]],
        "structures": _structures(report),
        "forests": _forests(report),
        "differences": [
            _differences(report, entry, block)
            for block in report["ranks"]
            for entry in report["differences"]
        ],
        "ranks": [
            {"title": block_title(report, block), "rows": rank_rows(report, block)}
            for block in report["ranks"]
            if names[1:]
        ],
        "pairs": differing_cases(report, cases, classes, images),
        "colors": {n: class_color(v) for v, n in enumerate(classes.names, start=1)},
        "errors": _errors(report),
        "lesions": _lesions(report),
        "cases": _cases(report),
        "protocol": report["protocols"][0],
    }
    path = pathlib.Path(out) / NAME
    runs.write_text(path, render("comparison.html.j2", context))
    return path


def _warnings(report: Report) -> list[str]:
    found = [report["warning"]] if report["warning"] else []
    for own in report["predictions"]:
        if own["missing"]:
            count = counted(len(own["missing"]), "case")
            found.append(f"{own['name']} lacks {count}, scored as empty.")
    return found


def _facts(report: Report) -> dict[str, str]:
    """Describes what was compared, and how."""
    classes = ", ".join(
        f"{name} {' or '.join(map(str, values))}"
        for name, values in report["classes"].items()
    )
    facts = {
        "Reference": report["reference"],
        **{own["name"]: own["folder"] for own in report["predictions"]},
        "Cases": f"{counted(report['num_cases'], 'case')} of "
        f"{counted(report['num_patients'], 'patient')}",
        "Patients": report["patients_from"] or "each case its own",
        "Classes": classes,
        "Classes from": report["classes_from"],
        "Protocols": ", ".join(report["protocols"]),
        "NSD tolerance": f"{report['nsd_tolerance']:g} {report['distance_unit']}",
    }
    if report["lesion_rule"]:
        facts["Lesions"] = block_title(report, LESIONS).removeprefix("lesions, ")
    return facts


def _unit(metric: str, block: str, report: Report) -> str:
    if metric_scale(metric) == 100:
        return "%"
    return "voxels" if block == "transunet" else report["distance_unit"]


def _listed(report: Report, block: str) -> list[str]:
    return list(report["ranks"][block])


def _tiles(report: Report) -> list[tuple[str, str, str]]:
    """Returns the mean DSC of each method: its name, the number, and a note."""
    protocol = report["protocols"][0]
    tiles = []
    for method in report["methods"]:
        own = method[protocol]["mean"]["dsc"]
        mean = mean_and_sd(own["mean"], own["sd"], scale=100)
        interval = in_brackets(own["interval"], scale=100).replace(", ", ",\u00a0")
        tiles.append(
            (f"{method['name']}: DSC, {protocol}", f"{mean} %", f"95 % {interval}")
        )
    return tiles


def _scores(report: Report, block: str) -> Context:
    """Sets the scores under a protocol, or those of lesions, as a table."""
    listed = _listed(report, block)
    rows: list[Row] = []
    predictions = {own["name"]: own for own in report["predictions"]}
    for method in report["methods"]:
        for name in method["predictions"]:
            rows += _prediction_rows(predictions[name], block)
        if len(method["predictions"]) > 1:
            of_seeds = method[block]["mean"]
            cells = [_seeds_cell(m, of_seeds[m]) for m in listed]
            rows.append([f"{method['name']}, {MEAN}, all seeds", *cells])
    heads = [f"{NAMES[m]} {_unit(m, block, report)}" for m in listed]
    title = block_title(report, block)
    return {"title": title, "head": ["prediction", *heads], "rows": rows}


def _prediction_rows(prediction: Report, block: str) -> list[Row]:
    """Returns a row of the mean and one of each class; of a single class, that one."""
    own, bca = prediction[block], prediction["bca"][block]
    parts = [(MEAN, own["mean"], own["mean_interval"], bca["mean_interval"])]
    for name, scores in own["per_class"].items():
        ends = own["per_class_interval"][name], bca["per_class_interval"][name]
        parts.append((name, scores, *ends))
    return [
        [
            f"{prediction['name']}, {name}",
            *(
                (score(m, scores[m]), _ends(m, ends[m]), f"BCa {_ends(m, bca_ends[m])}")
                for m in scores
            ),
        ]
        for name, scores, ends, bca_ends in (parts if len(parts) > 2 else parts[1:])
    ]


def _ends(metric: str, interval: Sequence[float | None]) -> str:
    return in_brackets(interval, scale=metric_scale(metric))


def _seeds_cell(metric: str, own: Report) -> tuple[str, str]:
    mean = mean_and_sd(own["mean"], own["sd"], scale=metric_scale(metric))
    return mean, _ends(metric, own["interval"])


def _structures(report: Report) -> list[list[str]]:
    return [
        [
            f"{own['name']}, {name}",
            *(str(counts[kind]) for kind in ("missed", "false", "empty")),
        ]
        for own in report["predictions"]
        for name, counts in own["structures"].items()
    ]


def _forests(report: Report) -> list[Context]:
    """Returns a plot for each block and metric that is drawn."""
    found = []
    for block in report["ranks"]:
        for metric in DRAWN:
            if not report["differences"] or metric not in _listed(report, block):
                continue
            scale = metric_scale(metric)
            rows = []
            for entry in report["differences"]:
                parts = {MEAN: entry[block]["mean"], **entry[block]["per_class"]}
                if len(parts) == 2:
                    del parts[MEAN]
                for name, scores in parts.items():
                    own = scores[metric]
                    if own["difference"] is None:
                        continue
                    low, high = (
                        None if end is None else scale * end for end in own["interval"]
                    )
                    rows.append(
                        Difference(
                            f"{entry['name']}, {name}",
                            scale * own["difference"],
                            (low, high),
                        )
                    )
            direction = (METRICS | LESION_METRICS)[metric].direction
            unit = "points" if scale == 100 else _unit(metric, block, report)
            minus = report["differences"][0]["minus"]
            plot = forest_plot(
                f"forest-{block}-{metric}",
                f"{NAMES[metric]} minus that of {minus}, {block}",
                unit,
                "better to the right" if direction > 0 else "better to the left",
                rows,
            )
            found += [plot] if plot else []
    return found


def _differences(report: Report, entry: Report, block: str) -> Context:
    """Sets the differences of two methods as a table."""
    parts = {MEAN: entry[block]["mean"], **entry[block]["per_class"]}
    if len(parts) == 2:
        del parts[MEAN]
    rows: list[Row] = []
    for name, scores in parts.items():
        for metric in shown_metrics(report, block):
            own, scale = scores[metric], metric_scale(metric)
            unit = _unit(metric, block, report)
            rows.append(
                [
                    f"{name}, {NAMES[metric]} {'points' if scale == 100 else unit}",
                    (
                        score(metric, own["difference"], "+.2f"),
                        in_brackets(own["interval"], "+.2f", scale),
                        f"BCa {in_brackets(own['bca_interval'], '+.2f', scale)}",
                    ),
                    number(own["p"], ".2g"),
                    number(own["p_holm"], ".2g"),
                    number(own["rank_biserial"], "+.2f"),
                    number(own["cohens_d_z"], "+.2f"),
                    *(str(own[k]) for k in ("better", "worse", "equal", "one_sided")),
                ]
            )
    pair = f"{entry['name']} minus {entry['minus']}"
    return {"title": f"{pair}, {block_title(report, block)}", "rows": rows}


def _errors(report: Report) -> Context:
    """Lists each missed and each false structure."""
    rows: list[list[str]] = []
    for own in report["predictions"]:
        for case in own["cases"]:
            for name, counts in case["counts"].items():
                kind = Counts(*counts).presence
                if kind in ("missed", "false"):
                    rows.append([case["case_id"], own["name"], name, FOUND[kind]])
    return {"rows": rows[:MAX_ROWS], "total": len(rows)}


def _lesions(report: Report) -> Context | None:
    """Returns the tables of lesions; `None` if they were not looked for."""
    if not report["lesion_rule"]:
        return None
    head, *rows = lesion_rows(report)
    title = ""
    for row in rows:  # The name stands in the first row of each prediction alone.
        title = row[0] or title
        row[:2] = [f"{title}, {row[1]}"]
    missed = [
        (size, case["case_id"], own["name"], name)
        for own in report["predictions"]
        for case in own["cases"]
        for name, sizes in case["lesion_sizes"].items()
        for size in sizes[LESION_KINDS[1]]
    ]
    missed.sort(key=lambda entry: (-entry[0], *entry[1:]))
    sizes = [size for size, *_ in missed]
    return {
        "title": block_title(report, LESIONS),
        "head": ["prediction", *head[2:]],
        "rows": rows,
        "missed": [[*where, str(size)] for size, *where in missed[:MAX_ROWS]],
        "total": len(missed),
        "median": f"{statistics.median(sizes):g}" if sizes else "",
    }


def _cases(report: Report) -> Context:
    """Returns the table of all cases: a choice for each prediction and class.

    It is that of a run's report, with the predictions' classes one after the other.
    """
    protocol = report["protocols"][0]
    found: list[Context] = []
    for own in report["predictions"]:
        cases = [{**case, "per_class": case[protocol]} for case in own["cases"]]
        unit = report["distance_unit"]
        found.append(
            cases_context({"cases": cases, "protocol": protocol, "distance_unit": unit})
        )
    first = found[0]
    names = [own["name"] for own in report["predictions"]]
    classes: list[Context] = []
    choices: list[str] = []
    for name, one in zip(names, found, strict=True):
        mean, *others = one["data"]["classes"]
        if others and len(one["choices"]) > 1:
            # The script hides rows without the chosen class; for all classes, it hides
            # none.
            there = [_all_classes(text) for text in mean["found"]]
            classes += [{**mean, "found": there}, *others]
        else:
            classes.append(mean if not others else others[0])
        choices += [f"{name}, {choice}" for choice in one["choices"]]
    position = [column["name"] for column in first["columns"]].index("found")
    for row, text in zip(first["rows"], classes[0]["found"], strict=True):
        row[position] = text
    return {**first, "choices": choices, "data": {**first["data"], "classes": classes}}


def _all_classes(found: str) -> str:
    return "nothing to find" if found == FOUND["empty"] else found
