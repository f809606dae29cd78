"""Template context of the report: a run's numbers as formatted text."""

from __future__ import annotations

import pathlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from synergynet_tf import metrics, runs
from synergynet_tf.evaluation.figures.overlays import (
    GROUND_TRUTH_COLOR,
    PAPER_COLOR,
    class_color,
)
from synergynet_tf.evaluation.report.charts import line_chart
from synergynet_tf.evaluation.report.fields import (
    Context,
    blame,
    read_object,
    read_result,
    take,
)
from synergynet_tf.evaluation.report.slices import Slice
from synergynet_tf.evaluation.robustness.table import WORDS
from synergynet_tf.evaluation.tables.console import (
    NAMES,
    PROTOCOL_TITLES,
    unlike_default,
)
from synergynet_tf.evaluation.tables.paper_table import unlike_recipe
from synergynet_tf.experiments import METHOD_TABLES, PAPER, settings_of
from synergynet_tf.formats import (
    DASH,
    METRIC_NAMES,
    cases_title,
    data_title,
    duration,
    in_brackets,
    metric_scale,
    number,
    score,
    with_nan,
    with_options,
    without_nan,
)
from synergynet_tf.metrics import METRICS, PROTOCOLS, Counts
from synergynet_tf.runs import Run
from synergynet_tf.safe_io import require

Report = dict[str, Any]
Scores = Mapping[str, float | None]
Columns = Mapping[str, Sequence[float]]
# Text, or a number and the smaller text beside it.
Cell = str | tuple[str, ...]

MEAN = "mean of classes"
# Words for the presence of a class in the masks, and of all classes.
FOUND = {
    "both": "found",
    "missed": "missed",
    "false": "false",
    "empty": "in neither",
}
# Keys of `calibration.json`.
CALIBRATED = ("ece", "brier")
TIMES = ("before", "after")
# Charts: a title, and the column's name after its prefix in `PARTS`.
TRAINING = {
    "Loss": "loss",
    "DSC at the network's size": "dsc",
    "Learning rate": "learning_rate",
}
CODEBOOK = {
    "Codes used": "codes_used",
    "Perplexity of the codes": "perplexity",
    "Quantization error": "quantization_error",
}
PARTS = {"": "training", "val_": "validation"}


def run_context(run: Run, report: Report, columns: Columns) -> Context:
    """Describes the run itself: its method, data, settings and machine.

    Args:
        run: The run.
        report: Scores of the run.
        columns: Columns of its `history.csv`.
    """
    config = run.config
    model, training = config.model, config.training
    machine = read_object(run.path, "environment.json")
    finished = read_object(run.path, runs.FINISHED)
    with blame(run.path / "environment.json", "is damaged", "delete it"):
        software = dict(
            synergynet_tf="synergynet_tf {}", keras="keras {}", backend="{}"
        )
        hardware = dict(machine="{}", system="{}", cores="{} cores")
        devices = [str(device) for device in machine.get("devices") or ()]
    facts = {
        "Method": f"{model.name} on {model.backbone}, seed {training.seed}",
        "Data": f"{data_title(report)}: {cases_title(report)}",
        "Protocols": f"{report['protocol']}; the paper's: {report['paper_protocol']}",
        "Options": with_options(report["options"]).removeprefix(", with ") or "none",
        "Images": f"{model.image_size} pixels high and wide for the network",
        "Training": f"{report['trained_epochs']} of {report['epochs']} epochs, "
        f"batches of {training.batch_size}, learning rate "
        f"{config.optimizer.learning_rate}",
        "Encoder weights": pathlib.Path(model.encoder_weights).name,
        "Precision": training.precision,
        "Duration": duration(sum(columns["seconds"])) if "seconds" in columns else "",
        "Best epoch": finished.get("best_epoch"),
        "Commit": machine.get("commit"),
        "Begun": machine.get("started"),
        "Software": ", ".join(_known(machine, software)),
        "Machine": ", ".join([*_known(machine, hardware), *devices]),
    }
    return {
        "changes": "; ".join(unlike_recipe([config])),
        "is_finished": run.is_finished(),
        "best_epoch": finished.get("best_epoch"),
        "num_codes": model.num_codes,
        "facts": {n: str(v) for n, v in facts.items() if v not in ("", None)},
        "settings": {n: str(v) for n, v in settings_of(config).items() if str(v)},
    }


