"""Medical Segmentation Decathlon (MSD) tasks and nnU-Net raw folders.

Expected layout; `imagesTs/` counts only with `labelsTs/`:

    <root>/dataset.json
           imagesTr/CASE.nii.gz          channels on a fourth axis, or
                    CASE_0000.nii.gz     one file a channel: _0000, _0001, ...
           labelsTr/CASE.nii.gz
           imagesTs/, labelsTs/
           patients.csv                  optional: columns `case` and `patient`

`dataset.json` names the channels (`channel_names` or `modality`) and the labels
(`{"0": "background", ...}` or `{"background": 0, ...}`), and may name the files' kind
(`file_ending`: .nii.gz, .nii or .png). `root` may also be the folder that holds one
such folder.

What is a case is decided by the label files and by the lists in `dataset.json`, not by
names: with labels `word_0001.nii.gz`, the image of that name is a case, not a channel.

A dataset is `ct` if all channels are named CT, `rgb` if they are named RGB, or R, G, B;
else `mri`.
"""

from __future__ import annotations

import functools
import pathlib
import re
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import numpy as np

from synergynet_tf.data.images import read_image, read_mask
from synergynet_tf.data.listing import (
    PATIENTS_FILE,
    Listing,
    PassedOver,
    Watch,
    cached,
    find_file,
    first_of,
    list_files,
    list_others,
    without_ending,
)
from synergynet_tf.data.nifti import map_labels, read_labeled
from synergynet_tf.data.patients import patients_beside
from synergynet_tf.data.spec import Case
from synergynet_tf.data.split_rules import official_split, random_split
from synergynet_tf.safe_io import (
    composed,
    is_plain,
    read_json,
    require_plain_name,
    shown,
)

CLASSES: tuple[str, ...] = ()
PAPER_PROTOCOL: str = "strict"
# The Decathlon's tolerance for Task04, Hippocampus.
NSD_TOLERANCE_MM: float = 1.0

FOLDERS = {"train": ("imagesTr", "labelsTr"), "test": ("imagesTs", "labelsTs")}
RGB_CHANNELS = {"rgb", "rgb_to_0_1", "r", "g", "b", "red", "green", "blue"}
# Key of dataset.json for each part.
LISTS = {"train": "training", "test": "test"}
COUNTS = {"train": "numTraining", "test": "numTest"}
CHANNEL = re.compile(r"(.+)_(\d{4})")
FRAME = re.compile(r"_frame\d+$")
ENDINGS = (".nii.gz", ".nii", ".png")
MAX_CLASSES = 255
MAX_VALUE = 65535


def class_names(root: str | pathlib.Path) -> tuple[str, ...]:
    """Returns the foreground classes that dataset.json names, by their values.

    Raises:
        FileNotFoundError: If there is no dataset.json.
        ValueError: If it is malformed.
    """
    return tuple(_read_description(root).labels)


def label_values(root: str | pathlib.Path) -> tuple[int, ...]:
    """Returns the value of each class in dataset.json, in ascending order.

    Raises:
        FileNotFoundError, ValueError: As `class_names` does.
    """
    return tuple(_read_description(root).labels.values())


def modality(root: str | pathlib.Path) -> str:
    """Returns `ct`, `rgb` or `mri`, after the channels that dataset.json names.

    Raises:
        FileNotFoundError, ValueError: As `class_names` does.
    """
    names = {name.lower() for name in _read_description(root).channels}
    if names == {"ct"}:
        return "ct"
    return "rgb" if names <= RGB_CHANNELS else "mri"


def has_spacing(root: str | pathlib.Path) -> bool:
    """Tells whether the files are volumes: PNG has no spacing.

    Raises:
        FileNotFoundError, ValueError: As `class_names` does.
    """
    return _read_description(root).ending != ".png"


def case_ids(root: str | pathlib.Path) -> list[str]:
    """Lists the labeled cases, sorted.

    Raises:
        FileNotFoundError: If the layout is not as expected.
        ValueError: If an image lacks its labels or labels their image, or a case
            that dataset.json lists is missing.
    """
    return listing(root).case_ids()


def patients(root: str | pathlib.Path) -> dict[str, str]:
    """Returns the patient of each case, as patients.csv names it.

    Without that file, it is the case's name without `_frame01` at its end.
    Assumption: no two other cases are of one patient; the format has no patients.

    Raises:
        ValueError: If patients.csv is malformed or lacks a case.
    """
    ids, without_frame = case_ids(root), functools.partial(FRAME.sub, "")
    return patients_beside(_find_patients(root), ids, ENDINGS, without_frame)


