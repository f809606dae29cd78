"""The report's table of all cases, which sorts and filters."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from synergynet_tf import metrics
from synergynet_tf.evaluation.report.markup import (
    Markup,
    data_block,
    element,
    scroller,
    section,
)
from synergynet_tf.evaluation.report.scores import MEAN, number, scale, title
from synergynet_tf.evaluation.tables.console import DASH
from synergynet_tf.metrics import METRICS, Counts

Report = dict[str, Any]
# What the masks have of a class, and of all of them.
FOUND = {
    "both": "found",
    "missed": "missed",
    "false": "false",
    "empty": "in neither",
}


def cases_section(report: Report) -> Markup:
    """Returns the table: a row for each case, of all classes or of one."""
    cases, protocol = report["cases"], report["protocol"]
    names = list(cases[0]["per_class"])
    shown = [m for m in METRICS if m in cases[0]["per_class"][names[0]]]
    presence = [
        {name: Counts(*four).presence for name, four in case["counts"].items()}
        for case in cases
    ]
    means = [case_mean(case["per_class"]) for case in cases]
    found = [_sum_up(case) for case in presence]
    by_class = [
        {
            "values": [_rounded(case["per_class"][name], shown) for case in cases],
            "found": [FOUND[case[name]] for case in presence],
        }
        for name in names
    ]
    every = {"values": [_rounded(mean, shown) for mean in means], "found": found}
    titles = [title(metric, protocol, report["distance_unit"]) for metric in shown]
    texts = ["case", "patient", "found"]
    head = [_sortable(text, i) for i, text in enumerate([*texts, *titles])]
    rows = [
        element(
            "tr",
            element("th", case["case_id"], scope="row"),
            element("td", case["patient"]),
            element("td", said),
            *(element("td", number(m, mean[m])) for m in shown),
        )
        for case, said, mean in zip(cases, found, means, strict=True)
    ]
    caption = (
        f"{len(cases)} cases of the {report['split']} part, protocol {protocol}. "
        "Found is decided on the images' own grids."
    )
    return section(
        "Cases",
        _controls(names),
        scroller(
            "Table of the cases",
            element(
                "table",
                element("caption", caption),
                element("thead", element("tr", *head)),
                element("tbody", *rows),
                id="case-table",
                class_="cases",
            ),
        ),
        data_block("case-data", {"classes": [every, *by_class], "dash": DASH}),
        id_="cases",
    )


def case_mean(scores: metrics.ClassScores) -> dict[str, float | None]:
    """Returns the mean over the classes of a case, where they have a score."""
    known = {
        name: {m: math.nan if v is None else v for m, v in values.items()}
        for name, values in scores.items()
    }
    means = metrics.mean_of_classes(known)
    return {m: None if math.isnan(v) else v for m, v in means.items()}


def _sum_up(presence: Mapping[str, str]) -> str:
    """Says of all classes what was missed or false: `1 missed, 1 false`."""
    counts = Counter(presence.values())
    errors = [f"{counts[kind]} {kind}" for kind in ("missed", "false") if counts[kind]]
    return ", ".join(errors) or ("found" if counts["both"] else FOUND["empty"])


def _rounded(
    scores: Mapping[str, float | None], shown: list[str]
) -> list[float | None]:
    """Returns the numbers as they are shown, to the last digit."""
    return [
        None if (value := scores[m]) is None else round(scale(m) * value, 2)
        for m in shown
    ]


def _sortable(text: str, column: int) -> Markup:
    arrow = element("span", aria_hidden="true", class_="arrow")
    button = element("button", text, " ", arrow, type="button", data_column=column)
    return element("th", button, scope="col")


def _controls(names: list[str]) -> Markup:
    # Of a single class, its scores are the mean.
    titles = [MEAN, *names] if len(names) > 1 else names
    options = [element("option", text, value=i) for i, text in enumerate(titles)]
    text = element("input", id="case-text", type="search", autocomplete="off")
    choice = element("select", *options, id="case-class", autocomplete="off")
    return element(
        "div",
        element("label", "Case or patient contains ", text),
        element("label", "Class ", choice),
        element("output", id="case-count"),
        class_="controls",
        role="search",
        aria_label="Filter the cases",
    )