def _known(values: Mapping[str, Any], forms: Mapping[str, str]) -> list[str]:
    """Writes each value that is there in its form."""
    return [form.format(values[name]) for name, form in forms.items() if name in values]


def scores_context(report: Report) -> Context:
    """Returns the key numbers, a table for each protocol, and missed structures."""
    codes = report["codes"]
    if codes is not None:
        used = f"{codes['used']} of {codes['total']}"
        codes = {"used": used, "perplexity": f"{codes['perplexity']:.1f}"}
    return {
        "part": report["split"],
        "num_cases": report["num_cases"],
        "num_patients": report["num_patients"],
        "protocol": report["protocol"],
        "resamples": report["bootstrap"]["resamples"],
        "key_numbers": _key_numbers(report),
        "codes": codes,
        "tables": [_table(report, name) for name in PROTOCOLS if name in report],
        "structures": [
            [name, *(str(counts[kind]) for kind in ("missed", "false", "empty"))]
            for name, counts in report["structures"].items()
        ],
    }


def _unit(metric: str, protocol: str, report: Report) -> str:
    if METRICS[metric].unit == "fraction":
        return "%"
    return "voxels" if protocol == "transunet" else report["distance_unit"]


def _heading(metric: str, protocol: str, report: Report) -> dict[str, str]:
    """Returns a column's title: the metric, what that means, and its unit."""
    name, explained = METRIC_NAMES[metric]
    unit = _unit(metric, protocol, report)
    return {"name": name, "explained": explained, "unit": unit}


def _key_numbers(report: Report) -> list[Context]:
    """Returns what a reader looks for first, each with its protocol."""
    return [
        {
            "name": f"{NAMES[metric]}, {protocol}",
            "value": score(metric, report[protocol]["mean"][metric]),
            "unit": _unit(metric, protocol, report),
            "interval": _interval(metric, report[protocol]["mean_interval"][metric]),
        }
        for protocol in dict.fromkeys(("strict", report["paper_protocol"]))
        for metric in ("dsc", "hd95")
        if metric in report[protocol]["mean"]
    ]


def _table(report: Report, protocol: str) -> Context:
    """Sets the scores under one protocol as a table, the paper's below ours."""
    block = report[protocol]
    shown = [metric for metric in METRICS if metric in block["mean"]]
    printed: Mapping[str, float] = {}
    if protocol == report["paper_protocol"] and not unlike_default(report):
        printed = PAPER.get((report["dataset"], report["model"]), {})
    classes = block["per_class"]
    label = MEAN if len(classes) > 1 else next(iter(classes))
    rows = _rows(label, block["mean"], block["mean_interval"], printed, shown)
    for name, scores in classes.items() if len(classes) > 1 else ():
        ends = block["per_class_interval"][name]
        paper = {"dsc": printed[name]} if name in printed else {}
        rows += _rows(name, scores, ends, paper, shown)
    return {
        "protocol": protocol,
        "meaning": PROTOCOL_TITLES[protocol].removeprefix(f"{protocol}, "),
        "paper": METHOD_TABLES[report["dataset"]] if printed else None,
        "headings": [_heading(metric, protocol, report) for metric in shown],
        "rows": rows,
    }


def _rows(
    name: str,
    scores: Scores,
    ends: Mapping[str, Sequence[float | None]],
    paper: Mapping[str, float],
    shown: Sequence[str],
) -> list[Context]:
    """Returns our scores, and the paper's if it has any, in a row that has no name."""
    ours: list[Cell] = [(score(m, scores[m]), _interval(m, ends[m])) for m in shown]
    theirs: list[Cell] = [_paper_cell(m, scores[m], paper.get(m)) for m in shown]
    rows: list[Context] = [
        {"name": name, "cells": ours},
        {"name": None, "cells": theirs},
    ]
    return rows if any(theirs) else rows[:1]


def _paper_cell(metric: str, ours: float | None, paper: float | None) -> str:
    """Writes the paper's number, and how far ours is from it."""
    if paper is None:
        return ""
    difference = "" if ours is None else f" ({score(metric, ours - paper, '+.2f')})"
    return f"{score(metric, paper)}{difference}"


def _interval(metric: str, ends: Sequence[float | None]) -> str:
    return in_brackets(ends, ".2f", metric_scale(metric))


