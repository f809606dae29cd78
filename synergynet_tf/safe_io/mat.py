"""Numbers in MATLAB files of level 5, as `save` wrote them before version 7.3.

SciPy's reader ends the process on a damaged file, so this one reads the bytes itself.

Reference:
    MathWorks, MAT-File Format, "Level 5 MAT-File Format".
"""

from __future__ import annotations

import itertools
import math
import pathlib
import struct
import zlib
from collections.abc import Iterator

import numpy as np

from synergynet_tf.safe_io.content import read_content

HEADER_BYTES = 128
ORDERS = {b"IM": "<", b"MI": ">"}
MATRIX, COMPRESSED = 14, 15
# Types of data elements, and classes of arrays whose elements are numbers.
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8"}
TYPES |= {12: "i8", 13: "u8"}
NUMBERS = range(6, 16)
COMPLEX = 0x0800


def read_mat5(path: str | pathlib.Path, name: str, max_bytes: int) -> np.ndarray:
    """Reads a variable of real numbers.

    Args:
        path: The file.
        name: Name of the variable.
        max_bytes: Largest size of the file, and of each variable unpacked.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is damaged or too large, or has no such variable.
    """
    content = read_content(path, max_bytes)
    order = ORDERS.get(content[HEADER_BYTES - 2 : HEADER_BYTES])
    if order is None:
        raise ValueError("it is no MATLAB file of level 5")
    try:
        for kind, data in _elements(content[HEADER_BYTES:], order):
            if kind == COMPRESSED:
                ((kind, data),) = _elements(_unpacked(data, max_bytes), order)
            if kind != MATRIX:
                continue
            parts = [*itertools.islice(_elements(data, order), 4)]
            if len(parts) == 4 and parts[2][1] == name.encode():
                return _numbers(parts, name, order)
    except (struct.error, zlib.error) as error:
        raise ValueError(f"it is damaged ({error})") from error
    raise ValueError(f"it has no variable {name}")


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yields the type and the data of each element."""
    position = 0
    while position < len(content):
        kind, size = struct.unpack_from(f"{order}II", content, position)
        start = position + 8
        position = start + size
        if kind != COMPRESSED:
            position += -size % 8
        if kind >> 16:  # Data of at most 4 bytes, which are in its tag.
            kind, size, start, position = kind & 0xFFFF, kind >> 16, start - 4, start
        if start + size > min(position, len(content)):
            raise ValueError("it is truncated")
        yield kind, content[start : start + size]


def _unpacked(data: bytes, max_bytes: int) -> bytes:
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(data, max_bytes)
    if not unpacker.eof:
        raise ValueError(
            f"a variable is truncated, or has more than {max_bytes:,} bytes"
        )
    return content


def _numbers(parts: list[tuple[int, bytes]], name: str, order: str) -> np.ndarray:
    """Returns the array of an element's flags, dimensions, name and real part."""
    (_, flags), (_, dimensions), _, (kind, data) = parts
    (flag, _) = struct.unpack(f"{order}II", flags)
    shape = [number for (number,) in struct.iter_unpack(f"{order}i", dimensions)]
    dtype = np.dtype(order + TYPES.get(kind, "V1"))
    real = flag & 0xFF in NUMBERS and not flag & COMPLEX and kind in TYPES
    if not real or min(shape, default=-1) < 0:
        raise ValueError(f"`{name}` is no array of real numbers")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"`{name}` has {len(data)} bytes for the shape {shape}")
    return np.frombuffer(data, dtype).reshape(shape, order="F")
