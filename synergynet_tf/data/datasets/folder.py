"""Custom dataset: a folder of images and a folder of masks.

Expected layout, flat or in parts (`val` or `test` may be missing):

    <root>/images/NAME.png          <root>/train/images/NAME.png
           masks/NAME.png                  train/masks/NAME.png
           classes.json                    val/..., test/...
           patients.csv                    classes.json, patients.csv

Images are gray or RGB, 8 or 16 bit. A mask has its image's size and its name, to
which `_mask`, `_segmentation` or `_gt` may be added, and holds one value a class, 0
for background. `classes.json`, optional, names them: `{"lesion": 255, ...}`. Without
it, masks of 0 and 1 beside masks of 0 and 255 are taken to mean one class.
`patients.csv`, optional, has the patient of each image in the columns `case` (`NAME`,
or `train/NAME` in parts) and `patient`.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from synergynet_tf.data.images import (
    KINDS,
    Pair,
    list_images,
    list_pairs,
    orientation,
    read_image,
    read_mask,
)
from synergynet_tf.data.listing import (
    PATIENTS_FILE,
    Listing,
    PassedOver,
    Watch,
    cached,
    find_file,
    first_of,
    list_others,
)
from synergynet_tf.data.patients import patients_beside
from synergynet_tf.data.spec import PARTS, Case
from synergynet_tf.data.split_rules import official_split, random_split
from synergynet_tf.safe_io import is_plain, read_json, shown

CLASSES: tuple[str, ...] = ()
PAPER_PROTOCOL: str = "pooled"

TURNED = "an EXIF orientation, which is not applied"
MAX_NAMED = 5  # Most images in a note.
MASK_ENDINGS = ("", "_mask", "_segmentation", "_gt")
CLASSES_FILE = "classes.json"
FOLDERS = ("images", "masks")
# Foreground values of masks of one class besides 1: white, at 8 and at 16 bits.
WHITE = (255, 65535)
# Distance of a soft edge's values from black or white, as a share of white.
SOFT_SHARE = 0.06
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
    return listing(root).case_ids()


def patients(root: str | pathlib.Path) -> dict[str, str]:
    """Returns the patient of each case: that of patients.csv, else the case itself.

    Raises:
        ValueError: If patients.csv is malformed or lacks a case.
    """
    return _owners(root)


def case_files(root: str | pathlib.Path, case_id: str) -> list[pathlib.Path]:
    """Lists the image, the mask and classes.json if it is there."""
    classes_file = find_file(root, CLASSES_FILE)
    return [*listing(root).files(case_id), *filter(None, [classes_file])]


def read_case(root: str | pathlib.Path, case_id: str) -> Case:
    """Reads one image with its mask; the spacing is unknown.

    Raises:
        FileNotFoundError: If there is no such case.
        ValueError: If a file is damaged, the sizes differ, or the mask has a value
            that is not a class's.
    """
    image_file, mask_file = listing(root).files(case_id)
    image, mask = read_image(image_file), read_mask(mask_file)
    if mask.shape != image.shape[1:3]:
        remedy = "resize the mask (nearest)"
        if orientation(image_file) != 1:
            remedy = f"the image has {TURNED}: save it upright"
        raise ValueError(
            f"{mask_file} is {mask.shape[1]} x {mask.shape[0]} pixels and its image "
            f"{image.shape[2]} x {image.shape[1]}; {remedy}"
        )
    classes = _classes(root)
    values = list(classes.values.values())
    if unknown := sorted(set(np.unique(mask).tolist()) - {0, *values, *classes.also}):
        raise ValueError(
            f"{mask_file} has unknown values {', '.join(map(str, unknown[:8]))}; known "
            f"are 0, {', '.join(map(str, values))}: correct the mask or "
            f"{pathlib.Path(root, CLASSES_FILE)}"
        )
    label = np.zeros(mask.shape, np.uint8)
    for i, value in enumerate(values):
        label[mask == value] = i + 1
    for other, value in classes.also.items():
        label[mask == other] = values.index(value) + 1
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
            20 % of all patients.
        seed: Seed of the random draws.

    Raises:
        ValueError: If `split` is another, or the subfolders are not there.
    """
    parts, owners = listing(root).part_ids(), _owners(root)
    if split == "official":
        return official_split(parts, seed, owners.__getitem__)
    if split == "random":
        return random_split(list(owners), seed, owners.__getitem__)
    raise ValueError(
        "`split` must be official or random for one's own folder. "
        f"Received: split={split!r}"
    )


def _owners(root: str | pathlib.Path) -> dict[str, str]:
    ids = case_ids(root)  # First: without data there is nothing to look beside.
    return patients_beside(find_file(root, PATIENTS_FILE), ids, KINDS)


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
def listing(root: pathlib.Path, watch: Watch) -> Listing:
    """Lists the image and the mask of each case."""
    parts: dict[str, dict[str, list[pathlib.Path]]] = {}
    problems: list[str] = []
    passed_over: list[PassedOver] = []
    watch(root)
    here = _folders(root, watch)
    for part, folders in here.items():
        pairs, wrong = list_pairs(
            folders.image, folders.mask, MASK_ENDINGS, passed_over=passed_over
        )
        problems += wrong
        parts[part or "train"] = {
            f"{part}/{stem}" if part else stem: list(pair)
            for stem, pair in pairs.items()
        }
        if part:
            watch(root / part)
            list_others(root / part, FOLDERS, KINDS, passed_over)
    tables = [find_file(root, name) for name in (CLASSES_FILE, PATIENTS_FILE)]
    used = {*(FOLDERS if "" in here else here), *(t.name for t in tables if t)}
    list_others(root, used, KINDS, passed_over)
    return Listing(root, parts, problems, passed_over)