def cases_context(report: Report) -> Context:
    """Returns the table of all cases, and its scores by class for the script.

    The script, the style and the template share `columns`: what a cell has stands in
    its `data-type`.
    """
    cases, protocol = report["cases"], report["protocol"]
    names = list(cases[0]["per_class"])
    shown = [m for m in METRICS if m in cases[0]["per_class"][names[0]]]
    presence = [
        {name: Counts(*four).presence for name, four in case["counts"].items()}
        for case in cases
    ]
    means = [case_mean(case["per_class"]) for case in cases]
    found = [_sum_up(case) for case in presence]
    every = {"values": [_rounded(mean, shown) for mean in means], "found": found}
    by_class = [
        {
            "values": [_rounded(case["per_class"][name], shown) for case in cases],
            "found": [FOUND[case[name]] for case in presence],
        }
        for name in names
    ]
    columns = [
        *({"type": "text", "name": name} for name in ("case", "patient", "found")),
        *(_heading(m, protocol, report) | {"type": "number"} for m in shown),
    ]
    rows = [
        [case["case_id"], case["patient"], said, *_scores(mean, shown)]
        for case, said, mean in zip(cases, found, means, strict=True)
    ]
    return {
        "columns": columns,
        "rows": rows,
        # With a single class, its scores are the mean.
        "choices": [MEAN, *names] if len(names) > 1 else names,
        "data": {"classes": [every, *by_class], "absent": FOUND["empty"], "dash": DASH},
    }


def case_mean(scores: metrics.ClassScores) -> dict[str, float | None]:
    """Returns the mean over the classes of a case, where they have a score."""
    means: dict[str, float | None]
    means = without_nan(metrics.mean_of_classes(with_nan(scores)))
    return means


def _sum_up(presence: Mapping[str, str]) -> str:
    """Says of all classes what was missed or false: `1 missed, 1 false`."""
    counts = Counter(presence.values())
    errors = [f"{counts[kind]} {kind}" for kind in ("missed", "false") if counts[kind]]
    return ", ".join(errors) or ("found" if counts["both"] else FOUND["empty"])


def _scores(scores: Scores, shown: Sequence[str]) -> list[str]:
    return [score(metric, scores[metric]) for metric in shown]


def _rounded(scores: Scores, shown: Sequence[str]) -> list[float | None]:
    """Returns the numbers as they are shown, to the last digit."""
    return [
        None if (value := scores[m]) is None else round(metric_scale(m) * value, 2)
        for m in shown
    ]


def overlays_context(
    slices: Mapping[str, Slice],
    strict: Mapping[str, metrics.ClassScores],
    names: Sequence[str],
) -> Context:
    """Returns the slices, drawn in layers; none if they do not belong to the scores.

    Args:
        slices: Slices of `read_slices`.
        strict: Scores of each case under the protocol `strict`.
        names: Names of the foreground classes.
    """
    belong = all(
        part.case_id in strict
        and case_mean(strict[part.case_id])["dsc"] == part.dsc
        and {len(part.prediction), len(part.reference)} == {len(names)}
        for part in slices.values()
    )
    colors = {n: class_color(value) for value, n in enumerate(names, start=1)}
    return {
        "colors": colors,
        "edge": PAPER_COLOR,
        "reference": GROUND_TRUTH_COLOR,
        "slices": [
            _slice(place, part, strict[part.case_id], colors)
            for place, part in slices.items()
            if belong
        ],
    }


def _slice(
    place: str, part: Slice, scores: metrics.ClassScores, colors: Mapping[str, str]
) -> Context:
    which = f"{part.index + 1} of {part.count}"
    return {
        **vars(part),
        "place": place,
        "alt": f"Slice {which} of {part.case_id}",
        "where": f", slice {which}" if part.count > 1 else "",
        "dsc": score("dsc", part.dsc),
        "by_class": ", ".join(
            f"{name} {score('dsc', scores[name]['dsc'])}" for name in colors
        ),
        "prediction": list(zip(part.prediction, colors.values(), strict=True)),
        "reference": list(part.reference),
        "view_box": _view_box(part) if part.codes else None,
        "squares": [
            (x, y, code)
            for y, row in enumerate(part.codes)
            for x, code in enumerate(row)
        ],
    }


