"""The dataset.json of a Decathlon task or an nnU-Net raw folder."""

from __future__ import annotations

import pathlib
from typing import Any, NamedTuple

from synergynet_tf.safe_io import read_json, shown

ENDINGS = (".nii.gz", ".nii", ".png")
MAX_CLASSES = 255
MAX_VALUE = 65535


class Description(NamedTuple):
    """What dataset.json says.

    Attributes:
        folder: Where it is.
        channels: Names of the channels.
        labels: Value of each foreground class, in ascending order.
        ending: Of the files.
        listed: The cases it lists, of which none may be missing.
    """

    folder: pathlib.Path
    channels: list[str]
    labels: dict[str, int]
    ending: str
    listed: list[str]


def read_description(root: str | pathlib.Path) -> Description:
    """Reads the dataset.json in `root`, or in the only folder below it that has one.

    Raises:
        FileNotFoundError: If there is none, or there are several below.
        ValueError: If it is malformed; names it.
    """
    path = _find_description(pathlib.Path(root))
    try:
        values = read_json(path)
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} must be an object. Received: {shown(values)}")
    channels = values.get("channel_names", values.get("modality"))
    if (
        not isinstance(channels, dict)
        or not channels
        or not all(isinstance(name, str) for name in channels.values())
    ):
        raise ValueError(
            f"{path} must name its channels, such as "
            f'"channel_names": {{"0": "MRI"}}. Received: {shown(channels)}'
        )
    names = [channels[key] for key in sorted(channels, key=_number)]
    labels = _read_labels(path, values.get("labels"))
    ending = values.get("file_ending", ".nii.gz")
    if ending not in ENDINGS:
        raise ValueError(
            f"{path}: `file_ending` must be one of {', '.join(ENDINGS)}. "
            f"Received: file_ending={shown(ending)}"
        )
    listed = _read_listed(path, values.get("training", []))
    cases = [file.name.removesuffix(ending) for file in listed]
    return Description(path.parent, names, labels, ending, cases)


def _read_listed(path: pathlib.Path, listed: Any) -> list[pathlib.PurePosixPath]:
    """Returns the images that `training` lists, which are in folders below."""
    if not isinstance(listed, list):
        raise ValueError(
            f"{path}: `training` must be a list. Received: {shown(listed)}"
        )
    files = []
    for entry in listed:
        if not isinstance(entry, dict):
            continue
        image = entry.get("image")
        file = pathlib.PurePosixPath(image if isinstance(image, str) else "/")
        strange = file.is_absolute() or ".." in file.parts
        if strange or not 0 < len(file.name) < 256:
            raise ValueError(
                f"{path}: `image` must name a file below its folder. "
                f"Received: {shown(image)}"
            )
        files.append(file)
    return files


def _find_description(root: pathlib.Path) -> pathlib.Path:
    inner = sorted(root.glob("*/dataset.json"))
    if (root / "dataset.json").is_file():
        return root / "dataset.json"
    if len(inner) == 1:
        return inner[0]
    several = ", ".join(path.parent.name for path in inner)
    raise FileNotFoundError(
        f"No dataset.json in {root}{f', but in {several}' if several else ''}; pass "
        "the folder of a Decathlon task or an nnU-Net dataset as --data-dir, or name "
        "it msd/ and set $SYNERGYNET_DATA to its parent"
    )


def _read_labels(path: pathlib.Path, labels: Any) -> dict[str, int]:
    """Returns the value of each foreground class, in ascending order."""
    if isinstance(labels, dict) and all(type(v) is str for v in labels.values()):
        labels = {name: _number(value) for value, name in labels.items()}
    values = list(labels.values()) if isinstance(labels, dict) else []
    if (
        not all(type(value) is int and 0 <= value <= MAX_VALUE for value in values)
        or 0 not in values
        or not 2 <= len(set(values)) == len(values) <= MAX_CLASSES + 1
        or "ignore" in labels
        or not all(name.isprintable() for name in labels)
    ):
        raise ValueError(
            f"{path}: `labels` must give each class its own value, 0 to background, "
            'such as {"background": 0, "tumor": 1}; regions and ignored values are '
            f"not supported. Received: {shown(labels)}"
        )
    by_value = sorted(labels.items(), key=lambda item: item[1])
    return {name: value for name, value in by_value if value}


def _number(key: str) -> int:
    return int(key) if key.isdecimal() and len(key) < 10 else -1
