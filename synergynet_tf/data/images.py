"""Image files and masks: listing, pairing, validation and reading.

OpenCV decodes a truncated JPEG into a picture that is gray below the cut, and
allocates whatever size a header claims. So `check_image` looks at both before it
decodes.
"""

from __future__ import annotations

import os
import pathlib
import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from synergynet_tf.data.listing import PassedOver, first_of, list_files
from synergynet_tf.safe_io import read_content, require_file, require_plain_name

KINDS = (".jpg", ".png", ".jpeg", ".bmp", ".tif", ".tiff")
MAX_MASK_VALUE = 65535
MAX_PIXELS = 200_000_000
MAX_PNG_SIDE = 1_000_000  # Limit of libpng, for width and height.
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8\xff"
PNG_PALETTE = 3
PNG_FIRST_CHUNK = b"\0\0\0\x0dIHDR"  # Its length and type.
EXIF_SIGNATURE = b"Exif\0\0"
ORIENTATION = 0x0112  # Tag of EXIF.
# A progressive JPEG has a dozen scans; each takes the time of the whole image.
JPEG_MAX_SCANS = 100
# JPEG markers without a length: TEM, RST0 to RST7, SOI, EOI. So is 0, a stuffed byte.
JPEG_ALONE = (0x00, 0x01, *range(0xD0, 0xDA))


class Pair(NamedTuple):
    """Image file and mask file, or their folders."""

    image: pathlib.Path
    mask: pathlib.Path


def list_images(
    folder: str | pathlib.Path,
    ignored_endings: tuple[str, ...] = (),
    passed_over: list[PassedOver] | None = None,
) -> dict[str, pathlib.Path]:
    """Returns the image files of a folder by stem, sorted by stem.

    Hidden files, folders and files of other kinds (`Thumbs.db`, licenses, tables)
    are passed over; extensions may be spelled in any case.

    Args:
        folder: Folder to search, without its subfolders.
        ignored_endings: Endings of stems that are passed over too.
        passed_over: List to which the files that are passed over are added.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If two files have one stem (`a.png` and `a.jpg`), or one a name
            that is no text.
    """
    passed_over = [] if passed_over is None else passed_over
    found: dict[str, pathlib.Path] = {}
    for stem, path in list_files(pathlib.Path(folder), KINDS, passed_over):
        if stem.lower().endswith(ignored_endings):
            reason = f"neither an image nor a mask: {' '.join(ignored_endings)}"
            passed_over.append(PassedOver(path, reason, "expected"))
            continue
        require_plain_name(path)
        if stem in found:
            raise ValueError(
                f"{found[stem]} and {path.name} have one name; keep one of them"
            )
        found[stem] = path
    return dict(sorted(found.items()))


def list_pairs(
    images: pathlib.Path,
    masks: pathlib.Path,
    endings: Sequence[str],
    ignored_endings: tuple[str, ...] = (),
    passed_over: list[PassedOver] | None = None,
) -> tuple[dict[str, Pair], list[str]]:
    """Pairs each image of a folder with its mask in another, by the image's stem.

    Args:
        images: Folder of the images.
        masks: Folder of the masks.
        endings: Endings that may follow the image's stem in its mask's (`_mask`), in
            any case.
        ignored_endings: Endings of stems that are neither images nor masks.
        passed_over: List to which all else in the folders is added.

    Returns:
        The pairs, sorted by stem; and the problems, a line each: an image that has no
        mask or several, a mask that has no image.

    Raises:
        FileNotFoundError: If a folder is missing or has no image files.
    """
    for folder in (images, masks):
        if not folder.is_dir():
            raise FileNotFoundError(f"No folder {folder}; create it or restore it")
    passed_over = [] if passed_over is None else passed_over
    found, free = (
        list_images(folder, ignored_endings, passed_over) for folder in (images, masks)
    )
    for folder, files in ((images, found), (masks, free)):
        if not files:
            others = [e.path.name for e in passed_over if e.path.parent == folder]
            instead = f" but {first_of(others, 3)}" if others else ""
            raise FileNotFoundError(
                f"No image files ({' '.join(KINDS)}) in {folder}{instead}; add them"
            )
    # The ending in lower case, as the endings are.
    spelled = {_lower_ending(stem, endings): stem for stem in free}
    pairs: dict[str, Pair] = {}
    problems: list[str] = []
    for stem, image in found.items():
        keys = [stem + ending for ending in endings]
        both = [name for key in keys for name in (key, spelled.get(key, ""))]
        names = list(dict.fromkeys(name for name in both if name in free))
        if not names:
            wanted = " or ".join(f"{stem}{ending}.png" for ending in endings)
            problems.append(
                f"{image} has no mask: no {wanted} in {masks}"
                f"{_near(stem, masks, passed_over)}; add the mask or remove the image"
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
        f"{mask} has no image in {images}{_near(stem, images, passed_over, endings)}; "
        "add the image or remove the mask"
        for stem, mask in free.items()
    ]
    return pairs, problems


