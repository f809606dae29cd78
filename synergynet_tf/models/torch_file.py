"""Safe unpickler of `torch.save` files: reads tensors without torch or arbitrary code.

Such a file is a pickle, which can run any program, and the numbers beside it. Here a
pickle may use only the instructions that describe a dict of tensors, and name only the
four things below; whatever else it holds is refused before it is run.

Since 1.6, torch writes a zip file; before, five pickles in a row and then the numbers,
each storage's after its length.
"""

import io
import math
import pickle
import pickletools
import zipfile
from collections import OrderedDict

import numpy as np

from synergynet_tf.safe_io import read_content

MAX_BYTES = 2**30
_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}
_INSTRUCTIONS = frozenset(
    "PROTO STOP MARK GLOBAL REDUCE BUILD BINPERSID NONE NEWTRUE NEWFALSE BININT "
    "BININT1 BININT2 LONG1 BINUNICODE EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 "
    "EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS BINPUT LONG_BINPUT BINGET "
    "LONG_BINGET".split()
)


def read_tensors(path):
    """Reads a state dict.

    Args:
        path: File of at most `MAX_BYTES`.

    Returns:
        dict from names to arrays, float32 or int64.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is too large or damaged, or holds anything but a dict of
            finite float32 and int64 tensors.
    """
    content = read_content(path, MAX_BYTES)
    read = _read_zip if zipfile.is_zipfile(io.BytesIO(content)) else _read_legacy
    try:
        tensors = _StateDict.plain(read(content))
    except Exception as error:
        # Bytes at random make `pickle`, `zipfile` and NumPy raise anything.
        raise ValueError(f"not a state dict of torch: {error}") from error
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ValueError(f"{name} has NaN or infinite values")
    return tensors


def _read_zip(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        folder = names[0].split("/")[0]

        def member(name):
            # torch compresses nothing; a bomb does.
            if archive.getinfo(f"{folder}/{name}").compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{name} is compressed")
            return archive.read(f"{folder}/{name}")

        def storage(dtype, key, size):
            return np.frombuffer(member(f"data/{key}"), dtype, size)

        if f"{folder}/byteorder" in names and member("byteorder") != b"little":
            raise ValueError("its numbers are big-endian")
        return _load(io.BytesIO(member("data.pkl")), storage)


def _read_legacy(content):
    file = io.BytesIO(content)
    if _load(file) != _MAGIC:
        raise ValueError("it does not begin as one")
    _load(file)  # The version of the format
    if not _load(file)["little_endian"]:
        raise ValueError("its numbers are big-endian")
    # The numbers come last: arrays now, and what they hold below.
    storages = {}

    def storage(dtype, key, size):
        if key not in storages:
            taken = sum(array.nbytes for array in storages.values())
            if taken + size * np.dtype(dtype).itemsize > len(content):
                raise ValueError(f"storage {key} does not fit in the file")
            storages[key] = np.zeros(size, dtype)
        return storages[key]

    tensors = _load(file, storage)
    for key in _load(file):
        size = int.from_bytes(file.read(8), "little")
        if size != storages[key].size:
            raise ValueError(f"storage {key} has {size} elements")
        numbers = file.read(storages[key].nbytes)
        storages[key][:] = np.frombuffer(numbers, storages[key].dtype, size)
    return tensors


def _load(file, storage=None):
    """Runs the next pickle of a file, if it is harmless."""
    start = file.tell()
    for instruction, argument, _ in pickletools.genops(file):
        if instruction.name not in _INSTRUCTIONS:
            raise ValueError(f"it has a pickle with {instruction.name}")
        # A large index makes an unpickler take memory for all before it.
        if instruction.name == "LONG_BINPUT" and argument > file.getbuffer().nbytes:
            raise ValueError(f"it has a pickle with index {argument}")
    file.seek(start)
    return _TensorUnpickler(file, storage).load()


class _TensorUnpickler(pickle.Unpickler):
    """Unpickles tensors and `OrderedDict`; `storage` returns the numbers of one."""

    def __init__(self, file, storage):
        super().__init__(file)
        self._storage = storage

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return _StateDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Rebuild()
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise ValueError(f"it has a pickle with {module}.{name}")

    def persistent_load(self, pid):
        kind, dtype, key, _, size, *_ = pid
        if kind != "storage" or dtype not in _DTYPES.values():
            raise ValueError(f"it has a pickle with {pid}")
        return self._storage(dtype, key, size)


class _StateDict(OrderedDict):
    """Stand-in for an `OrderedDict`: a pickle may not give it attributes."""

    def __setstate__(self, state):
        """Drops the versions of modules, which torch adds."""

    @staticmethod
    def plain(tensors):
        """Returns a dict of tensors by name as a plain dict."""
        if not isinstance(tensors, dict) or not all(
            isinstance(name, str) and isinstance(tensor, np.ndarray)
            for name, tensor in tensors.items()
        ):
            raise ValueError("it has more than tensors")
        return dict(tensors)


class _Rebuild:
    """Stand-in for torch's function: a pickle may call it, and not alter it."""

    __slots__ = ()

    def __call__(self, *arguments):
        return _tensor(*arguments)

    def __setstate__(self, state):
        raise ValueError("it has a pickle that alters a function")


def _tensor(storage, offset, shape, strides, *_):
    """Returns the elements of a storage that a tensor sees, as an array.

    Args:
        storage: array `(size,)`.
        offset: int. The first element.
        shape: tuple of ints.
        strides: tuple of ints, in elements: torch keeps transposed tensors as they are.
    """
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    inside = 0 <= offset and last < storage.size and math.prod(shape) <= storage.size
    if not inside or min(shape + strides, default=1) < 1:
        raise ValueError(f"it has a tensor {shape} with strides {strides}")
    return np.lib.stride_tricks.as_strided(
        storage[offset:], shape, [step * storage.itemsize for step in strides]
    )
