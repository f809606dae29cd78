"""What can befall any file: damage to its bytes, and what stands in its place."""

from __future__ import annotations

import functools
import os
import pathlib
import zlib
from collections.abc import Callable

import numpy as np

Rng = np.random.Generator
# Where most formats keep their sizes and offsets.
HEADER_BYTES = 512
BLOCK = bytes(2**24)
# Lengths, offsets and counts at and beyond what a reader expects.
EXTREMES = (
    *(0, 1, 127, 128, 255, 2**15 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31),
    *(2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1),
)


def flip_bits(rng: Rng, data: bytes) -> bytes:
    """Flips one to eight bits."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        changed[place(rng, data)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def truncate(rng: Rng, data: bytes) -> bytes:
    """Keeps the beginning."""
    return data[: place(rng, data)]


def fill_range(rng: Rng, data: bytes) -> bytes:
    """Sets some bytes to zero, or to all ones."""
    start, stop = chunk(rng, data)
    return data[:start] + rng.choice([b"\0", b"\xff"]) * (stop - start) + data[stop:]


def scramble(rng: Rng, data: bytes) -> bytes:
    """Sets some bytes at random."""
    start, stop = chunk(rng, data)
    return data[:start] + rng.bytes(stop - start) + data[stop:]


def delete(rng: Rng, data: bytes) -> bytes:
    """Leaves some bytes out."""
    start, stop = chunk(rng, data)
    return data[:start] + data[stop:]


def duplicate(rng: Rng, data: bytes) -> bytes:
    """Has some bytes several times."""
    start, stop = chunk(rng, data)
    return data[:stop] + data[start:stop] * int(rng.integers(1, 50)) + data[stop:]


def insert(rng: Rng, data: bytes) -> bytes:
    """Has some bytes more."""
    start = place(rng, data)
    return data[:start] + rng.bytes(int(rng.integers(1, 64))) + data[start:]


def append(rng: Rng, data: bytes) -> bytes:
    """Goes on after its end."""
    return data + rng.bytes(int(rng.integers(1, 4096)))


def set_number(rng: Rng, data: bytes) -> bytes:
    """Has an extreme value where there may be a length, an offset or a count."""
    start, size = place(rng, data), int(rng.choice([1, 2, 4, 8]))
    value = EXTREMES[int(rng.integers(len(EXTREMES)))] % 256**size
    order = "little" if rng.random() < 0.5 else "big"
    return data[:start] + value.to_bytes(size, order) + data[start + size :]


DAMAGE: tuple[Callable[[Rng, bytes], bytes], ...] = (
    flip_bits,
    truncate,
    fill_range,
    scramble,
    delete,
    duplicate,
    insert,
    append,
    set_number,
    set_number,
)


def damage(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """Damages bytes in one to three ways; returns them and the ways' names."""
    names = []
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        if not data:
            break
        way = DAMAGE[int(rng.integers(len(DAMAGE)))]
        data = way(rng, data)
        names.append(way.__name__)
    return data, " ".join(names)


def place(rng: Rng, data: bytes) -> int:
    """Draws a place, half of the time in the header."""
    most = len(data) if rng.random() < 0.5 else min(len(data), HEADER_BYTES)
    return int(rng.integers(most))


def chunk(rng: Rng, data: bytes) -> tuple[int, int]:
    """Draws the ends of a range of one byte to a tenth of all."""
    start = place(rng, data)
    return start, start + int(rng.integers(1, max(2, len(data) // 10)))


@functools.cache
def deflated_zeros(size: int) -> bytes:
    """Returns a raw deflate stream of `size` zeros, a multiple of `BLOCK`'s size."""
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    block = packer.compress(BLOCK) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * (size // len(BLOCK)) + packer.flush()


def _empty(path: pathlib.Path, rng: Rng) -> None:
    path.write_bytes(b"")


def _other_kind(path: pathlib.Path, rng: Rng) -> None:
    texts = (
        *(b"<html>404</html>", b"{}", b"[]", b"PK\x03\x04", b"\x89PNG\r\n\x1a\n"),
        *(b"\x1f\x8b\x08", b"\x89HDF\r\n\x1a\n", b"version https://git-lfs\n"),
    )
    path.write_bytes(texts[int(rng.integers(len(texts)))])


def _folder(path: pathlib.Path, rng: Rng) -> None:
    path.unlink()
    path.mkdir()


def _dangling(path: pathlib.Path, rng: Rng) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def _loop(path: pathlib.Path, rng: Rng) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _device(path: pathlib.Path, rng: Rng) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def _pipe(path: pathlib.Path, rng: Rng) -> None:
    path.unlink()
    os.mkfifo(path)


def _foreign(path: pathlib.Path, rng: Rng) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def _renamed(path: pathlib.Path, rng: Rng) -> None:
    names = (b"a\nb", b"\x1b[31ma", b"\xff\xfe", b"a\rerror: b", b"..a", b" ")
    name = os.fsdecode(names[int(rng.integers(len(names)))])
    path.rename(path.with_name(name + "".join(path.suffixes)))


REPLACEMENTS: tuple[Callable[[pathlib.Path, Rng], None], ...] = (
    _empty,
    _other_kind,
    _folder,
    _dangling,
    _loop,
    _device,
    _pipe,
    _foreign,
    _renamed,
)


def replace(rng: Rng, path: pathlib.Path) -> str:
    """Puts something else in a file's place; returns what."""
    way = REPLACEMENTS[int(rng.integers(len(REPLACEMENTS)))]
    way(path, rng)
    return way.__name__.strip("_")
