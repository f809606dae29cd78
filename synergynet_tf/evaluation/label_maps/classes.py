"""Classes of label maps: which value stands for which."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from synergynet_tf.data.datasets.folder import (
    CLASSES_FILE,
    MaskValues,
    read_classes,
    understand,
)
from synergynet_tf.data.datasets.msd import MAX_CLASSES, MAX_VALUE, read_labels
from synergynet_tf.safe_io import is_plain, read_json, shown

DATASET_FILE = "dataset.json"
BACKGROUND = "background"
# Levels above the label maps' folder in which a file may name their classes.
LEVELS = 2


class Classes(NamedTuple):
    """Classes and the values they have in files.

    Attributes:
        names: Names of the foreground classes; class `i` has the label `i + 1`.
        values: Label of each value; 0 is background.
        source: Source of the names: a file, the flag, or the references.
    """

    names: tuple[str, ...]
    values: dict[int, int]
    source: str

    def by_name(self) -> dict[str, list[int]]:
        """Returns the values of each class."""
        return {
            name: [value for value, label in self.values.items() if label == i]
            for i, name in enumerate(self.names, start=1)
        }

    def title(self) -> str:
        """Describes the classes, their values and the source of their names."""
        named = [
            f"{name} {' or '.join(map(str, values))}"
            for name, values in self.by_name().items()
        ]
        return f"classes, from {self.source}: {', '.join(named)}"


def parse_classes(texts: Sequence[str]) -> Classes:
    """Reads `name=value` pairs; a name with several values has several pairs.

    Raises:
        ValueError: If a pair is malformed, or a value is there twice.

    Example:
    >>> parse_classes(["lesion=255"]).values
    {0: 0, 255: 1}
    """
    pairs: dict[int, str] = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        value = int(number) if number.isdecimal() and len(number) < 6 else -1
        ok = name.strip() and is_plain(name) and 0 <= value <= MAX_VALUE
        if not ok or value in pairs or (value == 0) != (name == BACKGROUND):
            raise ValueError(
                "--classes must be name=value pairs, each value once, from 1 to "
                f"{MAX_VALUE}, such as liver=1 tumor=2. Received: {text}"
            )
        pairs[value] = name
    return _from_pairs({v: name for v, name in pairs.items() if v}, "--classes")


def find_classes(folder: pathlib.Path) -> Classes | None:
    """Finds the classes that a file names, in the references' folder or above it.

    That is nnU-Net's or the Decathlon's `dataset.json`, or a `classes.json`:
    `{"lesion": 255}`, or the list of a run's classes, whose values are 1, 2, ...

    Returns:
        `None` if there is no such file.

    Raises:
        ValueError: If the file is malformed; names it.
    """
    above = folder.absolute()
    for place in (above, *list(above.parents)[:LEVELS]):
        for name in (DATASET_FILE, CLASSES_FILE):
            if (place / name).is_file():
                values = _read(place / name)
                if values is not None:
                    return _from_pairs(
                        {value: key for key, value in values.items()}, str(place / name)
                    )
    return None


def name_values(
    found: MaskValues,
    folder: pathlib.Path,
    are_volumes: bool,
) -> Classes:
    """Names the classes after the values found in references, where no file names them.

    Images are understood as a run's masks are: those of 0 and 1 beside those of 0 and
    255 have one class.

    Args:
        found: For each set of values above 0 that a reference holds, those that do.
        folder: Folder of the references.
        are_volumes: Whether the references are volumes.

    Raises:
        ValueError: If there is no value, or more than a label map has classes, or
            images have soft edges.
    """
    values = sorted(frozenset[int]().union(*found))
    if not values:
        raise ValueError(
            f"Every reference in {folder} is empty; name the classes with --classes"
        )
    if are_volumes:
        pairs = {value: f"class_{value}" for value in values}
        if len(values) == 1:
            pairs = {values[0]: "foreground"}
    else:
        try:
            named, also, _ = understand(found, [folder])
        except ValueError as error:
            raise ValueError(f"{error} or with --classes") from error
        name_of = {value: name for name, value in named.items()}
        pairs = {value: name_of[also.get(value, value)] for value in values}
    return _from_pairs(pairs, f"the values in {folder}")


def _from_pairs(pairs: dict[int, str], source: str) -> Classes:
    names = tuple(dict.fromkeys(pairs.values()))
    if not 1 <= len(names) <= MAX_CLASSES:
        raise ValueError(
            f"There must be 1 to {MAX_CLASSES} classes. Received: {len(names)} of "
            f"{source}; name them with --classes"
        )
    label = {name: i for i, name in enumerate(names, start=1)}
    return Classes(names, {0: 0, **{v: label[n] for v, n in pairs.items()}}, source)


def _read(path: pathlib.Path) -> dict[str, int] | None:
    """Reads the value of each class; `None` for a file with other content."""
    try:
        values = read_json(path)
        if path.name == DATASET_FILE:
            if not isinstance(values, dict) or "labels" not in values:
                return None
            return read_labels(path, values["labels"])
        if not isinstance(values, list):
            return read_classes(path)
        names = [name for name in values if isinstance(name, str) and is_plain(name)]
        if not names or len(set(names)) != len(values):
            raise ValueError(
                f"it must list names of classes. Received: {shown(values)}"
            )
        return {name: value for value, name in enumerate(names, start=1)}
    except ValueError as error:
        raise ValueError(
            f"{path}: {error}; correct it, or name the classes with --classes"
        ) from error
