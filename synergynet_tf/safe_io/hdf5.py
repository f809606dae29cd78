"""HDF5 arrays (MATLAB 7.3, Keras, h5py), read within bounds.

The format may name other files to read, and datasets of any size without a byte of
them. HDF5 itself unpacks a chunk to whatever it holds.
"""

from __future__ import annotations

import math
import pathlib
import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from synergynet_tf.safe_io.content import is_of_the_file, require_file

if TYPE_CHECKING:
    # Elsewhere it is imported where it is used: that takes longer than a refusal.
    import h5py

MAX_BYTES = 2**30
# HDF5 unpacks a chunk whole, and holds it beside what it was packed from.
MAX_CHUNK_BYTES = 2**27
# Chunk filters, by their numbers in HDF5: these give what they took, or less.
DEFLATE, SHUFFLE, FLETCHER32 = 1, 2, 3
KINDS = "biuf"


def read_datasets(
    path: str | pathlib.Path, names: Sequence[str], max_bytes: int = MAX_BYTES
) -> list[np.ndarray]:
    """Reads datasets of numbers.

    Args:
        path: The file.
        names: Names of the datasets, such as `"group/array"`.
        max_bytes: Largest size of each of them.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no HDF5 file or damaged, or a dataset is missing, of
            another kind, larger, or elsewhere.
    """
    import h5py

    require_file(path)
    try:
        with h5py.File(path, "r") as file:
            return [_plain(file, name, max_bytes)[()] for name in names]
    except Exception as error:
        if not is_of_the_file(error):
            raise
        raise ValueError(_words(error)) from error


def require_plain_hdf5(path: str | pathlib.Path, max_bytes: int) -> None:
    """Refuses a file that another reader would take too much, or other files, from.

    Args:
        path: The file.
        max_bytes: Largest size of all datasets in it together.

    Raises:
        OSError: If the file cannot be read.
        ValueError: In the cases of `read_datasets`.
    """
    import h5py

    require_file(path)
    try:
        with h5py.File(path, "r") as file:
            rest = max_bytes
            for name in _names(file):
                rest -= _plain(file, name, rest).nbytes
    except Exception as error:
        if not is_of_the_file(error):
            raise
        raise ValueError(_words(error)) from error


def _names(file: h5py.File) -> Iterator[str]:
    """Yields the path of everything in a file that is not a group."""
    import h5py

    waiting, seen = [""], set()
    while waiting:
        parent = waiting.pop()
        for key in file[parent or "/"]:
            name = f"{parent}/{key}"
            if _link(file, name) and file.get(name, getclass=True) is h5py.Group:
                place = h5py.h5o.get_info(file[name].id).addr
                if place in seen:
                    raise ValueError(f"{name} is a group within itself")
                seen.add(place)
                waiting.append(name)
            else:
                yield name


def _link(file: h5py.File, name: str) -> bool:
    import h5py

    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} is not in the file itself")
    return True


def _plain(file: h5py.File, name: str, max_bytes: int) -> h5py.Dataset:
    """Returns a dataset of numbers that has its bytes in this file, and not too many.

    Raises:
        ValueError: If it is not so.
    """
    import h5py

    parts = name.strip("/").split("/")
    for i in range(1, len(parts) + 1):
        if "/".join(parts[:i]) not in file:
            raise ValueError(f"it has no {name}")
        _link(file, "/".join(parts[:i]))
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise ValueError(f"{name} is no array")
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{name} is not in the file itself")
    if dataset.dtype.kind not in KINDS or dataset.dtype.subdtype is not None:
        raise ValueError(f"{name} must hold numbers. Received: {dataset.dtype}")
    chunk = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
    if dataset.nbytes > max_bytes or chunk > MAX_CHUNK_BYTES:
        raise ValueError(f"{name} is too large: {dataset.dtype} {dataset.shape}")
    if dataset.chunks:
        _check_chunks(dataset, chunk)
    return dataset


def _check_chunks(dataset: h5py.Dataset, size: int) -> None:
    """Refuses chunks that would be unpacked to more than `size` bytes.

    Raises:
        ValueError: If there is one, or one by another filter than gzip.
    """
    settings = dataset.id.get_create_plist()
    filters = {settings.get_filter(i)[0] for i in range(settings.get_nfilters())}
    if unknown := filters - {DEFLATE, SHUFFLE, FLETCHER32}:
        raise ValueError(f"{dataset.name} is packed by filter {min(unknown)}; use gzip")
    most = dataset.file.id.get_filesize()
    for i in range(dataset.id.get_num_chunks()):
        info = dataset.id.get_chunk_info(i)
        if info.byte_offset is None or info.byte_offset + info.size > most:
            raise ValueError(f"{dataset.name} is damaged")
        if DEFLATE in filters:
            _, packed = dataset.id.read_direct_chunk(info.chunk_offset)
            if len(zlib.decompressobj().decompress(packed, size + 1)) > size:
                raise ValueError(f"{dataset.name} has a chunk of over {size} bytes")


def _words(error: Exception) -> str:
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    return text or type(error).__name__
