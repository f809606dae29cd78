"""The dataset.json of a Decathlon task or an nnU-Net raw folder."""

from __future__ import annotations

import json
import pathlib
from typing import Any, NamedTuple

ENDINGS = (".nii.gz", ".nii", ".png")
MAX_CLASSES = 255


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
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} must be an object. Received: {values!r}")
    channels = values.get("channel_names", values.get("modality"))
    if not isinstance(channels, dict) or not channels:
        raise ValueError(
            f"{path} must name its channels, such as "
            f'"channel_names": {{"0": "MRI"}}. Received: {channels!r}'
        )
    names = [str(channels[key]) for key in sorted(channels, key=_number)]
    labels = _read_labels(path, values.get("labels"))
    ending = values.get("file_ending", ".nii.gz")
    if ending not in ENDINGS:
        raise ValueError(
            f"{path}: `file_ending` must be one of {', '.join(ENDINGS)}. "
            f"Received: file_ending={ending!r}"
        )
    listed = values.get("training", [])
    files = [entry["image"] for entry in listed if isinstance(entry, dict)]
    cases = [pathlib.PurePosixPath(file).name.removesuffix(ending) for file in files]
    return Description(path.parent, names, labels, ending, cases)


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
        not all(type(value) is int and value >= 0 for value in values)
        or 0 not in values
        or not 2 <= len(set(values)) == len(values) <= MAX_CLASSES + 1
        or "ignore" in labels
    ):
        raise ValueError(
            f"{path}: `labels` must give each class its own value, 0 to background, "
            'such as {"background": 0, "tumor": 1}; regions and ignored values are '
            f"not supported. Received: {labels!r}"
        )
    by_value = sorted(labels.items(), key=lambda item: item[1])
    return {name: value for name, value in by_value if value}


def _number(key: str) -> int:
    return int(key) if key.isdecimal() else -1
