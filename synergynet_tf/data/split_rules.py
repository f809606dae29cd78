"""Split rules by patient: random, k-fold, official and named."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from synergynet_tf.data.spec import PARTS

VAL_SHARE = 0.1
TEST_SHARE = 0.2

Group = Callable[[str], str]


def _itself(case_id: str) -> str:
    return case_id


def random_split(
    case_ids: Sequence[str], seed: int, group: Group = _itself
) -> dict[str, list[str]]:
    """Draws 70 % to train, 10 % to select, 20 % to test.

    Args:
        case_ids: IDs of the cases to share out.
        seed: Seed of the draw; the order of `case_ids` does not matter.
        group: Function that returns the group of a case, such as its patient; the cases
            of a group stay together.

    Returns:
        Sorted case ids of `train`, `val` and `test`, none of them empty.

    Raises:
        ValueError: If there are fewer than 3 groups.
    """
    groups = _shuffled_groups(case_ids, seed, group)
    if len(groups) < 3:
        raise ValueError(
            f"A random split needs at least 3 cases or patients, found {len(groups)}; "
            "add data"
        )
    val = max(1, round(VAL_SHARE * len(groups)))
    test = max(1, round(TEST_SHARE * len(groups)))
    return {
        "train": _flatten(groups[val + test :]),
        "val": _flatten(groups[:val]),
        "test": _flatten(groups[val : val + test]),
    }


def holdout(
    case_ids: Sequence[str], seed: int, group: Group = _itself
) -> tuple[list[str], list[str]]:
    """Draws 10 % of the training cases for selection: `(train, val)`, sorted.

    Raises:
        ValueError: If there are fewer than 2 groups.
    """
    groups = _shuffled_groups(case_ids, seed, group)
    if len(groups) < 2:
        raise ValueError(
            "Holding out cases for selection needs at least 2 training cases or "
            f"patients, found {len(groups)}; add data"
        )
    val = max(1, round(VAL_SHARE * len(groups)))
    return _flatten(groups[val:]), _flatten(groups[:val])


def official_split(
    parts: dict[str, list[str]], seed: int, group: Group = _itself
) -> dict[str, list[str]]:
    """Completes the parts that a dataset comes in.

    Without a test set, the validation set is the test set; without a validation
    set of its own, 10 % of the training cases are drawn for selection.

    Args:
        parts: Case ids of `train` and of `val`, `test` or both.
        seed: Seed of the draw.
        group: Function that returns the group of a case; the cases of a group stay
            together.

    Raises:
        ValueError: If there is neither `val` nor `test`.
    """
    if "val" in parts and "test" in parts:
        return {part: list(parts[part]) for part in PARTS}
    test = parts.get("test", parts.get("val"))
    if test is None:
        raise ValueError(
            "No official test or validation images are there; use --split random"
        )
    train, val = holdout(parts["train"], seed, group)
    return {"train": train, "val": val, "test": list(test)}


def named_split(
    case_ids: Sequence[str],
    names: Mapping[str, Sequence[str]],
    group: Group,
    root: str | pathlib.Path,
) -> dict[str, list[str]]:
    """Takes the cases of the patients that are named for each part.

    Args:
        case_ids: The cases that are there.
        names: Patients of `train`, `val` and `test`.
        group: Names the patient of a case.
        root: The dataset's folder, for the message.

    Raises:
        ValueError: If patients are not there; lists the first 10.
    """
    groups: dict[str, list[str]] = {}
    for case_id in sorted(case_ids):
        groups.setdefault(group(case_id), []).append(case_id)
    wanted = [name for part in PARTS for name in names[part]]
    if missing := sorted(set(wanted) - set(groups)):
        more = ", ..." if len(missing) > 10 else ""
        raise ValueError(
            f"--split paper needs {len(wanted)} patients, and {len(missing)} of them "
            f"are not in {root}: {', '.join(missing[:10])}{more}; add them or use "
            "--split random"
        )
    return {part: _flatten([groups[name] for name in names[part]]) for part in PARTS}


def fold_split(
    case_ids: Sequence[str], fold: str, seed: int, group: Group = _itself
) -> dict[str, list[str]]:
    """Takes one of `n` folds as the test set and draws 10 % of the rest to select.

    Args:
        case_ids: IDs of the cases to share out.
        fold: `i/n`, from `1/n` to `n/n`; the test sets of all of them are disjoint
            and together every case.
        seed: Seed of the draw; the same for all folds.
        group: Function that returns the group of a case; the cases of a group stay
            together.

    Raises:
        ValueError: If there are fewer groups than folds, or fewer than 3.
    """
    number, count = (int(part) for part in fold.split("/"))
    groups = _shuffled_groups(case_ids, seed, group)
    if len(groups) < max(count, 3):
        raise ValueError(
            f"--fold {fold} needs at least {max(count, 3)} cases or patients, found "
            f"{len(groups)}; use fewer folds"
        )
    test = _flatten(groups[number - 1 :: count])
    rest = sorted({*case_ids} - {*test})
    train, val = holdout(rest, seed, group)
    return {"train": train, "val": val, "test": test}


def _shuffled_groups(
    case_ids: Sequence[str], seed: int, group: Group
) -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for case_id in sorted(case_ids):
        groups.setdefault(group(case_id), []).append(case_id)
    members = list(groups.values())
    order = np.random.default_rng(seed).permutation(len(members))
    return [members[i] for i in order]


def _flatten(groups: list[list[str]]) -> list[str]:
    return sorted(case_id for group in groups for case_id in group)
