"""Custom dataset: a folder of images and a folder of masks.

Expected layout, flat or in parts (`val` or `test` may be missing):

    <root>/images/NAME.png          <root>/train/images/NAME.png
           masks/NAME.png                  train/masks/NAME.png
           classes.json                    val/..., test/...
                                           classes.json

Images are gray or RGB, 8 or 16 bit. A mask has its image's size and its name, to
which `_mask`, `_segmentation` or `_gt` may be added, and holds one value a class, 0
for background. `classes.json`, optional, names them: `{"lesion": 255, ...}`.
"""

from __future__ import annotations

import pathlib

import numpy as np

from synergynet_tf.data.images import (
    Pair,
    list_images,
    list_pairs,
    read_image,
    read_mask,
)
from synergynet_tf.data.listing import Listing, Watch, cached
from synergynet_tf.data.spec import PARTS, Case
from synergynet_tf.data.split_rules import official_split, random_split
from synergynet_tf.safe_io import read_json, shown

CLASSES: tuple[str, ...] = ()
PAPER_PROTOCOL: str = "pooled"

MASK_ENDINGS = ("", "_mask", "_segmentation", "_gt")
CLASSES_FILE = "classes.json"
# More values than this are taken for a mask with soft edges, not for classes.
MAX_SCANNED_CLASSES = 8
MAX_CLASSES = 254


def class_names(root: str | pathlib.Path) -> tuple[str, ...]:
    """Returns the foreground classes in the order of their pixel values.

    They are the names in classes.json; without it, `foreground` where the masks
    hold one value besides 0, and `class_<value>` where they hold several.

    Raises:
        FileNotFoundError: If the layout is not as expected.
        ValueError: If classes.json is malformed, or without it the masks hold no
            value besides 0, or more than 8.
    """
    return tuple(_class_values(root))


def label_values(root: str | pathlib.Path) -> tuple[int, ...]:
    """Returns the pixel value of each class in the masks, in ascending order.

    Raises:
        FileNotFoundError, ValueError: As `class_names` does.
    """
    return tuple(_class_values(root).values())


def modality(root: str | pathlib.Path) -> str:
    """Returns `rgb`."""
    return "rgb"


def case_ids(root: str | pathlib.Path) -> list[str]:
    """Lists the labeled images, sorted: `NAME`, or `train/NAME` in parts.

    Raises:
        FileNotFoundError: If the layout is not as expected.
        ValueError: If an image lacks its mask or a mask its image, two files have
            one name, or there is a flat layout and one in parts.
    """
    return _listing(root).case_ids()


def patients(root: str | pathlib.Path) -> dict[str, str]:
    """Returns each case as its own patient: no others are known."""
    return {case_id: case_id for case_id in case_ids(root)}


def case_files(root: str | pathlib.Path, case_id: str) -> list[pathlib.Path]:
    """Lists the image, the mask and classes.json if it is there."""
    classes_file = pathlib.Path(root, CLASSES_FILE)
    files = _listing(root).files(case_id)
    return [*files, *([classes_file] * classes_file.is_file())]


def read_case(root: str | pathlib.Path, case_id: str) -> Case:
    """Reads one image with its mask; the spacing is unknown.

    Raises:
        FileNotFoundError: If there is no such case.
        ValueError: If a file is damaged, the sizes differ, or the mask has a value
            that is not a class's.
    """
    image_file, mask_file = _listing(root).files(case_id)
    image, mask = read_image(image_file), read_mask(mask_file)
    if mask.shape != image.shape[1:3]:
        raise ValueError(
            f"{mask_file} is {mask.shape[1]} x {mask.shape[0]} pixels and its image "
            f"{image.shape[2]} x {image.shape[1]}; resize the mask (nearest)"
        )
    values = list(_class_values(root).values())
    if unknown := sorted(set(np.unique(mask).tolist()) - {0, *values}):
        raise ValueError(
            f"{mask_file} has unknown values {', '.join(map(str, unknown[:8]))}; known "
            f"are 0, {', '.join(map(str, values))}: correct the mask or "
            f"{pathlib.Path(root, CLASSES_FILE)}"
        )
    label = np.zeros(mask.shape, np.uint8)
    for i, value in enumerate(values):
        label[mask == value] = i + 1
    return Case(case_id, image, label[None], spacing_mm=(1.0, 1.0, 1.0))


def default_split(root: str | pathlib.Path) -> str:
    """Names `official` where there is a val/ or test/ folder, else `random`."""
    return "official" if len(_folders(pathlib.Path(root))) > 1 else "random"