def _find_patients(root: str | pathlib.Path) -> pathlib.Path | None:
    """Finds patients.csv beside dataset.json, or in the folder above that was named."""
    places = (_read_description(root).folder, root)
    found = [find_file(place, PATIENTS_FILE) for place in places]
    return found[0] or found[1]


def case_files(root: str | pathlib.Path, case_id: str) -> list[pathlib.Path]:
    """Lists dataset.json, the image's files in the order of channels, the labels."""
    return listing(root).files(case_id)


def read_case(root: str | pathlib.Path, case_id: str) -> Case:
    """Reads one case.

    Raises:
        FileNotFoundError: If there is no such case.
        ValueError: If a file is damaged, the files do not match, or the channels
            are not those of dataset.json.
    """
    description = _read_description(root)
    _, *images, label = case_files(root, case_id)
    values = {0: 0, **{v: i + 1 for i, v in enumerate(description.labels.values())}}
    if description.ending == ".png":
        case = _read_png(case_id, images, label, values)
    else:
        case = read_labeled(case_id, images, label, values, may_have_channels=True)
    found, names = case.image.shape[-1], description.channels
    # An RGB file may stand under one name; a gray file may stand for three.
    if found != len(names) and not (modality(root) == "rgb" and found in (1, 3)):
        raise ValueError(
            f"Case {case_id}: {images[0]} has {found} channels, but dataset.json names "
            f"{len(names)}: {', '.join(names)}"
        )
    return case


def default_split(root: str | pathlib.Path) -> str:
    """Names `official` where imagesTs/ has labels, else `random`."""
    return "official" if "test" in listing(root).part_ids() else "random"


def splits(root: str | pathlib.Path, split: str, seed: int) -> dict[str, list[str]]:
    """Returns the case ids of `train`, `val` and `test`.

    Args:
        root: The dataset's folder.
        split: `official`: the test set is imagesTs/, and 10 % of imagesTr/ select.
            `random`: 70 / 10 / 20 % of all patients.
        seed: Seed of the random draws.

    Raises:
        ValueError: If `split` is another, or the files are not there.
    """
    owners = patients(root)
    if split == "official":
        return official_split(listing(root).part_ids(), seed, owners.__getitem__)
    if split == "random":
        return random_split(list(owners), seed, owners.__getitem__)
    raise ValueError(
        "`split` must be official or random for a Decathlon or nnU-Net folder. "
        f"Received: split={split!r}"
    )


def _read_png(
    case_id: str,
    images: list[pathlib.Path],
    label: pathlib.Path,
    values: dict[int, int],
) -> Case:
    try:
        channels = [read_image(path) for path in images]
        mapped = map_labels(read_mask(label)[None], values, label)
        for path, channel in zip(images, channels, strict=True):
            if channel.shape[:3] != mapped.shape:
                raise ValueError(
                    f"{label} has the shape {mapped.shape[1:]} and {path} "
                    f"{channel.shape[1:3]} (rows, columns); they must be equal"
                )
        image = np.concatenate(channels, axis=-1)
        return Case(case_id, image, mapped, spacing_mm=(1.0, 1.0, 1.0))
    except ValueError as error:
        raise ValueError(f"Case {case_id}: {error}") from error


@cached
def listing(root: pathlib.Path, watch: Watch) -> Listing:
    """Lists dataset.json, the image's files and the labels of each case."""
    path = _find_description(root, watch)
    description = _read_description(root)
    folder, ending = description.folder, description.ending
    watch(folder)
    parts: dict[str, dict[str, list[pathlib.Path]]] = {}
    problems: list[str] = []
    passed_over: list[PassedOver] = []
    table = _find_patients(root)
    used = {path.name, *([table.name] if table else [])}
    for part, names in FOLDERS.items():
        images, labels = (folder / name for name in names)
        watch(images)
        watch(labels)
        used |= set(names)
        if part == "test" and not labels.is_dir():
            if images.is_dir():
                reason = f"there is no {labels.name}/, so it is no test set"
                passed_over.append(PassedOver(images, reason, "expected"))
            continue
        for place in (images, labels):
            if not place.is_dir():
                raise FileNotFoundError(f"No folder {place}; restore it")
        files = _list(images, ending, problems, passed_over)
        labeled = _list(labels, ending, problems, passed_over)
        if not files and not labeled:
            others = [e.path.name for e in passed_over if e.path.parent == images]
            instead = f" but {first_of(others, 3)}" if others else ""
            raise FileNotFoundError(
                f"No {ending} files in {images}{instead}; add them, or name their "
                f"`file_ending` in {path}"
            )
        listed = description.listed[part]
        found, free, wrong = _images(images, files, ending, labeled, listed)
        problems += wrong
        problems += [
            f"{file} has no labels in {labels}; add or remove it" for file in free
        ]
        problems += [
            f"{labeled[case_id]} has no image in {images}; add or remove it"
            for case_id in sorted(labeled.keys() - found.keys())
        ]
        parts[part] = {
            case_id: [path, *found[case_id], labeled[case_id]]
            for case_id in sorted(found.keys() & labeled.keys())
            if found[case_id]
        }
        there = {*files, *(_case_of(name, labeled, listed) for name in files)}
        if missing := sorted({*listed.values()} - labeled.keys() - there):
            problems.append(
                f"{path} lists {len(missing)} cases that are not in {images}: "
                f"{first_of(missing, 10)}; restore them or correct the list"
            )
    problems += [
        f"Case {case_id} is in imagesTr/ and in imagesTs/ of {folder}; remove one"
        for case_id in sorted(parts["train"].keys() & parts.get("test", {}).keys())
    ]
    list_others(folder, used, ENDINGS, passed_over)
    warnings = list(_differences(path, description, parts))
    return Listing(root, parts, problems, passed_over, warnings)


