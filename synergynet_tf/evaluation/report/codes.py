"""The report's codes: where each stands in the shown slices, and over which classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synergynet_tf.evaluation.report.code_effects import check_effects, code_effects
from synergynet_tf.evaluation.report.markup import (
    Markup,
    data_block,
    element,
    join,
    section,
    table,
)
from synergynet_tf.evaluation.report.overlays import picture
from synergynet_tf.evaluation.report.run import read_made
from synergynet_tf.evaluation.report.slices import Slice
from synergynet_tf.evaluation.tables.console import DASH, in_brackets
from synergynet_tf.runs import Run
from synergynet_tf.safe_io import require

Codes = dict[str, Any]
FOLDER = "codes"
NAME = f"{FOLDER}/codes.json"
AGREEMENT = {
    "purity": "purity",
    "mutual_information": "mutual information, bits",
    "homogeneity": "homogeneity",
}
IN_TABLE = 32
COUNTS = ("num_cases", "num_slices", "num_codes", "used")


def read_codes(run: Run) -> Codes | None:
    """Reads what `code_maps` has written into the run's folder `codes`.

    Returns:
        None if there is nothing, or it is older than the weights.

    Raises:
        ValueError: If it is damaged.
    """
    return read_made(run, NAME, _check, "python -m synergynet_tf.evaluation.code_maps")


def codes_section(codes: Codes, slices: Mapping[str, Slice]) -> Markup:
    """Shows which code stands where, and what each has to do with the classes.

    Args:
        codes: From `read_codes`.
        slices: What is shown of the best, median and worst case.
    """
    intro = (
        f"{codes['used']} of {codes['num_codes']} codes are used on "
        f"{codes['num_slices']} slices of {codes['num_cases']} cases, the "
        f"{codes['split']} part. A share of a class is that of the pixels of the "
        "reference below a code. Chance is what is left when classes are permuted, "
        "among all positions of a case or among all slices at the same position."
    )
    return section(
        "Codes",
        element("p", intro),
        _agreement(codes["agreement"]),
        *([_explorer(codes, slices)] if any(s.codes for s in slices.values()) else []),
        _table(codes),
        code_effects(codes),
        id_="codes",
    )


def _agreement(agreement: Mapping[str, Any]) -> Markup:
    """Says what the codes tell of the classes, beside two levels of chance."""
    rows = []
    for key, name in AGREEMENT.items():
        interval = in_brackets(agreement["interval"][key], ".3f")
        ours = f"{_number(agreement[key])} {interval}"
        chance = [_number(level[key]["mean"]) for level in agreement["chance"].values()]
        rows.append([name, ours, *chance])
    levels = [f"chance {name.replace('_', ' ')}" for name in agreement["chance"]]
    head = ["measure", "codes [95 % interval by patient]", *levels]
    return table("What the codes tell of the classes", head, rows)


def _explorer(codes: Codes, slices: Mapping[str, Slice]) -> Markup:
    """Returns a choice of a code, and the slices with the positions of it marked."""
    entries = codes["codes"]
    options = [
        element("option", f"{e['code']}: {_percent(_share(e, codes))} %", value=i)
        for i, e in enumerate(entries)
    ]
    choice = element("select", *options, id="code-choice", autocomplete="off")
    texts = [_describe(entry, codes) for entry in entries]
    figures = [
        element(
            "figure",
            element("div", picture(part), _grid(part), class_="layers"),
            element("figcaption", f"{place.capitalize()} case: {part.case_id}"),
            data_place=place,
        )
        for place, part in slices.items()
        if part.codes
    ]
    data = {
        "codes": [entry["code"] for entry in entries],
        "texts": texts,
        # Scores may be of other cases, which have codes of their own.
        "unlisted": f"Code {{}} is not used on the {codes['num_cases']} cases that "
        "were looked into",
    }
    return join(
        [
            element("h3", "Where a code stands"),
            element(
                "div",
                element("label", "Code, and its share of the positions ", choice),
                element("output", texts[0], id="code-text"),
                class_="controls",
            ),
            element(
                "p",
                "Or point at a position of a slice to choose its code.",
                class_="screen",
            ),
            element("div", *figures, class_="overlays", id="code-slices"),
            data_block("code-data", data),
        ]
    )


def _grid(part: Slice) -> Markup:
    """Returns the positions of the bottleneck, one square each.

    The unit is a position, so the picture has as many as would cover all of it.
    """
    rows, columns = len(part.codes), len(part.codes[0])
    left, top, width, height = part.codes_box
    x_start, y_start = 0 - left / width * columns, 0 - top / height * rows
    squares = [
        element("rect", x=x, y=y, width=1, height=1, data_code=code)
        for y, row in enumerate(part.codes)
        for x, code in enumerate(row)
    ]
    return element(
        "svg",
        *squares,
        viewBox=f"{x_start:g} {y_start:g} {columns / width:g} {rows / height:g}",
        preserveAspectRatio="none",
        aria_hidden="true",
        class_="layer positions",
    )


def _table(codes: Codes) -> Markup:
    entries = codes["codes"][:IN_TABLE]
    names = list(entries[0]["classes"])
    rows = [
        [
            str(entry["code"]),
            _percent(_share(entry, codes)),
            str(entry["cases"]),
            *(_percent(entry["classes"][name]) for name in names),
        ]
        for entry in entries
    ]
    head = ["code", "of positions %", "cases", *(f"{n} %" for n in names)]
    caption = f"The {len(entries)} most used codes"
    return table(caption, head, rows, class_="numbers")


def _share(entry: Mapping[str, Any], codes: Codes) -> float:
    return entry["uses"] / sum(other["uses"] for other in codes["codes"])


def _describe(entry: Mapping[str, Any], codes: Codes) -> str:
    classes = ", ".join(f"{n} {_percent(v)} %" for n, v in entry["classes"].items())
    return (
        f"Code {entry['code']}: {_percent(_share(entry, codes))} % of the positions, "
        f"in {entry['cases']} of {codes['num_cases']} cases; {classes}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


def _number(value: float | None) -> str:
    return DASH if value is None else f"{value:.3f}"


def _check(codes: Any) -> None:
    """Refuses what this page could not show."""
    for name in COUNTS:
        require(type(codes[name]) is int, name, "a whole number", codes[name])
    for name in ("dataset", "model", "split"):
        require(isinstance(codes[name], str), name, "text", codes[name])
    agreement = codes["agreement"]
    for name in AGREEMENT:
        low, high = agreement["interval"][name]
        chance = [level[name]["mean"] for level in agreement["chance"].values()]
        for value in (agreement[name], low, high, *chance):
            require(_is_number(value), name, "numbers", value)
    entries = codes["codes"]
    require(isinstance(entries, list) and len(entries) > 0, "codes", "a list", entries)
    for entry in entries:
        for name in ("code", "uses", "cases"):
            require(type(entry[name]) is int, name, "a whole number", entry[name])
        require(entry["uses"] > 0, "uses", "at least 1", entry["uses"])
        same = list(entry["classes"]) == list(entries[0]["classes"])
        shares = entry["classes"].values()
        ok = same and all(isinstance(share, int | float) for share in shares)
        require(ok, "classes", "a share for each class", entry["classes"])
    check_effects(codes)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | None)
