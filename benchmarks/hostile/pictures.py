"""Images and volumes with sizes, checksums and packing that a parser would believe."""

from __future__ import annotations

import gzip
import struct
import zlib

import numpy as np

from benchmarks.hostile.mutations import BLOCK, Rng, damage, deflated_zeros, place

NUMBERS = (0.0, -1.0, 1.0, 1e-30, 1e30, 3e38, np.nan, np.inf, -np.inf, 32767.0)


def mutate_png(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """Changes what is inside the chunks, and makes the checksums right."""
    if rng.random() < 0.1:
        side = int(rng.choice([2000, 20_000]))
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        # One is as large as it says, the other larger than it may be.
        rows = side * (3 * side + 1)
        small = zlib.compress(bytes(rows), 1) if side == 2000 else b""
        packed = small or b"\x78\x01" + deflated_zeros(rows // len(BLOCK) * len(BLOCK))
        chunks = [(b"IHDR", header), (b"IDAT", packed), (b"IEND", b"")]
        return _png(chunks), f"png bomb {side}"
    chunks, position = [], 8
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        chunks.append((kind, data[position + 8 : position + 8 + length]))
        position += 12 + length
    chosen = int(rng.integers(len(chunks) - 1))
    kind, body = chunks[chosen]
    way = str(rng.choice(["change", "sides", "repeat", "drop"]))
    if way == "sides":
        sides = [_side(rng) for _ in range(2)]
        chunks[0] = (b"IHDR", struct.pack(">II", *sides) + chunks[0][1][8:])
    elif way == "change":
        chunks[chosen] = (kind, damage(rng, body)[0] if body else b"x")
    elif way == "repeat":
        chunks[chosen:chosen] = [chunks[chosen]] * int(rng.integers(1, 40))
    else:
        del chunks[chosen]
    return _png(chunks), f"png {way} {kind!r}"


def _png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, body in chunks:
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        parts.append(struct.pack(">I", len(body)) + kind + body + checksum)
    return b"".join(parts)


def _side(rng: Rng) -> int:
    return int(rng.choice([0, 1, 7, 255, 5000, 14_000, 65_535, 2**31 - 1]))


def mutate_jpeg(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """Changes the frame's size or components, or repeats scans."""
    frame = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    scan = data.find(b"\xff\xda")
    way = str(rng.choice(["sides", "frame", "scans", "segment"]))
    if way == "sides":
        sides = struct.pack(">HH", *(_side(rng) % 65536 for _ in range(2)))
        return data[: frame + 5] + sides + data[frame + 9 :], "jpeg sides"
    if way == "frame":
        changed, names = damage(rng, data[frame : frame + 19])
        return data[:frame] + changed + data[frame + 19 :], f"jpeg frame {names}"
    if way == "scans":
        times = int(rng.choice([2, 50, 3000]))
        return data[:scan] + data[scan:-2] * times + data[-2:], f"jpeg {times} scans"
    changed, names = damage(rng, data[2:scan])
    return data[:2] + changed + data[scan:], f"jpeg segments {names}"


# Name, offset, struct code and number of NIfTI-1's fields that a reader trusts.
NIFTI_FIELDS = (
    *(("sizeof_hdr", 0, "i", 1), ("dim", 40, "h", 8), ("datatype", 70, "h", 1)),
    *(("bitpix", 72, "h", 1), ("pixdim", 76, "f", 8), ("vox_offset", 108, "f", 1)),
    *(("scl_slope", 112, "f", 2), ("xyzt_units", 123, "b", 1), ("codes", 252, "h", 2)),
    *(("quatern", 256, "f", 6), ("srow", 280, "f", 12), ("magic", 344, "b", 4)),
)


def mutate_nifti(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """Changes a field of the header, or the voxels; packs them again if need be."""
    packed = data.startswith(b"\x1f\x8b")
    plain = bytearray(gzip.decompress(data) if packed else data)
    if packed and rng.random() < 0.1:
        # Gzip's members are read one after the other: 4 GiB in as many MiB.
        return data + gzip.compress(BLOCK, 1) * 256, "nifti bomb"
    names = []
    for _ in range(int(rng.integers(1, 3))):
        name, offset, code, count = NIFTI_FIELDS[int(rng.integers(len(NIFTI_FIELDS)))]
        start = offset + int(rng.integers(count)) * struct.calcsize(code)
        if code == "f":
            value = struct.pack("<f", NUMBERS[int(rng.integers(len(NUMBERS)))])
        else:
            bits = 8 * struct.calcsize(code)
            choices = [0, 1, -1, 2, 16, 64, 512, 1792, 2 ** (bits - 1) - 1]
            value = struct.pack("<q", int(rng.choice(choices)))[: bits // 8]
        plain[start : start + len(value)] = value
        names.append(name)
    changed = bytes(plain)
    if rng.random() < 0.2:
        changed, more = damage(rng, changed)
        names.append(more)
    return (gzip.compress(changed, 1) if packed else changed), f"nifti {names}"


def mutate_tiff(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """Changes an entry of the directory."""
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    entry = start + 2 + 12 * int(rng.integers(count))
    changed = bytearray(data)
    if rng.random() < 0.5:
        value = int(rng.choice([0, 1, 3, 16, 5000, 65_535, 2**31 - 1]))
        changed[entry + 8 : entry + 12] = struct.pack("<I", value)
        return bytes(changed), "tiff value"
    offset = place(rng, data[entry : entry + 12])
    changed[entry + offset] = int(rng.integers(256))
    return bytes(changed), "tiff entry"


MUTATIONS = {
    "png": mutate_png,
    "jpeg": mutate_jpeg,
    "tiff": mutate_tiff,
    "nifti": mutate_nifti,
}
