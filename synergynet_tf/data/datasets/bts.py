"""BTS: contrast-enhanced MRI of brain tumors (Cheng, figshare 1512427), one class.

Expected layout, the published MATLAB files, in `root` or in folders below it, or their
export as images:

    <root>/1.mat, 2.mat, ...       version 7.3: cjdata/image, tumorMask, PID
           cvind.mat               optional: the fold of each file, 1 to 5

    <root>/images/1.png
           masks/1.png

A case is one slice, `0001` and so on. The slices of a patient stay together.
"""

from __future__ import annotations

import functools
import pathlib

import numpy as np

from synergynet_tf.data.cache import of_files
from synergynet_tf.data.images import (
    KINDS,
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
    list_files,
    list_others,
)
from synergynet_tf.data.nifti import map_labels
from synergynet_tf.data.spec import Case
from synergynet_tf.data.split_rules import fold_split, holdout, random_split
from synergynet_tf.safe_io import is_plain, read_datasets, read_mat5, require_file

CLASSES: tuple[str, ...] = ("tumor",)
PAPER_PROTOCOL: str = "pooled"

# Cheng et al., PLoS ONE 10(10), 2015: 512 x 512 pixels of 0.49 mm, slices of 6 mm.
# Assumption: the 15 images of 256 x 256 show as much as the others.
WIDTH_MM = 512 * 0.49
SLICE_MM = 6.0

# Without patients, so many consecutive numbers are taken for one; 233 patients have
# 3,064 slices, one after the other.
# Assumption: neighboring slices are of one patient; a larger block has fewer borders
# at which one patient could be in two parts.
BLOCK = 50
TEST_FOLD = 5
NAMES = "bts-patients"  # Name of the cache.
MAX_NAME_BYTES = 1000
MAX_FOLDS_BYTES = 100_000
IMAGES, MASKS, FOLDS = "images", "masks", "cvind.mat"


def class_names(root: str | pathlib.Path) -> tuple[str, ...]:
    """Returns the one foreground class."""
    return CLASSES


def label_values(root: str | pathlib.Path) -> tuple[int, ...] | None:
    """Returns the value of the tumor in the masks; `None` for MATLAB files."""
    cases = listing(root).parts["train"].values()
    masks = [files[1] for files in cases if len(files) > 1]
    return (foreground_value(masks),) if masks else None


def modality(root: str | pathlib.Path) -> str:
    """Returns `mri`."""
    return "mri"


def case_ids(root: str | pathlib.Path) -> list[str]:
    """Lists the slices, sorted.

    Raises:
        FileNotFoundError: If the files of neither layout are there.
        ValueError: If a number is there twice, an image lacks its mask or a mask its
            image, or a name is not a number.
    """
    return listing(root).case_ids()


def patients(root: str | pathlib.Path) -> dict[str, str]:
    """Returns the patient of each slice, or the block of numbers it stands in.

    Blocks are taken for images, and where the MATLAB files name no more than one
    patient.

    Raises:
        ValueError: If a file is damaged.
    """
    ids, names = case_ids(root), _read_patients(root)
    return {i: names[i] if names else f"block {_block(i)}" for i in ids}


def case_files(root: str | pathlib.Path, case_id: str) -> list[pathlib.Path]:
    """Lists the MATLAB file, or the image and its mask."""
    return listing(root).files(case_id)


def read_case(root: str | pathlib.Path, case_id: str) -> Case:
    """Reads one slice.

    Raises:
        FileNotFoundError: If there is no such slice.
        ValueError: If a file is damaged, or image and mask do not match.
    """
    files = case_files(root, case_id)
    try:
        image, mask = _read_mat(*files) if len(files) == 1 else _read_images(*files)
        label = map_labels(mask, {0: 0, 255 if mask.max() == 255 else 1: 1}, files[-1])
        if label.shape != image.shape:
            raise ValueError(
                f"{files[-1]} has a mask of {label.shape} for an image of "
                f"{image.shape} (rows, columns); they must be equal"
            )
        pixel_mm = WIDTH_MM / image.shape[1]
        pixels = image[None, ..., None].astype(np.float32)
        return Case(case_id, pixels, label[None], (SLICE_MM, pixel_mm, pixel_mm))
    except ValueError as error:
        known = str(error).startswith(f"Case {case_id}: ")
        raise error if known else ValueError(f"Case {case_id}: {error}") from error


