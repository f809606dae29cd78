"""Prepared dataset of a run: two stores, class names, split and channels.

A folder of it trains where the raw files are not, such as on a borrowed GPU:

    train/, val/    stores, as `data.store` writes them
    about.json      the `DataConfig`, image size, class names, split and channels
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys
from typing import Any

import numpy as np

from synergynet_tf.config import DataConfig
from synergynet_tf.data import DATASETS
from synergynet_tf.data.check import announce
from synergynet_tf.data.listing import first_of
from synergynet_tf.data.splits import complete, split_ids
from synergynet_tf.data.store import Store, copy_store, open_cases, open_folder
from synergynet_tf.safe_io import read_json

PARTS = ("train", "val")
MAX_NAMED = 10  # Most classes in a line.
ABOUT = "about.json"


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """Preprocessed data of a run, at the network's size.

    Attributes:
        train: Training images and labels.
        val: Validation images and labels.
        class_names: Names of the foreground classes.
        split: Case ids of `train`, `val` and `test`.
        image_channels: Number of channels of the scans; `None` for photographs, which
            may be gray and colored in turn.
        label_values: Value of each class in the user's masks; `None` without masks.
        unused: IDs of the cases that are in no part; `None` if unknown.
    """

    train: Store
    val: Store
    class_names: tuple[str, ...]
    split: dict[str, list[str]]
    image_channels: int | None
    label_values: tuple[int, ...] | None = None
    unused: list[str] | None = None


def prepare(
    data: DataConfig, image_size: int, split: dict[str, list[str]] | None = None
) -> Prepared:
    """Reads the raw data, or the stores that were built of it; says what it holds.

    Args:
        data: Data settings of the run.
        image_size: Height and width of the network's input.
        split: Case ids of each part, if a run has kept them; else they are drawn.

    Raises:
        FileNotFoundError: If the data is not there.
        ValueError: If a case cannot be read, the split is impossible, or no training
            image has any class.
        OSError: If a store cannot be written.
    """
    data = complete(data)
    dataset, split = DATASETS[data.dataset], split or split_ids(data)
    announce(data)
    train, val = (open_cases(data, p, split[p], image_size) for p in PARTS)
    _note_faint(train, val)
    channels = None
    if data.modality != "rgb":
        case = dataset.read_case(data.data_dir, split["train"][0])
        channels = case.image.shape[-1]
    names = tuple(dataset.class_names(data.data_dir))
    _note_missing(train, val, names)
    values = getattr(dataset, "label_values", None)
    own = values(data.data_dir) if values else None
    used = {case_id for ids in split.values() for case_id in ids}
    unused = [i for i in dataset.case_ids(data.data_dir) if i not in used]
    return Prepared(train, val, names, split, channels, own, unused)


def save(
    prepared: Prepared, data: DataConfig, image_size: int, folder: pathlib.Path
) -> None:
    """Writes a folder that `load` reads; `about.json` last.

    Raises:
        FileExistsError: If the folder is there.
    """
    folder.mkdir(parents=True)
    for part in PARTS:
        copy_store(getattr(prepared, part), folder / part)
    about = {
        "data": _named(data),
        "image_size": image_size,
        "class_names": prepared.class_names,
        "split": prepared.split,
        "image_channels": prepared.image_channels,
        "label_values": prepared.label_values,
        "unused": prepared.unused,
    }
    (folder / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def load(data: DataConfig, image_size: int, folder: pathlib.Path) -> Prepared:
    """Reads what `save` wrote.

    Args:
        data: Data settings of the run; only the folder of the raw data may differ.
        image_size: Height and width of the network's input.
        folder: Folder that `save` wrote to.

    Raises:
        FileNotFoundError: If the folder holds no prepared data.
        ValueError: If it is damaged, or of other data or another size.
    """
    path = folder / ABOUT
    if not path.is_file():
        raise FileNotFoundError(f"No {ABOUT} in {folder}: it holds no prepared arrays")
    about: dict[str, Any] = read_json(path)
    wanted = {"data": _named(data), "image_size": image_size}
    found = {name: about.get(name) for name in wanted}
    if found != wanted:
        raise ValueError(f"{folder} holds {found}, and the run needs {wanted}")
    try:
        train, val = (open_folder(folder / part) for part in PARTS)
    except (OSError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} is damaged: {error}") from error
    names = tuple(about["class_names"])
    split, channels = about["split"], about["image_channels"]
    values = about.get("label_values")  # Folders of earlier versions have none.
    own = None if values is None else tuple(values)
    return Prepared(train, val, names, split, channels, own, about.get("unused"))


def _note_faint(*stores: Store) -> None:
    """Prints a line on stderr if cases show the network next to nothing."""
    faint = {name: why for store in stores for name, why in store.faint.items()}
    if faint:
        count = len({name for store in stores for name in store.case_ids})
        name, why = next(iter(faint.items()))
        print(
            f"note: {len(faint)} of {count} cases for training and validation show the "
            f"network next to nothing, such as {name}: {why} (--check of the data "
            "lists them)",
            file=sys.stderr,
        )


def _note_missing(train: Store, val: Store, names: tuple[str, ...]) -> None:
    """Prints a line on stderr for a part of which no image has a class.

    Raises:
        ValueError: If no training image has any.
    """
    why = (
        ": it counts as a DSC of 1 while none is predicted, so the best epoch may be "
        "one that has learned little; draw another split with --split-seed or add cases"
    )
    for store, part, reason in ((train, "training", ""), (val, "validation", why)):
        absent = set(range(1, len(names) + 1))
        for labels in store.labels:
            absent -= set(np.flatnonzero(np.bincount(labels.ravel())).tolist())
            if not absent:
                break  # Mostly after few images, so the others need not be read.
        lacking = [names[label - 1] for label in sorted(absent)]
        if store is train and len(lacking) == len(names):
            raise ValueError(
                f"No training image has any of {first_of(names, MAX_NAMED)}; correct "
                "the masks, or draw another split with --split-seed"
            )
        if lacking:
            line = f"no {part} image has {first_of(lacking, MAX_NAMED)}{reason}"
            print(f"note: {line}", file=sys.stderr)


def _named(data: DataConfig) -> dict[str, Any]:
    """Returns the settings, but for where the raw data is."""
    return dataclasses.asdict(dataclasses.replace(data, data_dir=""))
