"""The report's robustness: what `evaluate.py --corrupt` found of the run."""

from __future__ import annotations

from typing import Any

from synergynet_tf.evaluation.report.markup import Markup, element, join, section, table
from synergynet_tf.evaluation.report.run import read_made
from synergynet_tf.evaluation.report.scores import interval, number
from synergynet_tf.evaluation.robustness.table import WORDS
from synergynet_tf.formats import with_options
from synergynet_tf.runs import Run
from synergynet_tf.safe_io import require

NAME = "corruption.json"
TEXTS = ("protocol", "split")
COUNTS = ("num_cases", "num_patients")


def read_corruption(run: Run) -> dict[str, Any] | None:
    """Reads a run's `corruption.json`.

    Returns:
        None if there is none, or it is older than the weights.

    Raises:
        ValueError: If it is damaged.
    """
    return read_made(run, NAME, _check, "evaluate.py --corrupt")


def robustness_section(report: dict[str, Any]) -> Markup:
    """Returns a table with a row for each corruption and a column for each severity."""
    clean, *rows = report["rows"]
    severities = sorted({row["severity"] for row in rows})
    by_name: dict[str, dict[int, dict[str, Any]]] = {}
    for row in rows:
        by_name.setdefault(row["corruption"], {})[row["severity"]] = row
    lines = [
        [
            WORDS.get(name, name),
            *(_cell(found[s]) if s in found else "" for s in severities),
        ]
        for name, found in by_name.items()
    ]
    caption = (
        f"DSC in %, protocol {report['protocol']}, {report['split']} part"
        f"{with_options(report['options'])}: mean over {report['num_cases']} cases of "
        f"{report['num_patients']} patients and their classes; its 95 % bootstrap "
        "interval by patient, and the corruption's strength"
    )
    heads = ["corruption", *(f"severity {severity}" for severity in severities)]
    intro = (
        f"Without corruption {number('dsc', clean['dsc'])} % "
        f"{interval('dsc', clean['interval'])}."
    )
    return section(
        "Robustness",
        element("p", intro),
        table(caption, heads, lines, class_="scores"),
        id_="robustness",
    )


def _cell(row: dict[str, Any]) -> Markup:
    return join(
        [
            element("strong", number("dsc", row["dsc"])),
            " ",
            element("span", interval("dsc", row["interval"])),
            " ",
            element("span", f"{row['parameter']:g}"),
        ]
    )


def _check(report: Any) -> None:
    """Refuses what this page could not show."""
    for name in TEXTS:
        require(isinstance(report[name], str), name, "text", report[name])
    for name in COUNTS:
        require(type(report[name]) is int, name, "a whole number", report[name])
    options = report["options"]
    ok = isinstance(options, dict) and {*map(type, options.values())} <= {bool}
    require(ok, "options", "true or false, by name", options)
    rows = report["rows"]
    require(isinstance(rows, list) and len(rows) > 0, "rows", "a list", rows)
    for row in rows:
        low, high = row["interval"]
        for value in (row["dsc"], low, high):
            ok = isinstance(value, int | float | None)
            require(ok, "dsc and interval", "numbers", value)
        require(isinstance(row["corruption"], str), "corruption", "text", row)
        require(type(row["severity"]) is int, "severity", "a number", row)
    for row in rows[1:]:
        ok = isinstance(row["parameter"], int | float)
        require(ok, "parameter", "a number", row["parameter"])