class MaskClasses(NamedTuple):
    """Classes of the masks.

    Attributes:
        values: Pixel value of each class, in ascending order.
        also: Further pixel values of the classes: the class's own value by each of
            them.
        note: Remark on how the masks were understood, if that is not plain; a line.
    """

    values: dict[str, int]
    also: dict[int, int]
    note: str = ""


def class_notes(root: str | pathlib.Path) -> list[str]:
    """Returns lines on masks of several conventions, and on images that are turned.

    The first if they are taken for one class; the second if a viewer shows an image
    turned, on which the mask may have been drawn.
    """
    notes = [note] if (note := _classes(root).note) else []
    if turned := _turned(root):
        notes.append(
            f"{'1 image has' if len(turned) == 1 else f'{len(turned)} images have'} "
            f"{TURNED}; masks must lie on the pixels as they are stored: "
            f"{first_of(turned, MAX_NAMED)}"
        )
    return notes


def _turned(root: str | pathlib.Path) -> list[str]:
    """Lists the images that have an EXIF orientation."""
    folders = [pair.image for pair in _folders(pathlib.Path(root)).values()]
    paths = [path for folder in folders for path in list_images(folder).values()]
    return [path.name for path in paths if orientation(path) != 1]


def _class_values(root: str | pathlib.Path) -> dict[str, int]:
    """Returns the pixel value of each class, in the order of the values."""
    return _classes(root).values


@cached
def _classes(root: pathlib.Path, watch: Watch) -> MaskClasses:
    watch(root)
    if (classes_file := find_file(root, CLASSES_FILE)) is not None:
        watch(classes_file)
        return MaskClasses(read_classes(classes_file), {})
    masks = [pair.mask for pair in _folders(root, watch).values()]
    for folder in masks:
        if not folder.is_dir():
            raise FileNotFoundError(f"No folder {folder}; create it or restore it")
    found, error = _scan(root)
    if error is not None:
        raise error
    return understand(found, masks)


# For each set of values above 0 that a mask holds, the masks that do.
MaskValues = Mapping[frozenset[int], list[pathlib.Path]]


@cached
def _scan(
    root: pathlib.Path, watch: Watch
) -> tuple[MaskValues, OSError | ValueError | None]:
    """Returns the values of all masks, and what ended the scan.

    An error is returned, not raised, so that it is kept: to read all masks for each
    case that is refused takes forever.
    """
    found: dict[frozenset[int], list[pathlib.Path]] = {}
    values: set[int] = set()
    path = root
    masks = [pair.mask for pair in _folders(root, watch).values()]
    try:
        for path in (p for folder in masks for p in list_images(folder).values()):
            here = frozenset(np.unique(read_mask(path)).tolist()) - {0}
            found.setdefault(here, []).append(path)
            values |= here
            if len(values) > MAX_SCANNED_CLASSES:
                raise ValueError(
                    f"{path} and the masks before it hold over {MAX_SCANNED_CLASSES} "
                    "values: soft edges or a JPEG? Save masks as PNG, one value a "
                    f"class, or name the values in {CLASSES_FILE}"
                )
    except (OSError, ValueError) as error:
        watch(path)
        return found, error
    return found, None


def understand(found: MaskValues, masks: Sequence[pathlib.Path]) -> MaskClasses:
    """Names the classes of masks without classes.json, where their meaning is plain.

    Raises:
        ValueError: If no mask holds a value above 0; or values close to 0 or to white
            stand beside white, which are soft edges, or several conventions.
    """
    values = sorted(frozenset[int]().union(*found))
    if not values:
        raise ValueError(
            f"Every mask in {', '.join(map(str, masks))} is empty; check the masks or "
            f"name the values in {CLASSES_FILE}"
        )
    if len(values) == 1:
        return MaskClasses({"foreground": values[0]}, {})
    if {*values} <= {1, *WHITE} and all(len(here) < 2 for here in found):
        told = [f"{len(found.get(frozenset({v}), ()))} hold 0 and {v}" for v in values]
        one = values[-1]
        note = f"Of the masks {', '.join(told)}: each of these is foreground"
        return MaskClasses({"foreground": one}, {v: one for v in values[:-1]}, note)
    white = values[-1] if values[-1] in WHITE else 255
    edge = SOFT_SHARE * white
    soft = [v for v in values if v < white and (v <= edge or v >= white - edge)]
    if soft and white - edge <= values[-1] <= white:
        paths = [
            path for here, some in found.items() if here & {*soft} for path in some
        ]
        raise ValueError(
            f"{first_of([str(path) for path in sorted(paths)], 3)}: the masks hold "
            f"0, {', '.join(map(str, values))}, and values close to 0 or {white} are "
            "those of soft edges, of a border to leave out, or of another convention; "
            f"save masks with one value a class, or name the values in {CLASSES_FILE}"
        )
    return MaskClasses({f"class_{value}": value for value in values}, {})


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
        or not all(name.strip() and is_plain(name) for name in values)
    ):
        raise ValueError(
            f"{path} must give 1 to {MAX_CLASSES} class names, each its own pixel "
            'value from 1 to 65535, such as {"lesion": 255}. '
            f"Received: {shown(values)}"
        )
    return dict(sorted(values.items(), key=lambda item: item[1]))
