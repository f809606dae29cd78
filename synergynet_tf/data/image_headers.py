"""Size and completeness of an encoded image, from its bytes, before decoding.

OpenCV decodes a truncated JPEG into a picture that is gray below the cut, and
allocates whatever size a header claims. So both are checked here first.
"""

from __future__ import annotations

import struct
import zlib

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8\xff"
PNG_FIRST_CHUNK = b"\0\0\0\x0dIHDR"  # Its length and type.
# A progressive JPEG has a dozen scans; each takes the time of the whole image.
JPEG_MOST_SCANS = 100
# JPEG markers without a length: TEM, RST0 to RST7, SOI, EOI. So is 0, a stuffed byte.
JPEG_ALONE = (0x00, 0x01, *range(0xD0, 0xDA))


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
    # Of the size that decoders go by, section 11.2.2: in the first chunk, IHDR.
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
            position += 2  # As decoders do, who would find a frame after it.
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
    if data.count(b"\xff\xda", position) > JPEG_MOST_SCANS:
        raise ValueError(f"damaged (more than {JPEG_MOST_SCANS} scans)")
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
