"""Hostile HDF5, MATLAB and torch files: whole, and not what a reader expects."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import scipy.io

from benchmarks.hostile.mutations import Rng, damage, deflated_zeros

SECRET = "/etc/passwd"


def mutate_hdf5(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """Puts another dataset, or another kind of link, in the place of one."""
    stream = io.BytesIO(data)
    with h5py.File(stream, "r+") as file:
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name))
        name = names[int(rng.integers(len(names)))]
        del file[name]
        way = HDF5_WAYS[int(rng.integers(len(HDF5_WAYS)))]
        way(file, name)
    return stream.getvalue(), f"hdf5 {way.__name__.strip('_')} {name}"


def _never_written(file: h5py.File, name: str) -> None:
    file.create_dataset(name, (2**20, 2**18), "f4", chunks=(64, 64))


def _packed(file: h5py.File, name: str) -> None:
    made = file.create_dataset(
        name, (2**15, 2**15), "f8", chunks=(256, 256), compression="gzip"
    )
    made[:256, :256] = 1.0


def _bomb(file: h5py.File, name: str) -> None:
    sides = (1024, 1024)
    made = file.create_dataset(name, sides, "f4", chunks=sides, compression="gzip")
    packed = b"\x78\x01" + deflated_zeros(3 * 2**30) + bytes(4)
    made.id.write_direct_chunk((0, 0), packed)


def _huge_chunk(file: h5py.File, name: str) -> None:
    chunks = (2**14, 2**14)
    made = file.create_dataset(
        name, (9, 4), "f4", chunks=chunks, maxshape=(None, None), compression="gzip"
    )
    made[0, 0] = 1.0


def _elsewhere(file: h5py.File, name: str) -> None:
    file[name] = h5py.ExternalLink(SECRET, "/x")


def _raw_elsewhere(file: h5py.File, name: str) -> None:
    file.create_dataset(name, (9, 4), "u1", external=[(SECRET, 0, 36)])


def _virtual(file: h5py.File, name: str) -> None:
    layout = h5py.VirtualLayout((9, 4), "f4")
    layout[:] = h5py.VirtualSource(SECRET, "x", (9, 4))
    file.create_virtual_dataset(name, layout)


def _loop(file: h5py.File, name: str) -> None:
    file[name] = h5py.SoftLink("/" + name)


def _group(file: h5py.File, name: str) -> None:
    file.create_group(name + "/" + name)


def _texts(file: h5py.File, name: str) -> None:
    file.create_dataset(name, data=["a", "b"], dtype=h5py.string_dtype())


def _references(file: h5py.File, name: str) -> None:
    file.create_dataset(name, data=[file.ref], dtype=h5py.ref_dtype)


def _nothing(file: h5py.File, name: str) -> None:
    file[name] = h5py.Empty("f4")


def _named_type(file: h5py.File, name: str) -> None:
    file[name] = np.dtype("f4")


HDF5_ARRAYS = (
    *(np.full((9, 4), np.nan), np.full((2, 9, 4), np.inf), np.zeros((9, 4), "c8")),
    *(
        np.zeros(()),
        np.zeros((0, 4)),
        np.zeros((2, 9, 4), bool),
        np.full((9, 4), 1e300),
    ),
    *(np.full((2, 9, 4), 2.5), np.full((9, 4), -1), np.zeros((9, 4), "S3")),
    np.zeros((9, 4), [("x", "f4")]),
)


def _array(array: np.ndarray) -> Callable[[h5py.File, str], None]:
    def way(file: h5py.File, name: str) -> None:
        file[name] = array

    return way


HDF5_WAYS: tuple[Callable[[h5py.File, str], None], ...] = (
    *(_never_written, _packed, _bomb, _huge_chunk, _elsewhere, _raw_elsewhere),
    *(_virtual, _loop, _group, _texts, _references, _nothing, _named_type),
    *map(_array, HDF5_ARRAYS),
)


def mutate_mat(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """Holds another variable, or another kind of it."""
    cells = np.empty((1, 2), object)
    cells[:] = "a", np.zeros(3)
    values: tuple[Any, ...] = (
        *(cells, "text", {"a": cells}, np.full((1, 99), np.nan), np.zeros((0, 0))),
        *(np.full((1, 99), 5 + 2j), np.full((1, 3), 5), np.full((1, 99), 1e300)),
    )
    value = values[int(rng.integers(len(values)))]
    stream = io.BytesIO()
    scipy.io.savemat(stream, {"cvind": value}, do_compression=rng.random() < 0.5)
    changed = stream.getvalue()
    if rng.random() < 0.5:
        changed, names = damage(rng, changed)
        return changed, f"mat {type(value).__name__} {names}"
    return changed, f"mat {type(value).__name__}"


class _Command:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, ("touch RAN",)


def mutate_torch(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """Damages the pickle inside, or has another one."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    way = str(rng.choice(["pickle", "pickle", "pickle", "command", "values", "packed"]))
    packing = zipfile.ZIP_DEFLATED if way == "packed" else zipfile.ZIP_STORED
    (name,) = (name for name in members if name.endswith("data.pkl"))
    if way == "pickle":
        members[name], names = damage(rng, members[name])
        way += f" {names}"
    elif way == "command":
        members[name] = pickle.dumps({"x": _Command()}, int(rng.integers(5)))
    elif way == "values":
        name = max(members, key=lambda member: len(members[member]))
        members[name] = np.full(len(members[name]) // 4, np.nan, "<f4").tobytes()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", packing) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return stream.getvalue(), f"torch {way}"


MUTATIONS = {"hdf5": mutate_hdf5, "mat": mutate_mat, "torch": mutate_torch}
