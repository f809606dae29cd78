"""Agreement of codes with classes: purity, mutual information, typical patches.

A position of the bottleneck covers a square of `stride` x `stride` pixels of the
network's grid. The table behind all numbers counts pixels: how often code `k` stands
over class `c` of the ground truth.

Two chance levels are found by permuting the squares' classes, 100 times:

    within_cases       among all positions of a case: codes that only tell one case
                       from another reach it
    within_positions   among all slices, each at its place in the image: codes that
                       only tell where they stand reach it; undefined of one slice
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from synergynet_tf.evaluation.codes.model import CodedCase
from synergynet_tf.metrics import (
    bootstrap,
    class_entropy,
    codebook_usage,
    mutual_information,
    purity,
)

PERMUTATIONS = 100
SEED = 0
TYPICAL = 8


def class_pixels(labels: np.ndarray, height: int, num_classes: int) -> np.ndarray:
    """Counts the pixels of each class below each position.

    Args:
        labels: `(slices, S, S)`, where `S` is a multiple of `height`.
        height: Height and width of the bottleneck's grid.
        num_classes: Number of classes, background included.

    Returns:
        int `(slices, height, height, num_classes)`.
    """
    stride = labels.shape[1] // height
    squares = labels.reshape(-1, height, stride, height, stride)
    counts = [(squares == value).sum(axis=(2, 4)) for value in range(num_classes)]
    return np.stack(counts, axis=-1)


def count_table(codes: np.ndarray, pixels: np.ndarray, num_codes: int) -> np.ndarray:
    """Counts how often codes and classes meet: float64 `(num_codes, classes)`.

    Args:
        codes: Code of each position, `(n,)`.
        pixels: Number of pixels of each class below each position, `(n, classes)`.
        num_codes: Number of codes; each code is in [0, `num_codes`).
    """
    columns = [np.bincount(codes, column, num_codes) for column in pixels.T]
    return np.stack(columns, axis=-1)


def describe_codes(
    cases: Sequence[CodedCase], num_codes: int, class_names: Sequence[str]
) -> dict[str, Any]:
    """Measures how codes and classes agree.

    Returns:
        `used` and `perplexity` of the codes; under `agreement` the `purity`, the
        `mutual_information` and `class_entropy` in bits and their quotient
        `homogeneity`, their 95 % intervals by patient, and the `chance` levels;
        under `codes` for each used code, the most used first: its `uses`, in how
        many `cases`, the share of each of the `classes` below it, the largest as
        `majority`, its features' mean `distance`, and its `typical` positions.
    """
    names = ("background", *class_names)
    grids = [
        class_pixels(case.labels, case.codes.shape[1], len(names)) for case in cases
    ]
    codes = np.concatenate([case.codes.ravel() for case in cases])
    used, numbers = np.unique(codes, return_inverse=True)
    pixels = np.concatenate([grid.reshape(-1, len(names)) for grid in grids])
    owners = np.repeat(np.arange(len(cases)), [case.codes.size for case in cases])
    places = np.concatenate([_places(case.codes) for case in cases])
    tables = np.stack(
        [
            count_table(numbers[owners == i], pixels[owners == i], len(used))
            for i in range(len(cases))
        ]
    )
    groups = {"within_cases": owners, "within_positions": places}
    patients = [case.patient for case in cases]
    uses = np.bincount(codes, minlength=num_codes)
    number_used, perplexity = codebook_usage(uses)
    per_code = [
        _describe_code(int(code), cases, tables[:, i], names)
        for i, code in enumerate(used)
    ]
    return {
        "used": number_used,
        "perplexity": perplexity,
        "agreement": {
            **_numbers(tables.sum(axis=0)),
            "interval": _intervals(tables, patients),
            "chance": {
                name: _chance(numbers, pixels, group, len(used))
                for name, group in groups.items()
            },
        },
        "codes": sorted(per_code, key=lambda entry: -entry["uses"]),
    }


def typical_positions(
    cases: Sequence[CodedCase], code: int, count: int = TYPICAL
) -> list[dict[str, Any]]:
    """Finds the positions whose features are nearest to a code, one a slice at most.

    Neighbors and their patches are alike: a sheet of them would show one thing.
    """
    found = []
    for case in cases:
        for index in range(len(case.codes)):
            held = case.codes[index] == code
            if held.any():
                distances = np.where(held, case.distances[index], np.inf)
                row, column = divmod(int(distances.argmin()), held.shape[1])
                distance = float(distances[row, column])
                found.append((distance, case.case_id, index + 1, row, column))
    keys = ("distance", "case_id", "slice", "row", "column")
    return [dict(zip(keys, entry, strict=True)) for entry in sorted(found)[:count]]


def _describe_code(
    code: int, cases: Sequence[CodedCase], tables: np.ndarray, names: Sequence[str]
) -> dict[str, Any]:
    """Describes a code; `tables` is `(cases, classes)`."""
    held = [case.codes == code for case in cases]
    distances = [
        case.distances[at] for case, at in zip(cases, held, strict=True) if at.any()
    ]
    shares = tables.sum(axis=0) / tables.sum()
    return {
        "code": code,
        "uses": sum(int(at.sum()) for at in held),
        "cases": len(distances),
        "majority": names[int(shares.argmax())],
        "classes": dict(zip(names, shares.tolist(), strict=True)),
        "distance": float(np.concatenate(distances).mean()),
        "typical": typical_positions(cases, code),
    }


def _places(codes: np.ndarray) -> np.ndarray:
    """Numbers the places of the grid, the same in every slice."""
    return np.tile(np.arange(codes[0].size), len(codes))


def _homogeneity(table: np.ndarray) -> np.ndarray:
    entropy = class_entropy(table)
    undefined = np.full(np.shape(entropy), np.nan)
    shared = mutual_information(table)
    return np.divide(shared, entropy, out=undefined, where=entropy > 0)


NUMBERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "purity": purity,
    "mutual_information": mutual_information,
    "class_entropy": class_entropy,
    "homogeneity": _homogeneity,
}
# Permuting leaves the classes' entropy as it is.
_PERMUTED = tuple(name for name in NUMBERS if name != "class_entropy")


def _numbers(table: np.ndarray) -> dict[str, float]:
    return {name: float(function(table)) for name, function in NUMBERS.items()}


def _intervals(
    tables: np.ndarray, patients: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """Bootstraps the numbers by patient; `tables` is `(cases, codes, classes)`.

    Few patients make the plain estimate of information too high, and a resample has
    fewer distinct ones: its interval lies somewhat high, too.
    """
    drawn = bootstrap.draw_patients(patients)
    several = bootstrap.are_several(drawn)
    found: dict[str, list[np.ndarray]] = {name: [] for name in NUMBERS}
    for weights in np.split(drawn, 20):
        resampled = np.tensordot(weights, tables, axes=1)
        for name, function in NUMBERS.items():
            found[name].append(function(resampled))
    return {
        name: bootstrap.interval(bootstrap.Resamples(np.concatenate(values), several))
        for name, values in found.items()
    }


def _chance(
    codes: np.ndarray, pixels: np.ndarray, groups: np.ndarray, num_codes: int
) -> dict[str, dict[str, Any]]:
    """Returns mean and 95 % range of the numbers of permuted classes.

    Both are `nan` where each group has one position: that leaves no other order.
    """
    if np.bincount(groups).max() < 2:
        undefined = {"mean": math.nan, "interval": (math.nan, math.nan)}
        return dict.fromkeys(_PERMUTED, undefined)
    draw = functools.partial(permuted, groups, np.random.default_rng(SEED))
    found = [
        _numbers(count_table(codes, pixels[draw()], num_codes))
        for _ in range(PERMUTATIONS)
    ]
    values = {name: np.array([f[name] for f in found]) for name in _PERMUTED}
    return {
        name: {"mean": float(v.mean()), "interval": bootstrap.central_range(v)}
        for name, v in values.items()
    }


def permuted(groups: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Returns an order in which each entry comes from one of its own group."""
    order = np.empty(len(groups), np.int64)
    shuffled = np.lexsort((generator.random(len(groups)), groups))
    order[np.argsort(groups, kind="stable")] = shuffled
    return order
