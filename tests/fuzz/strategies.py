"""Strategies of mutated files: damaged bytes, hostile content, and what is no file.

A format that compresses or has checksums is opened, damaged inside and closed again;
of others the bytes themselves are damaged.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import io
import json
import os
import pickle
import struct
import zipfile
import zlib

import h5py
import numpy as np
import scipy.io
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tests.safe_io import test_hdf5

HEADER_BYTES = 512  # Where most formats keep their sizes and offsets.
MAX_REPEATED_BYTES = 2**22  # Thrice fifty times a real scan is more than memory.
# Lengths, offsets and counts at and beyond what a reader expects.
INTEGERS = st.sampled_from(
    [0, 1, 127, 128, 255, *(2**n + d for n in (15, 16, 31, 32, 63) for d in (-1, 0))]
)
NUMBERS = st.one_of(
    st.builds(
        lambda value, size, order: (value % 256**size).to_bytes(size, order),
        INTEGERS,
        st.sampled_from([1, 2, 4, 8]),
        st.sampled_from(["little", "big"]),
    ),
    st.floats(width=32).map(functools.partial(struct.pack, "<f")),
    st.floats().map(functools.partial(struct.pack, "<d")),
)
# In JSON, as it is written.
JSON = st.one_of(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=5,
    ).map(json.dumps),
    st.sampled_from(
        [
            *("1e999", "-1e999", "1" + "0" * 400, "1" + "0" * 5000, "4e18"),
            *('"../../etc/passwd"', '"/etc/passwd"', '"\\u0000"', '"\\ud800"'),
            *('"a\\nb"', '"\\u001b[31m"', '"' + "x" * 10**5 + '"', "[" * 10**5),
            *("[" * 90 + "]" * 90, '{"a":' * 900 + "1" + "}" * 900),
        ]
    ),
)
CELLS = st.text(max_size=20) | st.sampled_from(
    ["nan", "-inf", "1e999", "", '"', '"a\nb"', "1,2", "9" * 400, "x" * 200_000]
)
# Of NRRD and MetaImage headers.
HEADER_VALUES = st.sampled_from(
    [
        *(b"0", b"1", b"3", b"-1", b"0 0 0", b"8 6", b"8 6 3 1", b"8 6 4000000000"),
        *(b"65535 65535 65535", b"8 6 -3", b"1e999 1 1", b"nan nan nan", b"0 1 1"),
        *(b"(0,0,0) (0,0,0) (0,0,0)", b"(nan,0,0) (0,1,0) (0,0,1)", b"none", b"???"),
        *(b"float", b"double", b"MET_DOUBLE", b"MET_LONG_LONG", b"block", b"big"),
        *(b"gzip", b"bzip2", b"hex", b"ascii", b"True", b"False", b"LIST", b"LOCAL"),
        *(b"../x.raw", b"/etc/passwd", b"/dev/zero", b"left-posterior-superior"),
    ]
)
KINDS = ["f2", ">f2", "f4", "f8", "c8", "?", "i8", "u1", "S3", [("x", "f4")]]
SHAPES = [(9, 4), (2, 9, 4), (0, 4), (), (1, 10), (2, 3, 4, 5)]
ARRAYS = npst.arrays(st.sampled_from(KINDS).map(np.dtype), st.sampled_from(SHAPES))
OBJECTS = [np.array([{"a": 1}, None], object), np.zeros(3, "M8[s]"), np.full(9, "text")]


@dataclasses.dataclass(frozen=True)
class Write:
    """Writes a file's new content; its `repr` is short."""

    content: bytes = dataclasses.field(repr=False)

    def __call__(self, path):
        path.write_bytes(self.content)


@dataclasses.dataclass(frozen=True)
class Replace:
    """Puts a folder, a named pipe or a link in a file's place."""

    target: str

    def __call__(self, path):
        path.unlink()
        if self.target == "pipe":
            os.mkfifo(path)
        elif self.target == "folder":
            path.mkdir()
        else:
            path.symlink_to(path.name if self.target == "itself" else self.target)


@dataclasses.dataclass(frozen=True)
class Rename:
    """Gives a file another name before its suffixes."""

    name: bytes

    def __call__(self, path):
        path.rename(path.with_name(os.fsdecode(self.name) + "".join(path.suffixes)))


OTHER_CONTENTS = [
    *(b"", b"<html>404</html>", b"{}", b"[]", b"PK\x03\x04", b"\x89PNG\r\n\x1a\n"),
    *(b"\x1f\x8b\x08", b"\x89HDF\r\n\x1a\n", b"version https://git-lfs\n"),
]
TARGETS = ["pipe", "folder", "itself", "nowhere", "/dev/zero", "/etc/passwd"]
NAMES = [b"a\nb", b"\x1b[31ma", b"\xff\xfe", b"a\rerror: b", b"..a", b" "]
REPLACEMENTS = st.one_of(
    st.sampled_from(OTHER_CONTENTS).map(Write),
    st.sampled_from(TARGETS).map(Replace),
    st.sampled_from(NAMES).map(Rename),
)


