"""The report's view of what hangs on the codes, and what the attention does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synergynet_tf.evaluation.report.markup import Markup, element, join, table
from synergynet_tf.evaluation.tables.console import DASH, in_brackets
from synergynet_tf.safe_io import require

# What is said of each of `code_ablations.PARTS`.
WORDS = {
    "codes": "codes, wherever they are read",
    "codes_in_fusion": "codes, in the fusion",
    "continuous_in_fusion": "continuous features, in the fusion",
    "queries": "queries of DisConX, which are codes",
    "disconx": "what DisConX adds",
    "direct_terms": "codes and continuous features, in the fusion; DisConX stays",
    "all_but_codes": "all but the codes, in the fusion",
    "all_but_continuous": "all but the continuous features, in the fusion",
    "fusion": "all terms of the fusion",
    "refinement": "what the refinement adds",
    "bottleneck": "the whole bottleneck; skips stay",
}
# And of each of `code_ablations.TERMS`.
TERM_WORDS = {
    "codes": "codes",
    "continuous": "continuous features",
    "disconx": "DisConX",
}
# Of the attention: part, number, and what it is.
ATTENTION = (
    ("disconx", "effective_tokens", "tokens that a query of DisConX looks at"),
    ("disconx", "told_by_query_bits", "bits that its code tells of where it looks"),
    ("refinement", "distinct_picks", "tokens that the refinement picks"),
    ("refinement", "picks_itself", "share of tokens that pick themselves"),
)
NUMBERS_OF_TOKENS = ("effective_tokens", "distinct_picks")
IN_TABLE = 16
POINTS = "DSC, points [95 % interval by patient]"


def code_effects(codes: Mapping[str, Any]) -> Markup:
    """Shows the predictions without parts and without codes, and the attention.

    Args:
        codes: What `codes.json` holds.
    """
    effects = codes["counterfactuals"]
    intro = (
        "A part is averaged over the positions of each image, so that it no longer "
        "says what is where; a code that is off is replaced by the next nearest one. "
        f"DSC of the whole model is {_percent(effects['dsc'])} %: all slices in one "
        "count for each class, on the network's grid."
    )
    parts = [
        [WORDS[entry["part"]], _percent(entry["changed_share"]), _points(entry)]
        for entry in codes["ablations"]
    ]
    off = [
        [
            str(entry["code"]),
            str(entry["positions"]),
            _percent(entry["changed_share"]),
            _points(entry),
        ]
        for entry in effects["switched_off"][:IN_TABLE]
    ]
    changed, points = "changed labels %", POINTS
    return join(
        [
            element("h3", "What hangs on them"),
            element("p", intro),
            table(
                "The prediction without a part of the bottleneck",
                ["averaged over positions", changed, points],
                parts,
                class_="numbers",
            ),
            *_alone(codes),
            table(
                f"The prediction without a code: the {len(off)} with most effect of "
                f"the {len(effects['switched_off'])} most used",
                ["code", "positions", f"{changed}, where it stands", points],
                off,
                class_="numbers",
            ),
            *_attention(codes),
        ]
    )


def check_effects(codes: Any) -> None:
    """Refuses what could not be shown."""
    effects, ablations = codes["counterfactuals"], codes["ablations"]
    off, numbers = effects["switched_off"], [effects["dsc"]]
    require(isinstance(off, list), "switched_off", "a list", off)
    alone = _terms(codes)
    require(isinstance(ablations, list), "ablations", "a list", ablations)
    require(isinstance(alone, list), "alone", "a list", alone)
    for entry in off:
        for name in ("code", "positions"):
            require(type(entry[name]) is int, name, "a whole number", entry[name])
    for entry in ablations:
        known = entry["part"] in WORDS
        require(known, "part", f"one of {', '.join(WORDS)}", entry["part"])
    for entry in alone:
        known = entry["term"] in TERM_WORDS
        require(known, "term", f"one of {', '.join(TERM_WORDS)}", entry["term"])
        numbers.append(entry["dsc"])
    for entry in (*off, *ablations):
        share = entry["changed_share"]
        require(isinstance(share, int | float), "changed_share", "a number", share)
    for entry in (*off, *ablations, *alone):
        low, high = entry["dsc_change_interval"]
        numbers += [entry["dsc_change"], low, high]
    for value in numbers:
        require(isinstance(value, int | float | None), "dsc", "a number", value)
    for part, name, _ in ATTENTION:
        if codes[part] is not None:
            values = codes[part]["tokens"], codes[part][name]["mean"]
            ok = all(isinstance(value, int | float) for value in values)
            require(ok, name, "numbers", values)


def _terms(codes: Mapping[str, Any]) -> Any:
    """Returns what is said of each term alone; older files say nothing."""
    return codes.get("alone", [])


def _alone(codes: Mapping[str, Any]) -> list[Markup]:
    """Shows what each term of the fusion holds up without the others."""
    rows = [
        [TERM_WORDS[entry["term"]], _percent(entry["dsc"]), _points(entry)]
        for entry in _terms(codes)
    ]
    if not rows:
        return []
    text = (
        "Terms that say the same can stand in for each other, so that little is lost "
        "without one. What a term holds up alone is the DSC where all others are "
        "averaged, less the DSC where all are."
    )
    head = ["term", "DSC % with it alone", f"above all averaged: {POINTS}"]
    caption = "What each term of the fusion holds up alone"
    return [element("p", text), table(caption, head, rows, class_="numbers")]


def _attention(codes: Mapping[str, Any]) -> list[Markup]:
    rows = [
        [
            words,
            f"{codes[part][name]['mean']:.2f}",
            str(codes[part]["tokens"]) if name in NUMBERS_OF_TOKENS else "",
        ]
        for part, name, words in ATTENTION
        if codes[part] is not None
    ]
    if not rows:
        return []
    head = ["mean over slices and heads", "value", "of tokens"]
    return [table("What the attention does", head, rows, class_="numbers")]


def _points(entry: Mapping[str, Any]) -> str:
    change, ends = entry["dsc_change"], entry["dsc_change_interval"]
    if change is None:
        return DASH
    points = [None if end is None else 100 * end for end in ends]
    return f"{100 * change:+.2f} {in_brackets(points, '+.2f')}"


def _percent(share: float | None) -> str:
    return DASH if share is None else f"{100 * share:.2f}"
