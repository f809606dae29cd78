"""Synapse (BTCV): abdominal CT, eight organs of thirteen.

Expected layout, TransUNet's processed files or the challenge's own; of these, the
folders img/ and label/ may also stand in `root` itself, or be named imagesTr/ and
labelsTr/:

    <root>/train_npz/case0005_slice000.npz     `image` and `label`, (rows, columns)
           test_vol_h5/case0008.npy.h5         the same, (slices, rows, columns)

    <root>/RawData/Training/img/img0001.nii.gz
                            label/label0001.nii.gz

Processed intensities are -125..275 Hounsfield units as 0..1; they are turned back, so
that both layouts are in Hounsfield units. Processed slices keep the orientation that
they are stored in, and have no spacing.
"""

from __future__ import annotations

import pathlib
import re

import numpy as np

from synergynet_tf.data.listing import (
    Listing,
    ListingError,
    PassedOver,
    Watch,
    cached,
    list_files,
    list_others,
)
from synergynet_tf.data.nifti import ENDINGS, map_labels, read_labeled
from synergynet_tf.data.spec import Case
from synergynet_tf.data.split_rules import (
    holdout,
    named_split,
    official_split,
    random_split,
)
from synergynet_tf.safe_io import read_datasets, read_npz

# TransUNet's order.
CLASSES: tuple[str, ...] = (
    "aorta",
    "gallbladder",
    "kidney_left",
    "kidney_right",
    "liver",
    "pancreas",
    "spleen",
    "stomach",
)
PAPER_PROTOCOL: str = "transunet"

# TransUNet's split, which has no validation set.
# Assumption: 10 % of the training cases, drawn with the split's seed, select the
# epoch; the paper does not say what did.
PAPER_TRAIN = (5, 6, 7, 9, 10, 21, 23, 24, 26, 27, 28, 30, 31, 33, 34, 37, 39, 40)
PAPER_TEST = (1, 2, 3, 4, 8, 22, 25, 29, 32, 35, 36, 38)

# The challenge's values, from 1. Those that are no class become background.
RAW_LABELS = (
    "spleen",
    "kidney_right",
    "kidney_left",
    "gallbladder",
    "esophagus",
    "liver",
    "stomach",
    "aorta",
    "vena_cava",
    "portal_and_splenic_veins",
    "pancreas",
    "right_adrenal_gland",
    "left_adrenal_gland",
)
RAW_VALUES = {0: 0} | {
    value: CLASSES.index(name) + 1 if name in CLASSES else 0
    for value, name in enumerate(RAW_LABELS, start=1)
}
PROCESSED_VALUES = {value: value for value in range(len(CLASSES) + 1)}

PROCESSED_FOLDERS = {"train": "train_npz", "test": "test_vol_h5"}
RAW_FOLDERS = (
    ("RawData/Training/img", "RawData/Training/label"),
    ("img", "label"),
    ("imagesTr", "labelsTr"),
)
# Hounsfield units of 0 and 1 in processed files.
LOW, HIGH = -125.0, 275.0
ARRAYS = ("image", "label")
# Names without their endings.
SLICE = re.compile(r"(case\d{4})_slice(\d{3})")
VOLUME = re.compile(r"(case\d{4})(?:\.npy)?")
RAW = re.compile(r"(?:img|label)(\d{4})")


def class_names(root: str | pathlib.Path) -> tuple[str, ...]:
    """Returns the eight organs."""
    return CLASSES


def label_values(root: str | pathlib.Path) -> tuple[int, ...]:
    """Returns the values in the files: the challenge's, or TransUNet's 1 to 8."""
    first, *_ = listing(root).parts["train"].values()
    values = RAW_VALUES if RAW.match(first[0].name) else PROCESSED_VALUES
    by_label = {label: value for value, label in values.items() if label}
    return tuple(by_label[i + 1] for i in range(len(CLASSES)))


def modality(root: str | pathlib.Path) -> str:
    """Returns `ct`."""
    return "ct"


def has_spacing(root: str | pathlib.Path) -> bool:
    """Tells whether the files are the challenge's own: processed ones have no spacing.

    Raises:
        FileNotFoundError, ValueError: As `case_ids` does.
    """
    return all(
        files[0].name.lower().endswith(ENDINGS)
        for cases in listing(root).parts.values()
        for files in cases.values()
    )


def case_ids(root: str | pathlib.Path) -> list[str]:
    """Lists the cases, `case0001` and so on, sorted.

    Raises:
        FileNotFoundError: If the folders of neither layout are there.
        ValueError: If a slice is missing, an image lacks its labels or labels their
            image, or a case is there twice.
    """
    return listing(root).case_ids()