def mutations(kind, content):
    """Returns a strategy of functions that mutate a file, given its path.

    Args:
        kind: Of the file, a key of `FORMATS`; or `""`.
        content: Of the valid file.
    """
    contents = [damaged(content).map(Write)]
    if kind:
        contents.append(FORMATS[kind](content).map(Write))
    return st.one_of(*contents, REPLACEMENTS)


@st.composite
def damaged(draw, content):
    """Splices something else into one to three places of the content."""
    for _ in range(draw(st.integers(1, 3))):
        end = len(content)
        start = draw(st.integers(0, min(end, HEADER_BYTES)) | st.integers(0, end))
        stop = draw(st.integers(start, min(end, start + 1 + end // 10)) | st.just(end))
        old = content[start:stop]
        way = draw(st.sampled_from(["number", "bytes", "fill", "repeat", "flip"]))
        if way == "number":
            new = draw(NUMBERS)
            stop = start + len(new)
        elif way == "bytes":  # None are a deletion, and up to the end a truncation.
            new = draw(st.binary(max_size=64))
        elif way == "fill":
            new = draw(st.sampled_from([b"\0", b"\xff"])) * len(old)
        elif way == "repeat":
            times = draw(st.integers(2, 50))
            new = old * min(times, 1 + MAX_REPEATED_BYTES // (len(old) + 1))
        else:
            new = bytes(byte ^ 1 << draw(st.integers(0, 7)) for byte in old[:1])
            stop = start + len(new)
        content = content[:start] + new + content[stop:]
    return content


@st.composite
def json_files(draw, content):
    """Replaces, drops, renames or repeats an entry, however deep."""
    root = json.loads(content)
    entries = list(json_entries(root))
    if not entries:
        return draw(JSON).encode()
    parent, key = entries[draw(st.integers(0, len(entries) - 1))]
    way, value = (
        draw(st.sampled_from(["replace", "drop", "rename", "repeat"])),
        draw(JSON),
    )
    if way == "drop" or (way != "replace" and isinstance(parent, list)):
        del parent[key]
        return json.dumps(root).encode()
    entry = f"{json.dumps(key)}: {json.dumps(parent[key])}" if way == "repeat" else ""
    if way == "replace":
        parent[key], entry = "@here@", '"@here@"'
    elif way == "rename":
        names = st.sampled_from(["", "x", "a\nb", "../a", "\x1b[0m"])
        parent[draw(names | st.text(max_size=5))] = parent.pop(key)
    else:
        value = f"{entry}, {json.dumps(key)}: {value}"
    text = json.dumps(root)
    return (text.replace(entry, value, 1) if entry else text).encode()


def json_entries(value):
    """Yields each container with each of its keys or places."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from json_entries(value[key])


@st.composite
def csv_files(draw, content):
    """Replaces, adds or drops a cell."""
    lines = [line.split(",") for line in content.decode().splitlines()]
    line = lines[draw(st.integers(0, len(lines) - 1))]
    start = draw(st.integers(0, len(line) - 1))
    line[start : start + draw(st.integers(0, 1))] = draw(st.lists(CELLS, max_size=1))
    return "\n".join(",".join(cells) for cells in lines).encode()


@st.composite
def npz_files(draw, content):
    """Gives one array another content or header, or the archive other members."""
    members = unzipped(content)
    name = draw(st.sampled_from(sorted(members)))
    way = draw(st.sampled_from(["array", "array", "damage", "damage", "lzma", "drop"]))
    if way == "array":
        stream = io.BytesIO()
        np.save(stream, draw(ARRAYS | st.sampled_from(OBJECTS)), allow_pickle=True)
        members[name] = stream.getvalue()
    elif way == "damage":
        members[name] = draw(damaged(members[name]))
    elif way == "drop":
        members["../../" + name] = members.pop(name)
    return zipped(members, zipfile.ZIP_LZMA if way == "lzma" else zipfile.ZIP_DEFLATED)


@st.composite
def hdf5_files(draw, content):
    """Puts another dataset, or another kind of link, in the place of one."""
    stream, names = io.BytesIO(content), []
    with h5py.File(stream, "r+") as file:
        file.visititems(lambda name, item: names.append(name))
        name = draw(st.sampled_from(names))
        del file[name]
        item = draw(ARRAYS | st.sampled_from(HDF5_ITEMS))
        if callable(item):
            item(file)
            file.move("x", name)
        else:
            file[name] = item
    return stream.getvalue()


def hdf5_bomb(file):
    """A chunk of 4 MiB that unpacks to 3 GiB."""
    sides = (1024, 1024)
    made = file.create_dataset("x", sides, "f4", chunks=sides, compression="gzip")
    made.id.write_direct_chunk((0, 0), b"\x78\x01" + deflated_zeros(192) + bytes(4))


@functools.cache
def deflated_zeros(blocks):
    """Returns a raw deflate stream of so many blocks of 16 MiB."""
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    block = packer.compress(bytes(2**24)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * blocks + packer.flush()


HDF5_ITEMS = [
    *(test_hdf5.elsewhere, test_hdf5.raw_elsewhere, test_hdf5.virtual),
    *(test_hdf5.soft_link, test_hdf5.never_written, test_hdf5.huge_chunk),
    *(test_hdf5.bomb, hdf5_bomb, test_hdf5.other_filter, test_hdf5.texts),
    *(test_hdf5.nothing, test_hdf5.group, h5py.SoftLink("/x"), np.dtype("f4")),
]


@st.composite
def mat_files(draw, content):
    """Holds another variable, or another kind of it."""
    cells = np.empty((1, 2), object)
    cells[:] = "a", np.zeros(3)
    arrays = ARRAYS.filter(lambda array: array.dtype.kind in "fiuc")
    values = st.sampled_from([cells, "text", {"a": cells}, np.full((1, 99), 5)])
    value, packed, stream = draw(values | arrays), draw(st.booleans()), io.BytesIO()
    scipy.io.savemat(stream, {"cvind": value}, do_compression=packed)
    return stream.getvalue()


class Command:
    """Would run a program where it is unpickled."""

    def __reduce__(self):
        return os.abort, ()


@st.composite
def torch_files(draw, content):
    """Damages the pickle inside, or holds another one or other numbers."""
    members = unzipped(content)
    (name,) = (name for name in members if name.endswith("data.pkl"))
    way = draw(st.sampled_from(["damage", "damage", "command", "values", "packed"]))
    if way == "damage":
        members[name] = draw(damaged(members[name]))
    elif way == "command":
        members[name] = pickle.dumps({"x": Command()}, draw(st.integers(0, 4)))
    elif way == "values":
        name = max(members, key=lambda member: len(members[member]))
        members[name] = np.full(len(members[name]) // 4, np.nan, "<f4").tobytes()
    packed = way == "packed"
    return zipped(members, zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED)


def unzipped(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members, packing):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", packing) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


@st.composite
def png_files(draw, content):
    """Changes, repeats or drops a chunk, and makes the checksums right."""
    chunks, position = [], 8
    while position < len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        chunks.append((kind, content[position + 8 : position + 8 + length]))
        position += 12 + length
    chosen = draw(st.integers(0, len(chunks) - 1))
    kind, body = chunks[chosen]
    changed = damaged(body).map(lambda body: [(kind, body)])
    repeated = st.integers(0, 40).map(lambda times: [(kind, body)] * times)
    chunks[chosen : chosen + 1] = draw(changed | repeated)
    parts = [content[:8]]
    for kind, body in chunks:
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        parts.append(struct.pack(">I", len(body)) + kind + body + checksum)
    return b"".join(parts)


@st.composite
def nifti_files(draw, content):
    """Damages the header or the voxels of a compressed file, or makes it endless."""
    if not content.startswith(b"\x1f\x8b"):
        return draw(damaged(content))
    if draw(st.integers(0, 9)) == 9:
        # Gzip's members are read one after the other: 4 GiB in as many MiB.
        return content + gzip.compress(bytes(2**24), 1) * 256
    return gzip.compress(draw(damaged(gzip.decompress(content))), 1)


@st.composite
def itk_files(draw, content):
    """Gives a line of an NRRD or MetaImage header another value, or drops it."""
    separator = b": " if content.startswith(b"NRRD") else b" = "
    lines = content.split(b"\n")
    names = [line.partition(separator)[0] for line in lines]
    # An empty line ends NRRD's header, this field MetaImage's.
    end = names.index(b"" if separator == b": " else b"ElementDataFile")
    chosen = draw(st.integers(0, end))
    value = draw(HEADER_VALUES | CELLS.map(str.encode))
    line = names[chosen] + separator + value
    lines[chosen : chosen + 1] = draw(
        st.sampled_from([[line], [line], [lines[chosen], line], []])
    )
    return b"\n".join(lines)


FORMATS = {
    "csv": csv_files,
    "hdf5": hdf5_files,
    "itk": itk_files,
    "json": json_files,
    "mat": mat_files,
    "nifti": nifti_files,
    "npz": npz_files,
    "png": png_files,
    "torch": torch_files,
}
