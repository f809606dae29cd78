"""Train, validation and test split of the dataset that a `DataConfig` names."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

from synergynet_tf.config import DataConfig, default_data_dir
from synergynet_tf.data import DATASETS
from synergynet_tf.data.spec import PARTS
from synergynet_tf.data.split_rules import fold_split


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
    if data.fold:
        parts = fold_split(list(patients), data.fold, seed, patients.__getitem__)
    else:
        parts = dataset.splits(root, data.split, seed)
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
