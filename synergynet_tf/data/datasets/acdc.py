"""ACDC: cine MRI of the heart in short axis, three foreground classes.

Expected layout, the challenge's; `testing/` may be missing, and counts only with its
labels. `Info.cfg` and the cine series (`_4d`) are passed over:

    <root>/training/patient001/patient001_frame01.nii.gz
                               patient001_frame01_gt.nii.gz
                               patient001_frame12.nii.gz
                               patient001_frame12_gt.nii.gz
           testing/patient101/...

A case is one frame, end-diastole or end-systole; the frames of a patient stay together.
"""

from __future__ import annotations

import pathlib
import re

from synergynet_tf.data.listing import (
    Listing,
    PassedOver,
    Watch,
    cached,
    list_files,
    list_others,
)
from synergynet_tf.data.nifti import ENDINGS, read_labeled
from synergynet_tf.data.spec import Case
from synergynet_tf.data.split_rules import named_split, official_split, random_split

CLASSES: tuple[str, ...] = ("rv", "myo", "lv")
PAPER_PROTOCOL: str = "transunet"

# The 70 / 10 / 20 patients of MT-UNet's lists, which the field shares; train is the
# rest of 1 to 100.
# Assumption: the paper's split is this one; it names TransUNet's, never published.
PAPER_VAL = (19, 21, 29, 33, 41, 50, 61, 71, 76, 80)
PAPER_TEST = (
    2,
    3,
    8,
    9,
    12,
    14,
    17,
    24,
    42,
    48,
    49,
    53,
    55,
    64,
    67,
    79,
    81,
    88,
    92,
    95,
)
PAPER_TRAIN = tuple(sorted({*range(1, 101)} - {*PAPER_VAL, *PAPER_TEST}))

FOLDERS = {"train": "training", "test": "testing"}
FRAME = re.compile(r"(patient\d{3})_frame\d{2}")
CINE = re.compile(r"patient\d{3}_4d")
INFO = "Info.cfg"


def class_names(root: str | pathlib.Path) -> tuple[str, ...]:
    """Returns right ventricle, myocardium and left ventricle."""
    return CLASSES


def label_values(root: str | pathlib.Path) -> tuple[int, ...]:
    """Returns the challenge's values, 1 to 3."""
    return (1, 2, 3)


def modality(root: str | pathlib.Path) -> str:
    """Returns `mri`."""
    return "mri"


def case_ids(root: str | pathlib.Path) -> list[str]:
    """Lists the labeled frames, `patient001_frame01` and so on, sorted.

    Raises:
        FileNotFoundError: If the layout is not as expected.
        ListingError: If a frame lacks its labels or labels their frame, or a patient
            has no frame; names it.
    """
    return listing(root).case_ids()


def patients(root: str | pathlib.Path) -> dict[str, str]:
    """Returns the patient of each case."""
    return {case_id: _patient(case_id) for case_id in case_ids(root)}


def case_files(root: str | pathlib.Path, case_id: str) -> list[pathlib.Path]:
    """Lists the frame and its labels."""
    return listing(root).files(case_id)


def read_case(root: str | pathlib.Path, case_id: str) -> Case:
    """Reads one frame.

    Raises:
        FileNotFoundError: If there is no such case.
        ValueError: If a file is damaged, or image and labels do not match.
    """
    image, label = case_files(root, case_id)
    return read_labeled(case_id, [image], label, {0: 0, 1: 1, 2: 2, 3: 3})


def default_split(root: str | pathlib.Path) -> str:
    """Names `paper` where its 100 patients are, else `official` or `random`."""
    parts = listing(root).part_ids()
    found = {_patient(case_id) for case_id in parts["train"]}
    if found >= {_name(number) for number in range(1, 101)}:
        return "paper"
    return "official" if "test" in parts else "random"


