"""The report's codes: over which classes each stands, and what hangs on them."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from synergynet_tf.evaluation.report.fields import (
    Context,
    number,
    read_result,
    take,
    word,
)
from synergynet_tf.evaluation.report.formats import DASH, decimal, interval, percent
from synergynet_tf.evaluation.score_file import require

FOLDER = "codes"
NAME = f"{FOLDER}/codes.json"
MAX_CODES = 32
MAX_SWITCHED_OFF = 16
MEASURES = {
    "purity": "purity",
    "mutual_information": "mutual information, bits",
    "homogeneity": "homogeneity",
}
# What is said of each of `ablations.PARTS`.
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
# And of each of `ablations.TERMS`.
TERM_WORDS = {
    "codes": "codes",
    "continuous": "continuous features",
    "disconx": "DisConX",
}
# Of the attention: part, number, what it is, and whether it is a number of tokens.
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


def read_codes(run: pathlib.Path) -> Context | None:
    """Reads what `code_maps` has written into the run's folder `codes`.

    Returns:
        The template's context; None if there is nothing, or it is older than the
        weights.

    Raises:
        ValueError: If it is damaged.
    """
    command = "python -m synergynet_tf.evaluation.code_maps"
    return read_result(run, NAME, command, _context)


def _context(codes: Mapping[str, Any]) -> Context:
    entries = take(codes, "codes", list)
    names = list(entries[0]["classes"])
    total = sum(entry["uses"] for entry in entries)
    shares = [percent(entry["uses"] / total) for entry in entries]
    classes = []
    for entry in entries:
        of_class = take(entry, "classes", dict)
        same = list(of_class) == names
        require(same, "classes", "a share for each class", of_class)
        classes.append([percent(share) for share in of_class.values()])
    listed = list(zip(entries, shares, classes, strict=True))
    effects = codes["counterfactuals"]
    off = take(effects, "switched_off", list)
    counts = ("num_cases", "num_slices", "num_codes", "used", "split")
    return {
        **{name: codes[name] for name in counts},
        "class_heads": [f"{name} %" for name in names],
        "chance_heads": [
            f"chance {name.replace('_', ' ')}" for name in codes["agreement"]["chance"]
        ],
        "agreement": _agreement(codes["agreement"]),
        "choices": [
            f"{entry['code']}: {share} %"
            for entry, share in zip(entries, shares, strict=True)
        ],
        "data": {
            "codes": [entry["code"] for entry in entries],
            "texts": [
                f"Code {entry['code']}: {share} % of the positions, in "
                f"{entry['cases']} of {codes['num_cases']} cases; "
                + ", ".join(f"{n} {v} %" for n, v in zip(names, values, strict=True))
                for entry, share, values in listed
            ],
            # Scores may be of other cases, which have codes of their own.
            "unlisted": f"Code {{}} is not used on the {codes['num_cases']} cases that "
            "were looked into",
        },
        "most_used": [
            [entry["code"], share, entry["cases"], *values]
            for entry, share, values in listed[:MAX_CODES]
        ],
        "dsc": percent(number(effects, "dsc")),
        "ablations": [
            [
                word(entry, "part", WORDS),
                percent(entry["changed_share"]),
                _points(entry),
            ]
            for entry in take(codes, "ablations", list)
        ],
        # Older files say nothing of terms alone.
        "alone": [
            [
                word(entry, "term", TERM_WORDS),
                percent(number(entry, "dsc")),
                _points(entry),
            ]
            for entry in take({"alone": [], **codes}, "alone", list)
        ],
        "tried": len(off),
        "switched_off": [
            [
                *(entry["code"], entry["positions"]),
                *(percent(entry["changed_share"]), _points(entry)),
            ]
            for entry in off[:MAX_SWITCHED_OFF]
        ],
        "attention": _attention(codes),
    }


def _agreement(agreement: Mapping[str, Any]) -> list[list[str]]:
    """Says what the codes tell of the classes, beside each level of chance."""
    rows = []
    for name, title in MEASURES.items():
        ends = interval(agreement["interval"][name], ".3f")
        chance = [level[name]["mean"] for level in agreement["chance"].values()]
        ours, *others = (decimal(value, ".3f") for value in (agreement[name], *chance))
        rows.append([title, f"{ours} {ends}", *others])
    return rows


def _attention(codes: Mapping[str, Any]) -> list[list[Any]]:
    rows = []
    for part, name, title, of_tokens in ATTENTION:
        if codes[part] is not None:
            tokens, mean = codes[part]["tokens"], codes[part][name]["mean"]
            ok = isinstance(tokens, int) and isinstance(mean, int | float)
            require(ok, name, "numbers", (tokens, mean))
            rows.append([title, f"{mean:.2f}", tokens if of_tokens else ""])
    return rows


def _points(entry: Mapping[str, Any]) -> str:
    """Writes a change of the DSC and its interval, in points."""
    change, ends = number(entry, "dsc_change"), entry["dsc_change_interval"]
    if change is None:
        return DASH
    return f"{decimal(change, '+.2f', 100)} {interval(ends, '+.2f', 100)}"