def default_split(root: str | pathlib.Path) -> str:
    """Names `paper` where folds or patients are known, else `random`."""
    listing(root).part_ids()  # First, because what is wrong with the files shows here.
    return "paper" if _find_folds(root) or _read_patients(root) else "random"


def splits(root: str | pathlib.Path, split: str, seed: int) -> dict[str, list[str]]:
    """Returns the case ids of `train`, `val` and `test`.

    Args:
        root: The dataset's folder.
        split: `paper`: the test set is fold 5 of cvind.mat, or without that file a
            fifth of the patients, drawn; a tenth of the other patients selects.
            `random`: 70 / 10 / 20 % of the patients.
        seed: Seed of the random draws.

    Raises:
        ValueError: If `split` is another, or the files are not there.
    """
    ids, group = case_ids(root), patients(root).__getitem__
    if split == "paper":
        if path := _find_folds(root):
            folds = _read_folds(path, ids)
            test = [i for i in ids if folds[i] == TEST_FOLD]
            try:
                train, val = holdout(sorted({*ids} - {*test}), seed, group)
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from error
            return {"train": train, "val": val, "test": test}
        if _read_patients(root):
            return fold_split(ids, "5/5", seed, group)
        raise ValueError(
            f"--split paper needs cvind.mat or MATLAB files that name their patients, "
            f"and {root} has neither; use --split random"
        )
    if split == "random":
        return random_split(ids, seed, group)
    raise ValueError(f"`split` must be paper or random. Received: split={split!r}")


def _block(case_id: str) -> int:
    return (int(case_id) - 1) // BLOCK


@cached
def listing(root: pathlib.Path, watch: Watch) -> Listing:
    """Lists the MATLAB file of each slice, or its image and its mask."""
    watch(root)
    inner = [path for path in sorted(root.glob("*")) if path.is_dir()]
    for folder in inner:
        watch(folder)
    passed_over: list[PassedOver] = []
    found = [[path] for path in _mat_files([root, *inner] * root.is_dir(), passed_over)]
    problems: list[str] = []
    if not found and (root / IMAGES).is_dir():
        passed_over = []
        pairs, problems = list_pairs(
            root / IMAGES, root / MASKS, [""], passed_over=passed_over
        )
        found = [list(pair) for pair in pairs.values()]
        used = {IMAGES, MASKS, FOLDS}
        used |= {path.parent.name for path in root.glob(f"*/{FOLDS}")}
        list_others(root, used, (".mat", *KINDS), passed_over)
    if not found and not problems:
        raise FileNotFoundError(
            f"No 1.mat and on, or images/, in {root}; download figshare 1512427 and "
            "pass the folder with its files as --data-dir, or name it bts/ and set "
            "$SYNERGYNET_DATA to its parent"
        )
    cases: dict[str, list[pathlib.Path]] = {}
    for path, *mask in found:
        if not path.stem.isdecimal() or int(path.stem) < 1:
            raise ValueError(f"{path} must be named after its number, such as 1.png")
        case_id = f"{int(path.stem):04d}"
        if case_id in cases:
            first = cases[case_id][0]
            raise ValueError(f"{first} and {path} are one slice; remove one")
        cases[case_id] = [path, *mask]
    return Listing(root, {"train": cases}, problems, passed_over)