def _differences(
    path: pathlib.Path,
    description: Description,
    parts: dict[str, dict[str, list[pathlib.Path]]],
) -> Iterator[str]:
    """Yields where dataset.json has other numbers or lists than there are cases."""
    for part, cases in parts.items():
        images, count = FOLDERS[part][0], description.counts[part]
        if count is not None and str(count) != str(len(cases)):
            yield (
                f"{path} says {COUNTS[part]}: {shown(count)}, and {images}/ has "
                f"{len(cases)} labeled cases; restore what is missing or correct it"
            )
        listed = {*description.listed[part].values()}
        listed |= {match[1] for name in listed if (match := CHANNEL.fullmatch(name))}
        if listed and (others := sorted(cases.keys() - listed)):
            yield (
                f"{path} does not list {len(others)} cases of {images}/, which are "
                f"used: {first_of(others, 10)}; list them or remove their files"
            )


def _list(
    folder: pathlib.Path,
    ending: str,
    problems: list[str],
    passed_over: list[PassedOver],
) -> dict[str, pathlib.Path]:
    """Lists the files of a kind by their names without the ending."""
    found: dict[str, pathlib.Path] = {}
    for name, path in list_files(folder, (ending,), passed_over):
        require_plain_name(path)
        if name in found:
            problems.append(
                f"{found[name]} and {path.name} have one name; keep one of them"
            )
        found[name] = path
    return found


def _images(
    folder: pathlib.Path,
    files: dict[str, pathlib.Path],
    ending: str,
    labeled: Collection[str],
    listed: dict[str, str],
) -> tuple[dict[str, list[pathlib.Path]], list[pathlib.Path], list[str]]:
    """Finds the case of each file: by its labels and the list, then by its name.

    Args:
        folder: Folder of the files.
        files: Files by their names without the ending.
        ending: Ending of the files.
        labeled: IDs of the cases that have labels.
        listed: Case ID of each image that dataset.json lists.

    Returns:
        The files of each case, in the order of its channels, none for one that lacks
        a channel; the files of unlabeled cases; and what is wrong, a line each.
    """
    groups: dict[str, list[str]] = {}
    for name in files:
        case_id = _case_of(name, labeled, listed)
        groups.setdefault(case_id, []).append(name)
    found: dict[str, list[pathlib.Path]] = {}
    unlabeled: list[pathlib.Path] = []
    problems = []
    for case_id, names in groups.items():
        paths = [files[name] for name in names]
        numbered = [f"{case_id}_{i:04d}" for i in range(len(names))]
        if case_id not in labeled:
            whole = names == numbered
            unlabeled += paths[:1] if whole else paths
        elif names in ([case_id], numbered) or [*map(listed.get, names)] == [case_id]:
            found[case_id] = paths
        else:
            found[case_id] = []
            problems.append(
                f"Case {case_id} in {folder} has the files {', '.join(names)}; "
                f"expected {case_id}{ending}, or {case_id}_0000{ending} and on "
                "without a gap"
            )
    return found, unlabeled, problems


def _case_of(name: str, labeled: Collection[str], listed: dict[str, str]) -> str:
    """Returns the case that an image's file belongs to."""
    match = CHANNEL.fullmatch(name)
    if name in labeled:
        return name
    if listed.get(name) in labeled:
        return listed[name]
    if match is None or (match[1] not in labeled and name in listed):
        return name
    return match[1]