def _view_box(part: Slice) -> str:
    """Returns what the picture shows of a grid with a unit square for each position.

    It has as many units as positions would cover all of it.
    """
    rows, columns = len(part.codes), len(part.codes[0])
    left, top, width, height = part.codes_box
    x, y = 0 - left / width * columns, 0 - top / height * rows
    return f"{x:g} {y:g} {columns / width:g} {rows / height:g}"


def read_robustness(run: Run) -> Context | None:
    """Reads what `synergynet evaluate --corrupt` has found of the run.

    Returns:
        The template's context; None if there is nothing, or it is older than the
        weights.

    Raises:
        ValueError: If it is damaged.
    """
    command = "synergynet evaluate --corrupt"
    return read_result(run, "corruption.json", command, _robustness)


def _robustness(report: Report) -> Context:
    """Sets a row for each corruption and a column for each severity."""
    options = take(report, "options", dict)
    ok = {*map(type, options.values())} <= {bool}
    require(ok, "options", "true or false, by name", options)
    clean, *corrupted = report["rows"]
    cells: dict[str, dict[int, Cell]] = {}
    for row in corrupted:
        texts = score("dsc", row["dsc"]), _interval("dsc", row["interval"])
        cell = *texts, f"{row['parameter']:g}"
        cells.setdefault(row["corruption"], {})[row["severity"]] = cell
    severities = sorted({row["severity"] for row in corrupted})
    return {
        "protocol": take(report, "protocol", str),
        "part": take(report, "split", str),
        "options": with_options(options),
        "num_cases": report["num_cases"],
        "num_patients": report["num_patients"],
        "clean": score("dsc", clean["dsc"]),
        "clean_interval": _interval("dsc", clean["interval"]),
        "heads": ["corruption", *(f"severity {severity}" for severity in severities)],
        "rows": [
            [WORDS.get(name, name), *(found.get(s, "") for s in severities)]
            for name, found in cells.items()
        ],
    }


def read_calibration(run: Run) -> Context | None:
    """Reads what `synergynet calibrate` has found of the run.

    Returns:
        The template's context; None if there is nothing, or it is older than the
        weights.

    Raises:
        ValueError: If it is damaged.
    """
    command = "synergynet calibrate"
    return read_result(run, runs.CALIBRATION, command, _calibration)


def _calibration(report: Report) -> Context:
    """Sets a row for each class: ECE and Brier score, before and after."""
    measured, trust = report["measured"], report["measured"]["confidence"]

    def cell(values: Mapping[str, Any], name: str) -> Cell:
        return number(values[name], ".4f"), in_brackets(values["interval"][name], ".4f")

    return {
        "temperature": number(report["temperature"]),
        "fitted": report["fitted"]["num_cases"],
        "margin": report["margin"],
        "part": take(measured, "split", str),
        "num_cases": measured["num_cases"],
        "num_patients": measured["num_patients"],
        "rows": [
            [name, *(cell(own[when], score) for score in CALIBRATED for when in TIMES)]
            for name, own in measured["per_class"].items()
        ],
        "structures": trust["structures"],
        "area": number(trust["area"]),
        "interval": in_brackets(trust["interval"], ".3f"),
        "best_area": number(trust["best_area"]),
        "random_area": number(trust["random_area"]),
    }


def curves_context(
    id_: str, columns: Columns, charts: Mapping[str, str]
) -> Context | None:
    """Returns line charts by epoch, and their values as a table.

    Args:
        id_: Prefix of the IDs of the charts.
        columns: Columns of `history.csv`.
        charts: The title and the column of each.

    Returns:
        None without the first of the columns.
    """
    if next(iter(charts.values())) not in columns:
        return None
    epochs = columns["epoch"]
    drawn: list[Context] = []
    values: dict[str, Sequence[float]] = {}
    for title, column in charts.items():
        lines = {
            kind: columns[part + column]
            for part, kind in PARTS.items()
            if part + column in columns
        }
        if lines:
            drawn.append(line_chart(f"{id_}-{column}", title, epochs, lines))
        values |= {f"{title}, {kind}": line for kind, line in lines.items()}
    return {
        "charts": drawn,
        "columns": ["epoch", *values],
        "rows": [
            [f"{epoch:.0f}", *(f"{line[i]:.5g}" for line in values.values())]
            for i, epoch in enumerate(epochs)
        ],
    }
