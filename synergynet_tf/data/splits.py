"""Train, validation and test split of the dataset that a `DataConfig` names."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Collection, Mapping, Sequence

from synergynet_tf.config import DataConfig, default_data_dir
from synergynet_tf.data import DATASETS
from synergynet_tf.data.spec import PARTS
from synergynet_tf.data.split_rules import fold_split
from synergynet_tf.safe_io import composed

MOST_NAMED = 10


def data_root(data: DataConfig) -> pathlib.Path:
    """Returns `data.data_dir`, or the default folder of the dataset."""
    return pathlib.Path(data.data_dir or default_data_dir(data.dataset))


def complete(data: DataConfig) -> DataConfig:
    """Fills in what `data` leaves to the dataset: folder, split and modality.

    Raises:
        ValueError: If the dataset is unknown, or cannot be read, or photographs are to
            be cropped.
        FileNotFoundError: If the data is not there.
    """
    _require_known("dataset", data.dataset, tuple(DATASETS))
    dataset, root = DATASETS[data.dataset], data_root(data)
    split = "random" if data.fold else data.split or dataset.default_split(root)
    modality = data.modality or dataset.modality(root)
    if modality == "rgb" and data.center_crop < 1:
        raise ValueError(
            f"--center-crop is for scans, and {data.dataset} at {root} holds "
            f"photographs: leave it out. Received: {data.center_crop:g}"
        )
    return dataclasses.replace(data, data_dir=str(root), split=split, modality=modality)


def split_ids(data: DataConfig) -> dict[str, list[str]]:
    """Lists the cases of `train`, `val` and `test`, at most `data.limit` of each.

    Raises:
        ValueError: If the dataset is unknown, the split impossible, or a patient
            is in two parts.
        FileNotFoundError: If the data is not there.
    """
    data = complete(data)
    dataset, root, seed = DATASETS[data.dataset], data_root(data), data.split_seed
    patients = dataset.patients(root)
    try:
        if data.fold:
            parts = fold_split(list(patients), data.fold, seed, patients.__getitem__)
        else:
            parts = dataset.splits(root, data.split, seed)
    except ValueError as error:
        if str(root) in str(error):
            raise
        raise ValueError(f"{data.dataset} at {root}: {error}") from error
    _require_disjoint(parts, patients)
    return {part: parts[part][: data.limit] for part in PARTS}


def part_ids(data: DataConfig, part: str) -> list[str]:
    """Lists the cases of one part of `split_ids`.

    Raises:
        ValueError: If the part is unknown, or as `split_ids` does.
        FileNotFoundError: If the data is not there.
    """
    _require_known("part", part, PARTS)
    return split_ids(data)[part]


def kept_ids(
    data: DataConfig,
    split: Mapping[str, Sequence[str]],
    needed: Sequence[str],
    owner: object,
    unused: Collection[str] | None = None,
) -> tuple[dict[str, list[str]], list[str]]:
    """Returns the split that a run was begun with, for its data as it is now.

    Cases that were added since are in no part.

    Args:
        data: Data settings of the run, with the current folder.
        split: The cases of each part, as the run has kept them.
        needed: Parts whose every case must be there.
        owner: The run, for messages.
        unused: Cases that were in no part from the start; `None` if that is unknown.

    Returns:
        The split, and a line each on cases that were added, and on those that are gone
        from parts that are not needed.

    Raises:
        FileNotFoundError: If the data, or a case of a needed part, is not there.
        ValueError: If the dataset is unknown, or a needed part is empty.
    """
    _require_known("dataset", data.dataset, tuple(DATASETS))
    root = data_root(data)
    here = set(DATASETS[data.dataset].case_ids(root))
    lines = []
    for part in PARTS:
        gone = [case_id for case_id in split[part] if case_id not in here]
        of_part = f"{len(gone)} of the {len(split[part])} {part} cases of {owner}"
        if gone and part in needed:
            raise FileNotFoundError(
                f"{root} lacks {of_part}: {_named(gone)}; put them back, or pass "
                "the folder that has them as --data-dir"
            )
        if part in needed and not split[part]:
            raise ValueError(f"The {part} part of {owner} has no cases")
        if gone:
            lines.append(f"{root} lacks {of_part}: {_named(gone)}")
    known = {case_id for part in PARTS for case_id in split[part]}
    passed = set(map(composed, unused or ()))
    if new := sorted(here - known - passed):
        since = "are in no part of it" if unused is None else "were added since"
        lines.append(
            f"{owner} keeps the split that it was begun with; cases of {root} that "
            f"{since} are not used: {_named(new)}"
        )
    return {part: list(split[part]) for part in PARTS}, lines


def _named(case_ids: Sequence[str]) -> str:
    more = f", and {len(case_ids) - MOST_NAMED} more"
    named = ", ".join(case_ids[:MOST_NAMED])
    return named + more if len(case_ids) > MOST_NAMED else named


def _require_known(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        rule = f"one of {', '.join(known)}"
        raise ValueError(f"`{name}` must be {rule}. Received: {name}={value!r}")


def _require_disjoint(
    parts: Mapping[str, Sequence[str]], patients: Mapping[str, str]
) -> None:
    """Refuses a split with a case or a patient in two parts."""
    owners: dict[str, tuple[str, str]] = {}
    for part in PARTS:
        for case_id in parts[part]:
            other, first = owners.setdefault(patients[case_id], (part, case_id))
            if other != part:
                raise ValueError(
                    f"Patient {patients[case_id]} is in {other} ({first}) and in "
                    f"{part} ({case_id}); use --split random"
                )
