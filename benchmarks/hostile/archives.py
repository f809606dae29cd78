"""NumPy's archives with headers and packing that `numpy.load` would believe."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable

import numpy as np

from benchmarks.hostile.mutations import Rng, damage, deflated_zeros


def mutate_npz(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """Gives one array another header or other content, or the archive other members."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = sorted(members)[int(rng.integers(len(members)))]
    way = str(rng.choice(["array", "header", "bytes", "bomb", "lzma", "drop", "path"]))
    packing = zipfile.ZIP_DEFLATED
    if way == "array":
        members[name] = _npy(ARRAYS[int(rng.integers(len(ARRAYS)))]())
    elif way == "header":
        members[name] = _npy_header(rng) + members[name][-64:]
    elif way == "bytes":
        members[name] = damage(rng, members[name])[0]
    elif way == "bomb":
        return _npz_bomb(name), f"npz bomb {name}"
    elif way == "lzma":
        packing = zipfile.ZIP_LZMA
    elif way == "drop":
        del members[name]
    else:
        members["../../" + name] = members.pop(name)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", packing) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    packed = stream.getvalue()
    if rng.random() < 0.2:
        packed, names = damage(rng, packed)
        way += " " + names
    return packed, f"npz {way} {name}"


ARRAYS: tuple[Callable[[], np.ndarray], ...] = (
    lambda: np.array([{"a": 1}, None], object),
    lambda: np.full((9, 4), np.nan, np.float32),
    lambda: np.full((9, 4), np.inf),
    lambda: np.full((9, 4), 1e300),
    lambda: np.zeros((9, 4), np.complex64),
    lambda: np.zeros((9, 4), bool),
    lambda: np.full((9, 4), 9, np.int64),
    lambda: np.full((9, 4), 2.5),
    lambda: np.zeros((9, 4), "M8[s]"),
    lambda: np.zeros((9, 4), [("x", "f4"), ("y", "O")]),
    lambda: np.full((9, 4), "text"),
    lambda: np.zeros((0, 4)),
    lambda: np.zeros(()),
    lambda: np.zeros((2, 3, 4, 5)),
    lambda: np.zeros((9, 4), ">f2"),
)


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def _npy_header(rng: Rng) -> bytes:
    shapes = (
        *("(9, 4)", "(1000000000, 4)", "(65536, 65536)", "(-9, -4)", "(9.0, 4)"),
        *("()", "(True, 4)", "'a'", "(" * 200, "(0, 99999999999999999999)"),
    )
    kinds = ("'<f4'", "'|O'", "'<f8'", "'|u1'", "'|V9999999'", "[('a', '|O')]", "None")
    text = (
        f"{{'descr': {kinds[int(rng.integers(len(kinds)))]}, 'fortran_order': False, "
        f"'shape': {shapes[int(rng.integers(len(shapes)))]}}}\n"
    ).encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def _npz_bomb(name: str) -> bytes:
    """Packs an array of 3 GiB; by hand, because `zipfile` would take its time."""
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (24576, 32768)}\n"
    header = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text
    # A block that is stored, and then the zeros.
    stored = b"\0" + struct.pack("<HH", len(header), len(header) ^ 0xFFFF) + header
    body = stored + deflated_zeros(3 * 2**30)
    sizes = struct.pack("<III", 0, len(body), len(header) + 3 * 2**30)
    fields = struct.pack("<HHHHH", 20, 0, zipfile.ZIP_DEFLATED, 0, 33) + sizes
    local = fields + struct.pack("<HH", len(name), 0) + name.encode()
    start = b"PK\x03\x04" + local + body
    central = b"PK\x01\x02" + struct.pack("<H", 20) + fields
    central += struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, 0) + name.encode()
    end = struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(start), 0)
    return start + central + b"PK\x05\x06" + end


MUTATIONS = {"npz": mutate_npz}
