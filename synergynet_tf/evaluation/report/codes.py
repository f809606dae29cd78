"""The report's section on codes: their classes and their effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from synergynet_tf.evaluation.report.fields import (
    Context,
    read_result,
    take,
    take_number,
    word,
)
from synergynet_tf.formats import number, percent, with_interval
from synergynet_tf.runs import Run
from synergynet_tf.safe_io import require

FOLDER = "codes"
NAME = f"{FOLDER}/codes.json"
MAX_CODES = 32
MAX_SWITCHED_OFF = 16
MEASURES = {
    "purity": "purity",
    "mutual_information": "mutual information, bits",
    "homogeneity": "homogeneity",
}
# Description of each of `ablations.PARTS`.
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
# Description of each of `ablations.TERMS`.
TERM_WORDS = {
    "codes": "codes",
    "continuous": "continuous features",
    "disconx": "DisConX",
}
# Measures of the attention: part, number, description, and whether it counts tokens.
ATTENTION = (
    ("disconx", "effective_tokens", "tokens that a query of DisConX looks at", True),
    (
        "disconx",
        "told_by_query_bits",
        "bits that its code tells of where it looks",
        False,
    ),
    ("refinement", "distinct_picks", "tokens that the refinement picks", True),
    ("refinement", "picks_itself", "share of tokens that pick themselves", False),
)


def read_codes(run: Run) -> Context | None:
    """Reads what `code_maps` has written into the run's folder `codes`.

    Returns:
        The template's context; None if there is nothing, or it is older than the
        weights.

    Raises:
        ValueError: If it is damaged.
    """
    command = "synergynet codes"
    return read_result(run, NAME, command, _context)


def _context(codes: Mapping[str, Any]) -> Context:
    entries = take(codes, "codes", list)
    names, num_cases = list(entries[0]["classes"]), codes["num_cases"]
    total = sum(entry["uses"] for entry in entries)
    each = [_code(entry, total, names, num_cases) for entry in entries]
    effects = codes["counterfactuals"]
    off = take(effects, "switched_off", list)
    counts = ("num_cases", "num_slices", "num_codes", "used", "split")
    levels = [name.replace("_", " ") for name in codes["agreement"]["chance"]]
    return {
        **{name: codes[name] for name in counts},
        "agreement_heads": [
            *("measure", "codes [95 % interval by patient]"),
            *(f"chance {level}" for level in levels),
        ],
        "agreement": _agreement(codes["agreement"]),
        "each": each,
        # Scores may be of other cases, whose codes differ.
        "data": {
            "codes": [one["code"] for one in each],
            "texts": [one["text"] for one in each],
            "unlisted": f"Code {{}} is not used on the {num_cases} cases that were "
            "looked into",
        },
        "most_used_heads": [
            *("code", "of positions %", "cases"),
            *(f"{name} %" for name in names),
        ],
        "most_used": [one["row"] for one in each[:MAX_CODES]],
        "dsc": percent(take_number(effects, "dsc")),
        "ablations": [
            [word(part, "part", WORDS), percent(part["changed_share"]), _points(part)]
            for part in take(codes, "ablations", list)
        ],
        # Older files lack the terms alone.
        "alone": [
            [
                word(term, "term", TERM_WORDS),
                percent(take_number(term, "dsc")),
                _points(term),
            ]
            for term in take({"alone": [], **codes}, "alone", list)
        ],
        "num_tried": len(off),
        "switched_off": [
            [
                str(one["code"]),
                str(one["positions"]),
                percent(one["changed_share"]),
                _points(one),
            ]
            for one in off[:MAX_SWITCHED_OFF]
        ],
        "attention": _attention(codes),
    }


def _code(
    entry: Mapping[str, Any], total: int, names: Sequence[str], num_cases: int
) -> Context:
    """Describes a code, of whose uses and those of the others there are `total`."""
    of_class = take(entry, "classes", dict)
    require(list(of_class) == names, "classes", "a share for each class", of_class)
    code, cases, share = entry["code"], entry["cases"], percent(entry["uses"] / total)
    classes = {name: percent(value) for name, value in of_class.items()}
    said = ", ".join(f"{name} {value} %" for name, value in classes.items())
    return {
        "code": code,
        "share": share,
        "row": [str(code), share, str(cases), *classes.values()],
        "text": f"Code {code}: {share} % of the positions, in {cases} of {num_cases} "
        f"cases; {said}",
    }


def _agreement(agreement: Mapping[str, Any]) -> list[list[str]]:
    """Says what the codes tell of the classes, beside each level of chance."""
    rows = []
    for name, title in MEASURES.items():
        ours = with_interval(agreement[name], agreement["interval"][name], ".3f")
        chance = [level[name]["mean"] for level in agreement["chance"].values()]
        rows.append([title, ours, *map(number, chance)])
    return rows


def _attention(codes: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for part, name, title, of_tokens in ATTENTION:
        if codes[part] is not None:
            tokens, mean = codes[part]["tokens"], codes[part][name]["mean"]
            ok = isinstance(tokens, int) and isinstance(mean, int | float)
            require(ok, name, "numbers", (tokens, mean))
            rows.append([title, f"{mean:.2f}", str(tokens) if of_tokens else ""])
    return rows


def _points(entry: Mapping[str, Any]) -> str:
    """Writes a change of the DSC and its interval, in points."""
    change = take_number(entry, "dsc_change")
    return with_interval(change, entry["dsc_change_interval"], "+.2f", 100)