def _near(
    stem: str,
    folder: pathlib.Path,
    passed_over: Sequence[PassedOver],
    endings: Sequence[str] = (),
) -> str:
    """Names what is passed over where a file of this stem is missing, and why."""
    stems = {stem, *(stem.removesuffix(ending) for ending in endings)}
    for path, reason, _ in passed_over:
        if path.parent == folder and path.name.partition(".")[0] in stems:
            return f" ({path.name} is passed over: {reason.partition(';')[0]})"
    return ""


def _lower_ending(stem: str, endings: Sequence[str]) -> str:
    """Returns a mask's stem with its ending in lower case."""
    for ending in endings:
        if ending and stem.lower().endswith(ending):
            return stem[: -len(ending)] + ending
    return stem


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


def orientation(path: str | pathlib.Path) -> int:
    """Returns the EXIF orientation of a JPEG file, 1 to 8; 1 where there is none.

    Cameras write it in place of turning the pixels: viewers turn the picture, and
    `read_image` does not. Anything else than 1 means that both differ.

    Raises:
        OSError: If the file cannot be read.
    """
    # ITU-T T.81, annex B, and Exif 2.32, section 4.5.2: segments before the frame, and
    # in the one of Exif a TIFF directory of 12-byte entries.
    require_file(path)
    try:
        with open(path, "rb") as file:
            if not file.read(2) == JPEG_SIGNATURE[:2]:
                return 1
            while (segment := file.read(4))[1] >= 0xE0:
                length = struct.unpack(">H", segment[2:])[0] - 2
                if segment[1] != 0xE1:
                    file.seek(length, os.SEEK_CUR)
                    continue
                body = file.read(length)
                if body.startswith(EXIF_SIGNATURE):
                    return _find_orientation(body[len(EXIF_SIGNATURE) :])
    except (struct.error, IndexError):
        pass  # Damaged: `read_image` says so.
    return 1


def _find_orientation(tiff: bytes) -> int:
    order = "<" if tiff.startswith(b"II") else ">"
    (start,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, start)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, entry)
        if tag == ORIENTATION:
            return value if 1 <= value <= 8 else 1
    return 1


def read_mask(path: str | pathlib.Path) -> np.ndarray:
    """Reads a mask: `(rows, columns)`, uint8 or uint16, the values as stored.

    In an image with a palette the values are the indices. Those of a TIFF file may
    have any type, such as int32 or float32, if they are whole.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is not a whole image of at most 200 megapixels, has colors,
            or a value that is not whole, or not from 0 to 65535.
    """
    path = pathlib.Path(path)
    pixels = _decode(path, cv2.IMREAD_UNCHANGED, indices=True)
    if pixels.ndim == 3:
        if not (pixels[..., :3] == pixels[..., :1]).all():
            raise ValueError(
                f"{path} has colors; a mask must be gray, one value a class: convert it"
            )
        pixels = np.ascontiguousarray(pixels[..., 0])
    if pixels.dtype in (np.uint8, np.uint16):
        return pixels
    # Written so that a NaN is refused as well.
    within = (pixels >= 0) & (pixels <= MAX_MASK_VALUE)
    whole = within if pixels.dtype.kind != "f" else within & (pixels == pixels.round())
    if not whole.all():
        wrong = pixels[~whole].flat[0]
        raise ValueError(
            f"{path} holds {pixels.dtype} values such as {wrong:g}; a mask must hold "
            f"whole numbers from 0 to {MAX_MASK_VALUE}, one a class: convert it"
        )
    return pixels.astype(np.uint8 if pixels.max() < 256 else np.uint16)


def foreground_value(paths: Iterable[pathlib.Path]) -> int:
    """Returns the highest value of the first mask that is not empty; 255 if all are.

    Raises:
        OSError, ValueError: As `read_mask` does.
    """
    return next((int(top) for path in paths if (top := read_mask(path).max())), 255)


def _decode(path: pathlib.Path, flags: int, indices: bool = False) -> np.ndarray:
    """Returns the pixels of a file as OpenCV decodes them.

    Args:
        path: The file.
        flags: OpenCV's.
        indices: Whether those of a palette are wanted, and any type of pixels.
    """
    data, (rows, columns) = _read_checked(path)
    if rows * columns > MAX_PIXELS:
        raise ValueError(
            f"{path} is too large: {columns} x {rows} pixels, at most "
            f"{MAX_PIXELS // 10**6} megapixels; scale it down"
        )
    step = 1
    if indices:
        try:
            data, step = _without_palette(data)
        except (ValueError, struct.error, IndexError) as error:
            raise _unreadable(path, error) from error
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        pixels = None
    if pixels is None or pixels.shape[:2] != (rows, columns):
        raise ValueError(f"{path} cannot be decoded; replace or remove it")
    if pixels.dtype not in (np.uint8, np.uint16) and not indices:
        raise ValueError(
            f"{path} has pixels of {pixels.dtype}; an image must have uint8 or uint16: "
            "convert it"
        )
    return pixels // np.uint8(step) if step > 1 else pixels