def patients(root: str | pathlib.Path) -> dict[str, str]:
    """Returns each case as its own patient: so the challenge has them."""
    return {case_id: case_id for case_id in case_ids(root)}


def case_files(root: str | pathlib.Path, case_id: str) -> list[pathlib.Path]:
    """Lists the case's slices, its volume, or its image and labels."""
    return listing(root).files(case_id)


def read_case(root: str | pathlib.Path, case_id: str) -> Case:
    """Reads one case in Hounsfield units.

    Raises:
        FileNotFoundError: If there is no such case.
        ValueError: If a file is damaged, or image and labels do not match.
    """
    files = case_files(root, case_id)
    if files[0].name.lower().endswith(ENDINGS):
        return read_labeled(case_id, files[:1], files[1], RAW_VALUES)
    stored = [_read_arrays(case_id, path) for path in files]
    shapes = {image.shape for image, _ in stored}
    if len(shapes) > 1:
        raise ValueError(
            f"Case {case_id}: its slices in {files[0].parent} have different shapes: "
            f"{', '.join(map(str, sorted(shapes)))}"
        )
    rows, columns = stored[0][0].shape[-2:]
    image, label = (
        np.concatenate([arrays[i].reshape(-1, rows, columns) for arrays in stored])
        for i in range(2)
    )
    return Case(case_id, image[..., None], label, spacing_mm=(1.0, 1.0, 1.0))


def default_split(root: str | pathlib.Path) -> str:
    """Names `paper` where its 30 cases are, else `official` or `random`."""
    parts = listing(root).part_ids()
    found = {case_id for cases in parts.values() for case_id in cases}
    if found >= {_name(number) for number in PAPER_TRAIN + PAPER_TEST}:
        return "paper"
    return "official" if "test" in parts else "random"


def splits(root: str | pathlib.Path, split: str, seed: int) -> dict[str, list[str]]:
    """Returns the case ids of `train`, `val` and `test`.

    Args:
        root: The dataset's folder.
        split: `paper`: TransUNet's 18 cases, of which 10 % are drawn to select, and
            12 to test. `official`: the same with the cases that are in train_npz/
            and test_vol_h5/. `random`: 70 / 10 / 20 % of all cases.
        seed: Seed of the random draws.

    Raises:
        ValueError: If the cases are not those of the split.
    """
    parts = listing(root).part_ids()
    if split == "paper":
        names = {
            "train": [_name(number) for number in PAPER_TRAIN],
            "val": [],
            "test": [_name(number) for number in PAPER_TEST],
        }
        found = named_split(case_ids(root), names, str, root)
        train, val = holdout(found["train"], seed)
        return {"train": train, "val": val, "test": found["test"]}
    if split == "official":
        return official_split(parts, seed)
    if split == "random":
        return random_split(case_ids(root), seed)
    raise ValueError(
        f"`split` must be paper, official or random. Received: split={split!r}"
    )


def _name(number: int) -> str:
    return f"case{number:04d}"


@cached
def listing(root: pathlib.Path, watch: Watch) -> Listing:
    """Lists the files of each case of each part; raw cases are all of `train`."""
    folders = {part: root / name for part, name in PROCESSED_FOLDERS.items()}
    watch(root)
    for path in (*folders.values(), *(root / n for pair in RAW_FOLDERS for n in pair)):
        watch(path)
    passed_over: list[PassedOver] = []
    if folders["train"].is_dir():
        list_others(root, PROCESSED_FOLDERS.values(), (".npz", ".h5"), passed_over)
        parts = {"train": _slices(folders["train"], passed_over)}
        if folders["test"].is_dir():
            parts["test"] = _volumes(folders["test"], passed_over)
        if both := parts["train"].keys() & parts.get("test", {}).keys():
            raise ValueError(
                f"Case {min(both)} is in {folders['train']} and in {folders['test']}; "
                "remove it from one of them"
            )
        return Listing(root, parts, passed_over=passed_over)
    for images, labels in RAW_FOLDERS:
        if (root / images).is_dir():
            used = {images.partition("/")[0], labels.partition("/")[0]}
            list_others(root, used, ENDINGS, passed_over)
            cases = _raw(root / images, root / labels, passed_over)
            return Listing(root, {"train": cases}, passed_over=passed_over)
    raise FileNotFoundError(
        f"No train_npz/ or RawData/Training/img/ in {root}; pass the folder that holds "
        "TransUNet's processed Synapse or the raw BTCV challenge as --data-dir, or "
        "name it synapse/ and set $SYNERGYNET_DATA to its parent"
    )


