"""Photographs and masks on disk: listing, pairing and reading them."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from synergynet_tf.data.image_headers import check_image
from synergynet_tf.safe_io import read_content, require_plain_name

KINDS = (".jpg", ".png", ".jpeg", ".bmp", ".tif", ".tiff")
SUFFIXES = tuple(spell(kind) for spell in (str.lower, str.upper) for kind in KINDS)
MAX_PIXELS = 200_000_000


class Pair(NamedTuple):
    """The two files of a labeled image, or their folders."""

    image: pathlib.Path
    mask: pathlib.Path


def list_images(
    folder: str | pathlib.Path, ignored_endings: tuple[str, ...] = ()
) -> dict[str, pathlib.Path]:
    """Returns the image files of a folder by stem, sorted by stem.

    Hidden files, folders and files of other kinds (`Thumbs.db`, licenses, tables)
    are passed over; extensions may be upper-case.

    Args:
        folder: Where to look, not below it.
        ignored_endings: Stems that end so are passed over too.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If two files have one stem (`a.png` and `a.jpg`), or one a name
            that is no text.
    """
    found: dict[str, pathlib.Path] = {}
    for path in sorted(pathlib.Path(folder).iterdir()):
        hidden = path.name.startswith(".")
        ignored = hidden or path.stem.endswith(ignored_endings)
        if ignored or path.suffix not in SUFFIXES or not path.is_file():
            continue
        require_plain_name(path)
        if path.stem in found:
            raise ValueError(
                f"{found[path.stem]} and {path.name} have one name; keep one of them"
            )
        found[path.stem] = path
    return dict(sorted(found.items()))


def list_pairs(
    images: pathlib.Path,
    masks: pathlib.Path,
    endings: Sequence[str],
    ignored_endings: tuple[str, ...] = (),
) -> tuple[dict[str, Pair], list[str]]:
    """Pairs each image of a folder with its mask in another, by the image's stem.

    Args:
        images: Folder of the images.
        masks: Folder of the masks.
        endings: What may follow the image's stem in its mask's (`_mask`).
        ignored_endings: Stems that end so are neither images nor masks.

    Returns:
        The pairs, sorted by stem; and the problems, a line each: an image that has no
        mask or several, a mask that has no image.

    Raises:
        FileNotFoundError: If a folder is missing or has no image files.
    """
    for folder in (images, masks):
        if not folder.is_dir():
            raise FileNotFoundError(f"No folder {folder}; create it or restore it")
    found, free = (list_images(folder, ignored_endings) for folder in (images, masks))
    for folder, files in ((images, found), (masks, free)):
        if not files:
            raise FileNotFoundError(
                f"No image files ({' '.join(KINDS)}) in {folder}; add them"
            )
    pairs: dict[str, Pair] = {}
    problems: list[str] = []
    for stem, image in found.items():
        names = [stem + ending for ending in endings if stem + ending in free]
        if not names:
            wanted = " or ".join(f"{stem}{ending}.png" for ending in endings)
            problems.append(
                f"{image} has no mask: no {wanted} in {masks}; add the mask or "
                "remove the image"
            )
        elif len(names) > 1:
            problems.append(
                f"{image} has {len(names)} masks in {masks}: {', '.join(names)}; "
                "keep one of them"
            )
        else:
            pairs[stem] = Pair(image, free[names[0]])
        for name in names:
            free.pop(name, None)
    problems += [
        f"{mask} has no image in {images}; add the image or remove the mask"
        for mask in free.values()
    ]
    return pairs, problems


def read_image(path: str | pathlib.Path) -> np.ndarray:
    """Reads a photograph: float32 `(1, rows, columns, channels)`, 0 to 255.

    Gray images have 1 channel, colored ones 3 (RGB); transparency is dropped and
    the EXIF orientation is not applied, because masks are drawn on the stored
    grid. 16-bit values are divided by 257.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is not a whole image of at most 200 megapixels.
    """
    flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = _decode(pathlib.Path(path), flags)
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels)
    scale = 257.0 if pixels.dtype == np.uint16 else 1.0
    # In place: of a large image there is no room for two.
    image = pixels.astype(np.float32)
    image /= np.float32(scale)
    return image.reshape(1, *pixels.shape[:2], -1)


def read_mask(path: str | pathlib.Path) -> np.ndarray:
    """Reads a mask: `(rows, columns)`, uint8 or uint16, the values as stored.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is not a whole image of at most 200 megapixels, or has
            colors.
    """
    pixels = _decode(pathlib.Path(path), cv2.IMREAD_UNCHANGED)
    if pixels.ndim == 2:
        return pixels
    if not (pixels[..., :3] == pixels[..., :1]).all():
        raise ValueError(
            f"{path} has colors; a mask must be gray, one value a class: convert it"
        )
    return np.ascontiguousarray(pixels[..., 0])


def _decode(path: pathlib.Path, flags: int) -> np.ndarray:
    try:
        data = read_content(path)
        rows, columns = check_image(data)
    except ValueError as error:
        raise ValueError(
            f"{path} is not a readable image: {error}; replace or remove it"
        ) from error
    if rows * columns > MAX_PIXELS:
        raise ValueError(
            f"{path} is too large: {columns} x {rows} pixels, at most "
            f"{MAX_PIXELS // 10**6} megapixels; scale it down"
        )
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        pixels = None
    if (
        pixels is None
        or pixels.shape[:2] != (rows, columns)
        or pixels.dtype not in (np.uint8, np.uint16)
    ):
        raise ValueError(f"{path} cannot be decoded; replace or remove it")
    return pixels