def read_size(path: pathlib.Path) -> tuple[int, int]:
    """Returns the `(rows, columns)` of an image, without decoding it.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no image, or incomplete; names the file.
    """
    return _read_checked(path)[1]


def _read_checked(path: pathlib.Path) -> tuple[bytes, tuple[int, int]]:
    try:
        data = read_content(path)
        return data, check_image(data)
    except ValueError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: pathlib.Path, error: Exception) -> ValueError:
    return ValueError(f"{path} is not a readable image: {error}; replace or remove it")


def _without_palette(data: bytes) -> tuple[bytes, int]:
    """Returns an image whose pixels are the indices of its palette, and their step.

    The data of an image with a palette are the indices, so only the header is changed
    to that of a gray image: decoders spread values of under 8 bits to 0 to 255.

    Raises:
        ValueError: If the palette is gray with black at another index than 0: then it
            cannot be told which of the two means background.
    """
    if data.startswith(PNG_SIGNATURE) and data[25] == PNG_PALETTE:
        return _png_indices(data)
    if data.startswith(b"BM"):
        return _bmp_indices(data), 1
    if data.startswith((b"II", b"MM")):
        return _tiff_indices(data), 1
    return data, 1


def _png_indices(data: bytes) -> tuple[bytes, int]:
    # ISO/IEC 15948, section 11.2.2: the bit depth stands at 24, the color type at 25.
    header = bytearray(data[16:29])
    bits, header[9] = header[8], 0
    if bits not in (1, 2, 4, 8):
        raise ValueError(f"damaged (a palette of {bits} bits)")
    chunks = [_png_chunk(b"IHDR", bytes(header))]
    position = len(PNG_SIGNATURE)
    kind = b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, position)
        body = data[position + 8 : position + 8 + length]
        if kind == b"PLTE":
            _refuse_gray([body[i : i + 3] for i in range(0, length, 3)])
        if kind in (b"IDAT", b"IEND"):
            chunks.append(_png_chunk(kind, body))
        position += 12 + length
    return PNG_SIGNATURE + b"".join(chunks), 255 // (2**bits - 1)


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(kind + body)
    return struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", checksum)


def _bmp_indices(data: bytes) -> bytes:
    """Replaces a colored palette by a gray one in which each entry is its index."""
    (offset,) = struct.unpack_from("<I", data, 10)
    (header,) = struct.unpack_from("<I", data, 14)
    # The oldest header has 12 bytes, shorter sides, and a palette without a fourth
    # byte.
    bits = struct.unpack_from("<H", data, 24 if header == 12 else 28)[0]
    size = 3 if header == 12 else 4
    start = 14 + header
    palette = data[start : min(offset, start + size * 256)]
    entries = [palette[i : i + 3] for i in range(0, len(palette) - size + 1, size)]
    if bits > 8 or not _has_colors(entries):
        return data
    grays = b"".join(bytes([i, i, i, 0])[:size] for i in range(len(entries)))
    return data[:start] + grays + data[start + len(grays) :]


def _tiff_indices(data: bytes) -> bytes:
    """Changes palette to gray in the header of a TIFF file."""
    order = "<" if data.startswith(b"II") else ">"
    (start,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, start)
    places = {}
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, _, _, value = struct.unpack_from(order + "HHIH", data, entry)
        places[tag] = entry + 8, value
    # TIFF 6.0, section 8: 258 BitsPerSample; 262 PhotometricInterpretation, 3 for a
    # palette, 1 for gray.
    (place, kind), (_, bits) = (places.get(tag, (0, 0)) for tag in (262, 258))
    if kind != 3 or bits != 8:
        return data
    return data[:place] + struct.pack(order + "H", 1) + data[place + 2 :]


def _has_colors(palette: Sequence[bytes]) -> bool:
    return any(len(set(entry)) > 1 for entry in palette)


def _refuse_gray(palette: Sequence[bytes]) -> None:
    """Refuses a gray palette that has black, and at another index than 0."""
    black = bytes(3)
    if not _has_colors(palette) and black in palette and palette[0] != black:
        raise ValueError(
            f"its palette is gray with black at index {palette.index(black)}, so it is "
            "unclear which value is background; save it as a gray image"
        )