def _matching(
    folder: pathlib.Path,
    endings: tuple[str, ...],
    name: re.Pattern[str],
    passed_over: list[PassedOver],
) -> list[tuple[re.Match[str], pathlib.Path]]:
    """Lists the files of a folder whose names are as expected."""
    found = []
    for stem, path in list_files(folder, endings, passed_over):
        if match := name.fullmatch(stem):
            found.append((match, path))
        else:
            passed_over.append(
                PassedOver(path, "not named as a case of this folder is")
            )
    return found


def _slices(
    folder: pathlib.Path, passed_over: list[PassedOver]
) -> dict[str, list[pathlib.Path]]:
    numbered: dict[str, list[tuple[int, pathlib.Path]]] = {}
    for match, path in _matching(folder, (".npz",), SLICE, passed_over):
        numbered.setdefault(match[1], []).append((int(match[2]), path))
    cases, problems = {}, []
    for case_id, slices in numbered.items():
        slices.sort()
        cases[case_id] = [path for _, path in slices]
        for expected, (number, path) in enumerate(slices):
            if number > expected:
                name = f"{case_id}_slice{expected:03d}.npz"
                problems.append(f"Case {case_id}: no {name} in {folder}; restore it")
            elif number < expected:
                problems.append(f"Case {case_id}: {path} is there twice; remove one")
            if number != expected:
                break
    if problems:
        raise ListingError(problems, [])
    return _some(cases, folder, "case0005_slice000.npz")


def _volumes(
    folder: pathlib.Path, passed_over: list[PassedOver]
) -> dict[str, list[pathlib.Path]]:
    cases: dict[str, list[pathlib.Path]] = {}
    for match, path in _matching(folder, (".h5",), VOLUME, passed_over):
        cases.setdefault(match[1], []).append(path)
    return _some(_only(cases), folder, "case0008.npy.h5")


def _only(cases: dict[str, list[pathlib.Path]]) -> dict[str, list[pathlib.Path]]:
    """Refuses a case of which a file is there twice, such as packed and unpacked."""
    if problems := [
        f"{paths[0]} and {paths[1].name} are one case; keep one of them"
        for paths in cases.values()
        if len(paths) > 1
    ]:
        raise ListingError(problems, [])
    return cases


def _raw(
    images: pathlib.Path, labels: pathlib.Path, passed_over: list[PassedOver]
) -> dict[str, list[pathlib.Path]]:
    found, free = (_raw_files(folder, passed_over) for folder in (images, labels))
    problems: list[str] = []
    for cases, others, folder, what in (
        (found, free, labels, "labels"),
        (free, found, images, "image"),
    ):
        problems += [
            f"{cases[case_id]} has no {what} in {folder}; add or remove it"
            for case_id in sorted(cases.keys() - others.keys())
        ]
    if problems:
        raise ListingError(problems, [])
    pairs = {case_id: [found[case_id], free[case_id]] for case_id in sorted(found)}
    return _some(pairs, images, "img0001.nii.gz")


def _raw_files(
    folder: pathlib.Path, passed_over: list[PassedOver]
) -> dict[str, pathlib.Path]:
    cases: dict[str, list[pathlib.Path]] = {}
    for match, path in _matching(folder, ENDINGS, RAW, passed_over):
        cases.setdefault(_name(int(match[1])), []).append(path)
    return {case_id: path for case_id, (path,) in _only(cases).items()}


def _some(
    cases: dict[str, list[pathlib.Path]], folder: pathlib.Path, example: str
) -> dict[str, list[pathlib.Path]]:
    if not cases:
        raise FileNotFoundError(f"No files such as {example} in {folder}; add them")
    return cases


def _read_arrays(case_id: str, path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns the image, in Hounsfield units, and the labels of a processed file."""
    try:
        if path.suffix.lower() == ".npz":
            arrays = read_npz(path, ARRAYS)
            image, label = (arrays[name] for name in ARRAYS)
        else:
            image, label = read_datasets(path, ARRAYS)
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"Case {case_id}: {path} cannot be read ({error}); replace it"
        ) from error
    axes = 2 if path.suffix.lower() == ".npz" else 3
    if (
        image.ndim != axes
        or image.shape != label.shape
        or image.dtype.kind not in "fiu"
    ):
        raise ValueError(
            f"Case {case_id}: {path} must hold an image and a label of one shape, of "
            f"{axes} axes. Received: {image.dtype} {image.shape} and {label.shape}"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        units = (LOW + (HIGH - LOW) * image).astype(np.float32)
    if not np.isfinite(units).all():
        raise ValueError(
            f"Case {case_id}: {path} has NaN or infinite values, in Hounsfield units"
        )
    try:
        return units, map_labels(label, PROCESSED_VALUES, path)
    except ValueError as error:
        raise ValueError(f"Case {case_id}: {error}") from error