def splits(root: str | pathlib.Path, split: str, seed: int) -> dict[str, list[str]]:
    """Returns the case ids of `train`, `val` and `test`.

    Args:
        root: The dataset's folder.
        split: `paper`: 70 / 10 / 20 of the training patients, by name. `official`:
            the test set is testing/, and 10 % of the training patients select.
            `random`: 70 / 10 / 20 % of all patients.
        seed: Seed of the random draws.

    Raises:
        ValueError: If the patients are not those of the split.
    """
    parts = listing(root).part_ids()
    if split == "paper":
        numbers = {"train": PAPER_TRAIN, "val": PAPER_VAL, "test": PAPER_TEST}
        names = {part: [_name(n) for n in numbers[part]] for part in numbers}
        return named_split(parts["train"], names, _patient, root)
    if split == "official":
        return official_split(parts, seed, _patient)
    if split == "random":
        return random_split(case_ids(root), seed, _patient)
    raise ValueError(
        f"`split` must be paper, official or random. Received: split={split!r}"
    )


def _name(number: int) -> str:
    return f"patient{number:03d}"


def _patient(case_id: str) -> str:
    return case_id.partition("_")[0]


@cached
def listing(root: pathlib.Path, watch: Watch) -> Listing:
    """Lists the frames of each folder; testing/ without any labels is left out."""
    folders = {part: root / name for part, name in FOLDERS.items()}
    for folder in (root, *folders.values()):
        watch(folder)
    if not folders["train"].is_dir():
        raise FileNotFoundError(
            f"No training/ in {root}; download ACDC and pass the folder that holds "
            "training/ as --data-dir, or name it acdc/ and set $SYNERGYNET_DATA to "
            "its parent"
        )
    parts: dict[str, dict[str, list[pathlib.Path]]] = {}
    problems: list[str] = []
    passed_over: list[PassedOver] = []
    list_others(root, FOLDERS.values(), ENDINGS, passed_over)
    for part, folder in folders.items():
        owners = [path for path in sorted(folder.glob("patient*")) if path.is_dir()]
        for owner in owners:
            watch(owner)
        others: list[PassedOver] = []
        frames, labels = _frames(owners, others)
        if part == "test" and not labels:
            if folder.is_dir():
                reason = "it has no labels, so it is no test set"
                passed_over.append(PassedOver(folder, reason, "expected"))
            continue
        passed_over += others
        list_others(folder, {owner.name for owner in owners}, ENDINGS, passed_over)
        for missing, what, other in (
            (frames.keys() - labels.keys(), "labels", "frame"),
            (labels.keys() - frames.keys(), "frame", "labels"),
        ):
            problems += [
                f"{folder / _patient(case_id) / case_id} has no {what}; add "
                f"them or remove the {other}"
                for case_id in sorted(missing)
            ]
        known = {_patient(case_id) for case_id in frames.keys() | labels.keys()}
        empty = [owner for owner in owners if owner.name not in known]
        problems += [
            f"{path} has no frames; add them or remove the folder"
            for path in empty or [folder] * (not frames)
        ]
        parts[part] = {
            case_id: [frames[case_id], labels[case_id]]
            for case_id in sorted(frames.keys() & labels.keys())
        }
    both = parts["train"].keys() & parts.get("test", {}).keys()
    problems += [
        f"Case {case_id} is in training/ and in testing/ of {root}; remove one"
        for case_id in sorted(both)
    ]
    return Listing(root, parts, problems, passed_over)


def _frames(
    owners: list[pathlib.Path], passed_over: list[PassedOver]
) -> tuple[dict[str, pathlib.Path], dict[str, pathlib.Path]]:
    """Returns the frames and the labels by their cases, rather .nii.gz than .nii."""
    frames: dict[str, pathlib.Path] = {}
    labels: dict[str, pathlib.Path] = {}
    for owner in owners:
        entries: list[PassedOver] = []
        for stem, path in list_files(owner, ENDINGS, entries):
            match = FRAME.fullmatch(stem.removesuffix("_gt"))
            if match is None or match[1] != owner.name:
                if CINE.fullmatch(stem):
                    entry = PassedOver(path, "a cine series", "expected")
                else:
                    entry = PassedOver(path, "not named as a frame of its folder is")
                entries.append(entry)
                continue
            found = labels if stem.endswith("_gt") else frames
            if twin := found.get(match[0]):
                packed = path.name.lower().endswith(".gz")
                left, path = (twin, path) if packed else (path, twin)
                reason = f"{path.name} is taken instead"
                entries.append(PassedOver(left, reason, "other"))
            found[match[0]] = path
        passed_over += [
            entry._replace(kind="expected") if entry.path.name == INFO else entry
            for entry in entries
        ]
    return frames, labels