def encode_png(pixels: np.ndarray, path: str | pathlib.Path) -> bytes:
    """Returns a PNG file of pixels, gray or RGB, uint8 or uint16.

    Args:
        pixels: `(rows, columns)` or `(rows, columns, 1 or 3)`.
        path: The file that an error is to name.

    Raises:
        ValueError: If a PNG file does not hold as many.
    """
    if max(pixels.shape[:2]) > MAX_PNG_SIDE:
        raise ValueError(
            f"{path} has {pixels.shape[1]} x {pixels.shape[0]} pixels, and a PNG file "
            f"at most {MAX_PNG_SIDE} on a side; cut the image"
        )
    if pixels.ndim == 3:
        pixels = pixels[..., ::-1]
    return cv2.imencode(".png", pixels)[1].tobytes()


def check_image(data: bytes) -> tuple[int, int]:
    """Returns the `(rows, columns)` of a complete JPEG, PNG, BMP or TIFF file.

    Raises:
        ValueError: If it is another kind of file, truncated or damaged, or a TIFF
            of several pages.
    """
    try:
        if data.startswith(PNG_SIGNATURE):
            return _check_png(data)
        if data.startswith(JPEG_SIGNATURE):
            return _check_jpeg(data)
        if data.startswith(b"BM"):
            return _check_bmp(data)
        if data.startswith((b"II*\0", b"MM\0*")):
            return _check_tiff(data)
    except (struct.error, IndexError) as error:
        raise ValueError("truncated") from error
    raise ValueError("not a JPEG, PNG, BMP or TIFF image" if data else "empty")


def _check_png(data: bytes) -> tuple[int, int]:
    # PNG (ISO/IEC 15948), section 5.3: length, type, body, CRC of type and body.
    # Decoders take the size from the first chunk, IHDR (section 11.2.2).
    if not data.startswith(PNG_SIGNATURE + PNG_FIRST_CHUNK):
        raise ValueError("truncated or damaged (its first chunk is not IHDR)")
    columns, rows = struct.unpack_from(">II", data, 16)
    position = len(PNG_SIGNATURE)
    while True:
        length, kind = struct.unpack_from(">I4s", data, position)
        body_end = position + 8 + length
        (checksum,) = struct.unpack_from(">I", data, body_end)
        if zlib.crc32(memoryview(data)[position + 4 : body_end]) != checksum:
            raise ValueError("damaged (a checksum is wrong)")
        if kind == b"IEND":
            return rows, columns
        position = body_end + 4


def _check_jpeg(data: bytes) -> tuple[int, int]:
    # ITU-T T.81, annex B: markers 0xFF, code, then a length that counts itself.
    # Start of frame is C0 to CF without C4, C8 and CC; start of scan is DA.
    shape = None
    position = 2
    while True:
        code = data[position + 1]
        if data[position] != 0xFF or code == 0xFF:
            position += 1  # A fill byte, or one that decoders pass over as well.
            continue
        if code in JPEG_ALONE:
            position += 2  # As in decoders, which would find a frame after it.
            continue
        if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):
            shape = struct.unpack_from(">HH", data, position + 5)
        if code == 0xDA:
            break
        position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    # Within a scan 0xFF is followed by 0 or a restart marker, so this is the end
    # of the image; that of a thumbnail stands before the scan.
    if data.find(b"\xff\xd9", position) < 0:
        raise ValueError("truncated (no end-of-image marker)")
    if data.count(b"\xff\xda", position) > JPEG_MAX_SCANS:
        raise ValueError(f"damaged (more than {JPEG_MAX_SCANS} scans)")
    if shape is None:
        raise ValueError("damaged (no frame header)")
    return shape[0], shape[1]


def _check_bmp(data: bytes) -> tuple[int, int]:
    # The rows may run downwards, which a negative number says. OpenCV itself
    # refuses a truncated one, and the size in the header is often wrong.
    columns, rows = struct.unpack_from("<ii", data, 18)
    return abs(rows), abs(columns)


def _check_tiff(data: bytes) -> tuple[int, int]:
    # TIFF 6.0, section 2: a directory of 12-byte entries, then the next one's place.
    order = "<" if data.startswith(b"II") else ">"
    (start,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, start)
    sides = {}
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, values = struct.unpack_from(order + "HHI", data, entry)
        if tag in (256, 257):  # ImageWidth, ImageLength: one SHORT or LONG.
            if tag in sides or kind not in (3, 4) or values != 1:
                raise ValueError("damaged (its size is there twice, or no number)")
            code = order + ("H" if kind == 3 else "I")
            (sides[tag],) = struct.unpack_from(code, data, entry + 8)
    (following,) = struct.unpack_from(order + "I", data, start + 2 + 12 * count)
    if following:
        raise ValueError("a TIFF of several pages; save each page as an image")
    if len(sides) != 2:
        raise ValueError("damaged (no size)")
    return sides[257], sides[256]