def splits(root: str | pathlib.Path, split: str, seed: int) -> dict[str, list[str]]:
    """Returns the case ids of `train`, `val` and `test`.

    Args:
        root: The dataset's folder.
        split: `official`: the subfolders; without test/, val/ is the test set, and
            where no val/ is left, 10 % of train/ are drawn. `random`: 70 / 10 /
            20 % of all images.
        seed: Of what is drawn.

    Raises:
        ValueError: If `split` is another, or the subfolders are not there.
    """
    parts = _listing(root).part_ids()
    if split == "official":
        return official_split(parts, seed)
    if split == "random":
        return random_split(case_ids(root), seed)
    raise ValueError(
        "`split` must be official or random for one's own folder. "
        f"Received: split={split!r}"
    )


def _folders(root: pathlib.Path, watch: Watch | None = None) -> dict[str, Pair]:
    """Returns the image and mask folder of each part, `""` for the flat layout."""
    folders = {
        part: Pair(root / part / "images", root / part / "masks")
        for part in ("", *PARTS)
    }
    if watch is not None:
        for folder in (path for pair in folders.values() for path in pair):
            watch(folder)
    here = {part: pair for part, pair in folders.items() if pair.image.is_dir()}
    if "" in here and len(here) > 1:
        raise ValueError(
            f"{root} holds images/ and {list(here)[1]}/images/; keep one of the layouts"
        )
    if "" not in here and "train" not in here:
        raise FileNotFoundError(
            f"No images/ or train/images/ in {root}; pass the folder that holds "
            "images/ and masks/ as --data-dir, or name it folder/ and set "
            "$SYNERGYNET_DATA to its parent"
        )
    return here


@cached
def _listing(root: pathlib.Path, watch: Watch) -> Listing:
    parts: dict[str, dict[str, list[pathlib.Path]]] = {}
    problems: list[str] = []
    for part, folders in _folders(root, watch).items():
        pairs, wrong = list_pairs(folders.image, folders.mask, MASK_ENDINGS)
        problems += wrong
        parts[part or "train"] = {
            f"{part}/{stem}" if part else stem: list(pair)
            for stem, pair in pairs.items()
        }
    return Listing(root, parts, problems)


@cached
def _class_values(root: pathlib.Path, watch: Watch) -> dict[str, int]:
    """Returns the pixel value of each class, in the order of the values."""
    classes_file = root / CLASSES_FILE
    watch(classes_file)
    if classes_file.is_file():
        return read_classes(classes_file)
    masks = [pair.mask for pair in _folders(root, watch).values()]
    for folder in masks:
        if not folder.is_dir():
            raise FileNotFoundError(f"No folder {folder}; create it or restore it")
    values = _scan(masks)
    if len(values) == 1:
        return {"foreground": values[0]}
    return {f"class_{value}": value for value in values}


def _scan(masks: list[pathlib.Path]) -> list[int]:
    """Returns the values above 0 in all masks."""
    found: set[int] = set()
    for folder in masks:
        for path in list_images(folder).values():
            found |= set(np.unique(read_mask(path)).tolist()) - {0}
            if len(found) > MAX_SCANNED_CLASSES:
                raise ValueError(
                    f"{path} and the masks before it hold over {MAX_SCANNED_CLASSES} "
                    "values: soft edges or a JPEG? Save masks as PNG, one value a "
                    f"class, or name the values in {CLASSES_FILE}"
                )
    if not found:
        raise ValueError(
            f"Every mask in {', '.join(map(str, masks))} is empty; check the masks or "
            f"name the values in {CLASSES_FILE}"
        )
    return sorted(found)


def read_classes(path: pathlib.Path) -> dict[str, int]:
    """Returns the pixel value of each class that a classes.json names.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is malformed.
    """
    try:
        values = read_json(path)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    numbers = list(values.values()) if isinstance(values, dict) else []
    if (
        not 1 <= len(numbers) <= MAX_CLASSES
        or len(set(map(repr, numbers))) != len(numbers)
        or not all(type(n) is int and 1 <= n <= 65535 for n in numbers)
        or not all(name.strip() and name.isprintable() for name in values)
    ):
        raise ValueError(
            f"{path} must give 1 to {MAX_CLASSES} class names, each its own pixel "
            'value from 1 to 65535, such as {"lesion": 255}. '
            f"Received: {shown(values)}"
        )
    return dict(sorted(values.items(), key=lambda item: item[1]))
