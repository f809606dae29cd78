"""ISIC: photographs of skin lesions, one foreground class.

Expected layout, of the 2018 challenge (Task 1) or of the 2017 one (Part 1); the
validation and test folders may be missing, and count only with their masks:

    <root>/ISIC2018_Task1-2_Training_Input/ISIC_0000000.jpg
           ISIC2018_Task1_Training_GroundTruth/ISIC_0000000_segmentation.png
           ISIC2018_Task1-2_{Validation,Test}_Input/
           ISIC2018_Task1_{Validation,Test}_GroundTruth/

    <root>/ISIC-2017_Training_Data/ISIC_0000000.jpg
           ISIC-2017_Training_Part1_GroundTruth/ISIC_0000000_segmentation.png
           ISIC-2017_{Validation,Test_v2}_Data/
           ISIC-2017_{Validation,Test_v2}_Part1_GroundTruth/

A mask may differ from its image in size; it is resized to the image's grid. The
superpixel images that lie among the images of 2017 are passed over.
"""

from __future__ import annotations

import pathlib
import re

import cv2
import numpy as np

from synergynet_tf.data.images import (
    KINDS,
    Pair,
    foreground_value,
    list_pairs,
    read_image,
    read_mask,
)
from synergynet_tf.data.listing import (
    Listing,
    PassedOver,
    Watch,
    cached,
    list_others,
)
from synergynet_tf.data.spec import PARTS, Case
from synergynet_tf.data.split_rules import official_split, random_split

CLASSES: tuple[str, ...] = ("lesion",)
PAPER_PROTOCOL: str = "pooled"

# Azad et al. (BCDU-Net), whose split the paper takes over: 2,594 training images.
# Assumption: in sorted order; theirs is that of an unsorted directory listing.
PAPER_COUNTS = {"train": 1815, "val": 259, "test": 520}
PAPER_TOTAL = sum(PAPER_COUNTS.values())

MASK_ENDINGS = ("_segmentation",)
IGNORED_ENDINGS = ("_superpixels",)
LAYOUTS = {
    "2018": {
        part: (f"ISIC2018_Task1-2_{name}_Input", f"ISIC2018_Task1_{name}_GroundTruth")
        for part, name in zip(PARTS, ("Training", "Validation", "Test"), strict=True)
    },
    "2017": {
        part: (f"ISIC-2017_{name}_Data", f"ISIC-2017_{name}_Part1_GroundTruth")
        for part, name in zip(PARTS, ("Training", "Validation", "Test_v2"), strict=True)
    },
}
FOLDERS = {
    name for layout in LAYOUTS.values() for pair in layout.values() for name in pair
}
# The challenges' other tasks.
OTHER_TASK = re.compile(r"^ISIC.*_(Task[23]|Part[23])_")


def class_names(root: str | pathlib.Path) -> tuple[str, ...]:
    """Returns the one foreground class."""
    return CLASSES


def label_values(root: str | pathlib.Path) -> tuple[int, ...]:
    """Returns 255, or 1 where the masks hold 0 and 1."""
    listed = listing(root).part_ids()
    files = (listing(root).files(i)[1] for ids in listed.values() for i in ids)
    return (foreground_value(files),)


def modality(root: str | pathlib.Path) -> str:
    """Returns `rgb`."""
    return "rgb"


def case_ids(root: str | pathlib.Path) -> list[str]:
    """Lists the labeled images of all folders under `root`, sorted.

    Raises:
        FileNotFoundError: If the folders of neither layout are there.
        ValueError: If an image lacks its mask, a mask its image, an image is there
            twice, or both layouts are there.
    """
    return listing(root).case_ids()


def patients(root: str | pathlib.Path) -> dict[str, str]:
    """Returns each case as its own patient: no others are known."""
    return {case_id: case_id for case_id in case_ids(root)}


def case_files(root: str | pathlib.Path, case_id: str) -> list[pathlib.Path]:
    """Lists the image and the mask of a case."""
    return listing(root).files(case_id)


def read_case(root: str | pathlib.Path, case_id: str) -> Case:
    """Reads one image with its mask on the image's grid; the spacing is unknown.

    Raises:
        FileNotFoundError: If there is no such case.
        ValueError: If a file is damaged, or the mask has values besides 0 and 255
            (or 0 and 1).
    """
    image_file, mask_file = case_files(root, case_id)
    image = read_image(image_file)
    if image.shape[-1] == 1:
        image = np.repeat(image, 3, axis=-1)
    mask = read_mask(mask_file)
    top = mask.max()
    # Not by `np.unique`, which takes longer than decoding the image.
    if top not in (0, 1, 255) or not ((mask == 0) | (mask == top)).all():
        values = np.unique(mask)
        raise ValueError(
            f"{mask_file} must hold 0 and 255 (or 0 and 1) only. "
            f"Received: values {', '.join(map(str, values[:8]))}"
            f"{', ...' if len(values) > 8 else ''}"
        )
    rows, columns = image.shape[1:3]
    label = np.asarray(mask > 0, np.uint8)
    if label.shape != (rows, columns):
        nearest = cv2.INTER_NEAREST_EXACT
        label = np.asarray(cv2.resize(label, (columns, rows), interpolation=nearest))
    return Case(case_id, image, label[None], spacing_mm=(1.0, 1.0, 1.0))


