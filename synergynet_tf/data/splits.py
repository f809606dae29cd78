"""Which cases train, select and test: rules that the datasets share."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from synergynet_tf.config import DataConfig, default_data_dir
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
        case_ids: The cases to share out.
        seed: Of the draw; the order of `case_ids` does not matter.
        group: Names what must stay together, such as the patient of a case.

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
        seed: Of the draw.
        group: Names what must stay together.

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


def data_root(data: DataConfig) -> pathlib.Path:
    """Returns `data.data_dir`, or the default folder of the dataset."""
    return pathlib.Path(data.data_dir or default_data_dir(data.dataset))


def part_ids(data: DataConfig, part: str) -> list[str]:
    """Lists the cases of `train`, `val` or `test`, at most `data.limit`.

    Raises:
        ValueError: If the dataset or part is unknown, or the split impossible.
        FileNotFoundError: If the data is not there.
    """
    # Here, because the readers that it lists import this module.
    from synergynet_tf.data import DATASETS

    for name, value, known in (
        ("dataset", data.dataset, tuple(DATASETS)),
        ("part", part, PARTS),
    ):
        if value not in known:
            rule = f"one of {', '.join(known)}"
            raise ValueError(f"`{name}` must be {rule}. Received: {name}={value!r}")
    dataset = DATASETS[data.dataset]
    root = data_root(data)
    split = data.split or dataset.default_split(root)
    return dataset.splits(root, split, data.split_seed)[part][: data.limit]


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
