"""A run's `metrics.json`, read back: its parts are what `report` writes, or refused."""

from __future__ import annotations

import pathlib
from collections.abc import Collection, Iterable
from typing import Any

from synergynet_tf.metrics import METRICS, PROTOCOLS
from synergynet_tf.safe_io import read_json, shown

Report = dict[str, Any]
# What must be text or a number, wherever a report has it.
TEXTS = (
    *("dataset", "data_split", "fold", "split", "protocol", "paper_protocol"),
    *("distance_unit", "model", "backbone"),
)
COUNTS = ("seed", "num_cases", "num_patients", "image_size", "epochs")
# What scores have under each protocol, and under the one that was asked for.
SCORES: dict[str, set[str]] = {
    "per_class": set(),
    **{protocol: set(METRICS) for protocol in PROTOCOLS},
    "pooled": {"dsc", "iou", "acc", "sp", "se"},
}


def read_scores_of(run: str | pathlib.Path, needed: Collection[str]) -> Report:
    """Reads a run's `metrics.json`.

    Args:
        run: Folder of the run.
        needed: What it must have, among it `cases`, each with scores of each class.

    Raises:
        FileNotFoundError: If the run has not been scored.
        ValueError: If its scores are damaged, or lack something.
    """
    path = pathlib.Path(run, "metrics.json")
    advice = f"score it with evaluate.py --run {run}"
    if not path.is_file():
        raise FileNotFoundError(f"No metrics.json in {run}; {advice}")
    try:
        report = read_report(path)
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged or of another version ({error}); {advice}"
        ) from error
    lacking = [name for name in needed if name not in report]
    if lacking or not report["cases"][0].get("per_class"):
        raise ValueError(f"{path} is of another version; {advice}")
    return report


def read_report(path: str | pathlib.Path) -> Report:
    """Reads a `metrics.json`.

    Its cases all have the same classes and metrics. What a caller needs besides cases
    it has to look for: an older version may lack it.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is damaged; does not name it.
    """
    report = read_json(path)
    require(isinstance(report, dict), "it", "an object", report)
    for name in TEXTS:
        value = report.get(name, "")
        ok = isinstance(value, str) and value.isprintable()
        require(ok, name, "text", value)
    for name in COUNTS:
        value = report.get(name, 0)
        require(type(value) is int, name, "a whole number", value)
    for name in ("options", "bootstrap"):
        value = report.get(name, {})
        require(isinstance(value, dict), name, "an object", value)
    for value in report.get("options", {}).values():
        require(type(value) is bool, "an option", "true or false", value)
    if "cases" in report:
        cases = report["cases"]
        require(isinstance(cases, list) and len(cases) > 0, "cases", "a list", cases)
        for case in cases:
            _check_case(case, cases[0])
    for protocol in PROTOCOLS:
        if protocol in report:
            _check_block(protocol, report[protocol])
    return report


def _check_case(case: Any, first: Any) -> None:
    require(isinstance(case, dict), "a case", "an object", case)
    for name in ("case_id", "patient"):
        value = case.get(name)
        require(isinstance(value, str), f"{name} of a case", "text", value)
    title = f"case {case['case_id']}"
    _same(title, case, first)
    for name in set(SCORES) & set(case):
        _check_classes(f"{name} of {title}", case[name], first[name], SCORES[name])
    counts = case.get("counts", {})
    require(isinstance(counts, dict), f"counts of {title}", "an object", counts)
    _same(f"counts of {title}", counts, first.get("counts", {}))
    for value in counts.values():
        four = isinstance(value, list) and len(value) == 4
        ok = four and all(isinstance(number, int | float) for number in value)
        require(ok, f"counts of {title}", "four numbers for each class", value)


def _check_block(protocol: str, block: Any) -> None:
    ok = isinstance(block, dict) and {"mean", "per_class"} <= set(block)
    require(ok, protocol, "the mean and each class's scores", block)
    least = SCORES[protocol]
    _check_scores(f"{protocol}, mean", block["mean"], least)
    classes = block["per_class"]
    _check_classes(f"{protocol}, per_class", classes, classes, least)
    if "mean_interval" in block:
        intervals = block["mean_interval"]
        _check_intervals(f"{protocol}, mean_interval", intervals, block["mean"])
    if "per_class_interval" in block:
        where, intervals = (
            f"{protocol}, per_class_interval",
            block["per_class_interval"],
        )
        require(isinstance(intervals, dict), where, "of each class", intervals)
        _same(where, intervals, classes)
        for name, scores in classes.items():
            _check_intervals(f"{where}, {name}", intervals[name], scores)


def _check_intervals(where: str, intervals: Any, scores: dict[str, Any]) -> None:
    require(isinstance(intervals, dict), where, "an interval each", intervals)
    _same(where, intervals, scores)
    for ends in intervals.values():
        two = isinstance(ends, list) and len(ends) == 2
        ok = two and all(_is_number(end) for end in ends)
        require(ok, where, "two numbers, or null, each", ends)


def _check_classes(where: str, classes: Any, first: Any, least: set[str]) -> None:
    """Refuses what is not the scores of each of the first one's classes."""
    require(isinstance(classes, dict), where, "the scores of each class", classes)
    _same(where, classes, first)
    for name, scores in classes.items():
        _check_scores(f"{where}, {name}", scores, least)
        _same(f"{where}, {name}", scores, next(iter(classes.values())))
        _same(f"{where}, {name}", scores, first[name])


def _check_scores(where: str, scores: Any, least: set[str]) -> None:
    ok = isinstance(scores, dict) and least <= set(scores) <= set(METRICS)
    require(ok, where, f"scores ({', '.join(METRICS)})", scores)
    for value in scores.values():
        require(_is_number(value), where, "numbers or null", value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | None) and not isinstance(value, bool)


def _same(where: str, values: Iterable[str], first: Iterable[str]) -> None:
    ok = isinstance(first, dict) and set(values) == set(first)
    require(ok, where, f"of {shown(sorted(first))}, as the first", sorted(values))


def require(ok: bool, where: str, rule: str, value: object) -> None:
    """Refuses a value of a file, unless it is as it must be.

    Raises:
        ValueError: Then.
    """
    if not ok:
        raise ValueError(f"{shown(where)} must be {rule}. Received: {shown(value)}")