class Description(NamedTuple):
    """Content of dataset.json.

    Attributes:
        folder: Folder of the file.
        channels: Names of the channels.
        labels: Value of each foreground class, in ascending order.
        ending: Ending of the image files.
        listed: For each part, the case ID of each image that it lists; none of these
            may be missing.
        counts: For each part, the number of cases that it states; `None` for nothing.
    """

    folder: pathlib.Path
    channels: list[str]
    labels: dict[str, int]
    ending: str
    listed: dict[str, dict[str, str]]
    counts: dict[str, Any]


@cached
def _read_description(root: pathlib.Path, watch: Watch) -> Description:
    path = _find_description(root, watch)
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
    labels = read_labels(path, values.get("labels"))
    ending = values.get("file_ending", ".nii.gz")
    ending = ending.lower() if isinstance(ending, str) else ending
    if ending not in ENDINGS:
        raise ValueError(
            f"{path}: `file_ending` must be one of {', '.join(ENDINGS)}. "
            f"Received: file_ending={shown(ending)}"
        )
    labels_of_tests = path.parent / FOLDERS["test"][1]
    watch(labels_of_tests)
    used = {"train": True, "test": labels_of_tests.is_dir()}
    listed = {
        part: _read_listed(path, name, values.get(name, []), ending)
        if used[part]
        else {}
        for part, name in LISTS.items()
    }
    counts = {part: values.get(name) for part, name in COUNTS.items()}
    return Description(path.parent, names, labels, ending, listed, counts)


def _read_listed(
    path: pathlib.Path, name: str, listed: Any, ending: str
) -> dict[str, str]:
    """Returns the case of each image that a list has: the name of its labels' file."""
    if not isinstance(listed, list):
        raise ValueError(f"{path}: `{name}` must be a list. Received: {shown(listed)}")
    cases = {}
    for entry in listed:
        files = entry if isinstance(entry, dict) else {"image": entry}
        image = _bare_name(path, files.get("image"), ending)
        label = files.get("label")
        case_id = image if label is None else _bare_name(path, label, ending)
        cases[image] = case_id
    return cases


def _bare_name(path: pathlib.Path, listed: Any, ending: str) -> str:
    """Returns the name, without its ending, of a file that must be in a folder below.

    Raises:
        ValueError: If it is no such path.
    """
    file = pathlib.PurePosixPath(listed if isinstance(listed, str) else "/")
    strange = file.is_absolute() or ".." in file.parts
    if strange or not 0 < len(file.name) < 256:
        raise ValueError(
            f"{path}: `image` must name a file below its folder. "
            f"Received: {shown(listed)}"
        )
    name = composed(file.name)
    return without_ending(name, (ending,)) or name


def _find_description(root: pathlib.Path, watch: Watch) -> pathlib.Path:
    """Returns the dataset.json in `root` or in the only folder below that has one."""
    watch(root / "dataset.json")
    if (root / "dataset.json").is_file():
        return root / "dataset.json"
    watch(root)
    places = [path / "dataset.json" for path in sorted(root.glob("*"))]
    for place in places:
        watch(place)
    inner = [place for place in places if place.is_file()]
    if len(inner) == 1:
        return inner[0]
    several = ", ".join(path.parent.name for path in inner)
    raise FileNotFoundError(
        f"No dataset.json in {root}{f', but in {several}' if several else ''}; pass "
        "the folder of a Decathlon task or an nnU-Net dataset as --data-dir, or name "
        "it msd/ and set $SYNERGYNET_DATA to its parent"
    )


def read_labels(path: pathlib.Path, labels: Any) -> dict[str, int]:
    """Returns the value of each foreground class, in ascending order.

    Args:
        path: Path of dataset.json.
        labels: Value of its key `labels`.

    Raises:
        ValueError: If it is malformed, or has regions or an ignored value.
    """
    if isinstance(labels, dict) and all(type(v) is str for v in labels.values()):
        labels = {name: _number(value) for value, name in labels.items()}
    values = list(labels.values()) if isinstance(labels, dict) else []
    if len(values) > MAX_CLASSES + 1:
        raise ValueError(
            f"{path}: `labels` must name at most {MAX_CLASSES} classes. Received: "
            f"{len(values) - 1}"
        )
    if (
        not all(type(value) is int and 0 <= value <= MAX_VALUE for value in values)
        or 0 not in values
        or not 2 <= len(set(values)) == len(values)
        or "ignore" in labels
        or not all(is_plain(name) for name in labels)
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
