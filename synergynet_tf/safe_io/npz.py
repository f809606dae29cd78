"""NumPy `.npz` arrays, read without trusting their headers.

`numpy.load` allocates what a header claims, and unpacks whatever is packed.
"""

from __future__ import annotations

import math
import pathlib
import zipfile
from collections.abc import Collection

import numpy as np

from synergynet_tf.safe_io.content import require_file

# Largest array: a position table of ViT has 2 MB, a checkpoint's largest 100 MB.
MAX_BYTES = 2**30
ENDING = ".npy"
KINDS = "biuf"
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def list_npz(path: str | pathlib.Path) -> list[str]:
    """Lists the names of the arrays in a file.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no `.npz` file.
    """
    require_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(ENDING) for name in archive.namelist()]
    except Exception as error:
        # Bytes at random make `zipfile` raise half a dozen kinds.
        raise ValueError(f"it is no .npz file: {error}") from error


def read_npz(
    path: str | pathlib.Path, names: Collection[str], max_bytes: int = MAX_BYTES
) -> dict[str, np.ndarray]:
    """Reads those of the named arrays that are there.

    Args:
        path: The file.
        names: Names of the arrays.
        max_bytes: Largest size of each of them, unpacked.

    Returns:
        Arrays of numbers or booleans, by their names.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no `.npz` file, or an array is damaged, of another kind, or
            larger.
    """
    arrays = {}
    found = set(list_npz(path))
    with zipfile.ZipFile(path) as archive:
        for name in names:
            if name not in found:
                continue
            try:
                arrays[name] = _read_member(archive, name + ENDING, max_bytes)
            except Exception as error:
                # The same errors as above, and those of `zlib`, `lzma` and NumPy.
                raise ValueError(f"its array {name!r}: {error}") from error
    return arrays


def _read_member(archive: zipfile.ZipFile, member: str, max_bytes: int) -> np.ndarray:
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"of an unknown version, {version}")
        shape, fortran_order, dtype = _HEADERS[version](file)
        if dtype.kind not in KINDS:
            raise ValueError(f"it must hold numbers. Received: {dtype}")
        size = math.prod(shape) * dtype.itemsize
        if not 0 <= size <= max_bytes or min(shape, default=0) < 0:
            raise ValueError(f"too large: {dtype} {shape}")
        # One byte more, at which the archive compares its checksum.
        content = file.read(size + 1)
    if len(content) != size:
        raise ValueError(f"damaged: not the {size} bytes of {dtype} {shape}")
    array = np.frombuffer(content, dtype)
    return array.reshape(shape[::-1]).T if fortran_order else array.reshape(shape)