def _mat_files(
    folders: list[pathlib.Path], passed_over: list[PassedOver]
) -> list[pathlib.Path]:
    """Lists the MATLAB files that are named after their numbers."""
    listed = {folder: list_files(folder, [".mat"], []) for folder in folders}
    found = [p for mats in listed.values() for stem, p in mats if stem.isdecimal()]
    for folder, mats in listed.items():
        if found and folder.name in (IMAGES, MASKS):
            reason = "the MATLAB files are taken instead"
            passed_over.append(PassedOver(folder, reason, "other"))
            continue
        used = {path.name for path in folders if path.parent == folder}
        used |= {path.name for _, path in mats}
        list_others(folder, used, [".mat"], passed_over)
        passed_over += [
            PassedOver(path, "not named after a slice's number, such as 1.mat")
            for stem, path in mats
            if not stem.isdecimal() and path.name != FOLDS
        ]
    return found


def _read_images(
    image: pathlib.Path, mask: pathlib.Path
) -> tuple[np.ndarray, np.ndarray]:
    pixels = read_image(image)[0]
    if (pixels != pixels[..., :1]).any():
        raise ValueError(f"{image} has colors; an MRI slice must be gray")
    return pixels[..., 0], read_mask(mask)


def _read_mat(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns image and mask; MATLAB stores columns first, so both are transposed."""
    try:
        names = "cjdata/image", "cjdata/tumorMask"
        image, mask = (array.T for array in read_datasets(path, names))
    except ValueError as error:
        raise _damaged(path, error) from error
    if image.ndim != 2 or image.size == 0:
        raise ValueError(f"{path}: `image` must have 2 axes. Received: {image.shape}")
    if not np.isfinite(image.astype(np.float32)).all():
        raise ValueError(f"{path}: `image` has NaN or infinite values")
    return image, mask


def _read_patients(root: str | pathlib.Path) -> dict[str, str]:
    """Returns the patient of each slice, or nothing where they are not known."""
    cases = listing(root).parts["train"]
    paths = tuple(files[0] for files in cases.values())
    if paths[0].suffix.lower() != ".mat":
        return {}
    names = _read_names(paths, tuple(path.stat().st_mtime_ns for path in paths))
    distinct = len(set(names)) > 1
    return dict(zip(cases, names, strict=True)) if distinct else {}


@functools.lru_cache(maxsize=4)
def _read_names(
    paths: tuple[pathlib.Path, ...], changed: tuple[int, ...]
) -> tuple[str, ...]:
    """Reads the patient's name in each file; once for files as they are."""
    return tuple(of_files(NAMES, paths, _read_name))


def _read_name(path: pathlib.Path) -> str:
    try:
        (codes,) = read_datasets(path, ["cjdata/PID"], MAX_NAME_BYTES)
        name = "".join(map(chr, codes.ravel()))
        if not is_plain(name):
            raise ValueError(f"the patient is {name!a}")
        return name
    except (OverflowError, TypeError, ValueError) as error:
        raise _damaged(path, error) from error


def _find_folds(root: str | pathlib.Path) -> pathlib.Path | None:
    root = pathlib.Path(root)
    paths = [root / FOLDS, *root.glob(f"*/{FOLDS}")]
    return next((path for path in paths if path.is_file()), None)


def _read_folds(path: pathlib.Path, ids: list[str]) -> dict[str, int]:
    """Returns the fold of each slice that is there."""
    import h5py

    require_file(path)
    try:
        if h5py.is_hdf5(path):
            (folds,) = read_datasets(path, ["cvind"])
        else:
            folds = read_mat5(path, "cvind", MAX_FOLDS_BYTES)
        folds = folds.ravel().astype(np.int64)
    except ValueError as error:
        raise _damaged(path, error) from error
    last = max(ids)
    numbers = [int(case_id) - 1 for case_id in ids]
    if len(folds) < int(last) or TEST_FOLD not in folds[numbers]:
        raise ValueError(
            f"{path} has {len(folds)} folds, none for slice {last} or no slice in fold "
            f"{TEST_FOLD}; replace it or use --split random"
        )
    return dict(zip(ids, folds[numbers].tolist(), strict=True))


def _damaged(path: pathlib.Path, error: Exception) -> ValueError:
    return ValueError(f"{path} is not a usable MATLAB file ({error}); replace it")