def default_split(root: str | pathlib.Path) -> str:
    """Names `paper` for 2,594 training images, else `official` or `random`."""
    parts = listing(root).part_ids()
    if len(parts["train"]) == PAPER_TOTAL:
        return "paper"
    return "official" if len(parts) > 1 else "random"


def splits(root: str | pathlib.Path, split: str, seed: int) -> dict[str, list[str]]:
    """Returns the case ids of `train`, `val` and `test`.

    Args:
        root: The dataset's folder.
        split: `paper`: the 2,594 training images in sorted order, 1,815 / 259 /
            520. `official`: the challenge's folders; the test set is the test
            folder or else the validation folder, and where no validation folder
            is left, 10 % of the training images are drawn. `random`: 70 / 10 /
            20 % of all images.
        seed: Seed of the random draws.

    Raises:
        ValueError: If the files are not those of the split.
    """
    parts = listing(root).part_ids()
    if split == "paper":
        ids = parts["train"]
        if len(ids) != PAPER_TOTAL:
            other = "official" if len(parts) > 1 else "random"
            raise ValueError(
                f"--split paper needs the {PAPER_TOTAL} training images of ISIC 2018, "
                f"found {len(ids)} at {root}; use --split {other}"
            )
        first, last = PAPER_COUNTS["train"], PAPER_TOTAL - PAPER_COUNTS["test"]
        return {"train": ids[:first], "val": ids[first:last], "test": ids[last:]}
    if split == "official":
        return official_split(parts, seed)
    if split == "random":
        return random_split(case_ids(root), seed)
    raise ValueError(
        f"`split` must be paper, official or random. Received: split={split!r}"
    )


def _folders(root: pathlib.Path) -> dict[str, Pair]:
    """Returns the image and mask folder of each labeled part."""
    here = [
        layout for layout in LAYOUTS.values() if (root / layout["train"][0]).is_dir()
    ]
    if not here:
        wanted = " or ".join(f"{layout['train'][0]}/" for layout in LAYOUTS.values())
        raise FileNotFoundError(
            f"No {wanted} in {root}; download ISIC 2018 Task 1 (or 2017 Part 1) and "
            "pass the folder that holds it as --data-dir, or name it isic/ and "
            "set $SYNERGYNET_DATA to its parent"
        )
    if len(here) > 1:
        raise ValueError(
            f"{root} holds ISIC 2017 and 2018, which share images; keep one of them"
        )
    folders = {
        part: Pair(root / images, root / masks)
        for part, (images, masks) in here[0].items()
    }
    return {
        part: pair
        for part, pair in folders.items()
        if part == "train" or (pair.image.is_dir() and pair.mask.is_dir())
    }


@cached
def listing(root: pathlib.Path, watch: Watch) -> Listing:
    """Lists the image and the mask of each case of each labeled part."""
    watch(root)
    for layout in LAYOUTS.values():
        for folders in layout.values():
            for name in folders:
                watch(root / name)
    parts: dict[str, dict[str, list[pathlib.Path]]] = {}
    owners: dict[str, pathlib.Path] = {}
    problems: list[str] = []
    passed_over: list[PassedOver] = []
    used = set()
    for part, (images, masks) in _folders(root).items():
        used |= {images.name, masks.name}
        pairs, wrong = list_pairs(
            images, masks, MASK_ENDINGS, IGNORED_ENDINGS, passed_over
        )
        problems += wrong
        problems += [
            f"{case_id} is in {owners[case_id]} and in {images}; remove one of them"
            for case_id in pairs
            if case_id in owners
        ]
        owners |= dict.fromkeys(pairs, images)
        parts[part] = {case_id: list(pair) for case_id, pair in pairs.items()}
    for name in sorted(FOLDERS - used):
        if (root / name).is_dir():
            reason = "its images or masks are not there, so it does not count"
            passed_over.append(PassedOver(root / name, reason, "expected"))
    tasks = {path.name for path in root.glob("*_*") if OTHER_TASK.search(path.name)}
    list_others(root, FOLDERS | tasks, KINDS, passed_over)
    passed_over += [
        PassedOver(root / name, "of another task", "expected") for name in sorted(tasks)
    ]
    return Listing(root, parts, problems, passed_over)
