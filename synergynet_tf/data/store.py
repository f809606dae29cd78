"""Prepared store: a part of a dataset at the network's size, in memory-mapped files.

Images are decoded and resized once, not once an epoch, and runs share the result. A
store is a folder in $SYNERGYNET_CACHE, else ~/.cache/synergynet_tf:

    <key>/images.bin    float16 (images, S, S, channels), in [0, 1]
          labels.bin    uint8 (images, S, S)
          index.json    the shape of `images`, the case of each image, the checksums,
                        and why a case shows the network next to nothing

The key is a hash of everything that the content depends on, so a store is never out
of date; it may be deleted at any time. It appears under its key when it is complete.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import errno
import functools
import hashlib
import json
import math
import os
import pathlib
import re
import shutil
import socket
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import tqdm

from synergynet_tf.config import DataConfig
from synergynet_tf.data import DATASETS
from synergynet_tf.data.cache import cache_dir
from synergynet_tf.data.preprocess import Preprocessor
from synergynet_tf.data.spec import Case
from synergynet_tf.data.splits import complete, data_root, part_ids
from synergynet_tf.parallel import usable_cores
from synergynet_tf.safe_io import read_json, require_file

# Raise it whenever the prepared arrays of the same files change: a reader, the
# phantom, the preprocessing or the layout above.
VERSION = 4
# Images of 200 megapixels take gigabytes while they are read.
MAX_THREADS = 8
FILES = ("images.bin", "labels.bin")
BLOCK_BYTES = 2**22
# Name of an unfinished store: its key, the machine, and letters of `tempfile`.
UNFINISHED = re.compile(r"\.[0-9a-f]{32}-(?:(?P<machine>.+)-)?[^-]+")
# Age at which an unfinished store of another machine counts as abandoned: locks may not
# reach that far.
PATIENCE_S = 86400

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


# From a case id to the case's images and labels as they are stored.
Prepare = Callable[[str], tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True, eq=False)
class Store:
    """Images and labels of a part, one slice after the other.

    Attributes:
        images: float16 `(images, S, S, channels)` in [0, 1]; 1 channel for gray
            volumes, 3 for photographs. Memory-mapped, read-only.
        labels: uint8 `(images, S, S)`. Memory-mapped, read-only.
        case_ids: Case ID of each image.
        faint: Reason, by case ID, for each case that shows the network next to nothing.
        checksums: CRC-32 of images and of labels; none if these are not of files.
    """

    images: np.ndarray
    labels: np.ndarray
    case_ids: tuple[str, ...]
    faint: Mapping[str, str] = dataclasses.field(default_factory=dict)
    checksums: tuple[int, ...] = ()


def open_store(data: DataConfig, part: str, image_size: int) -> Store:
    """Opens the store of `train`, `val` or `test`; builds it if it is not there.

    Raises:
        FileNotFoundError: If the data is not there.
        ValueError: If a case cannot be read, or the split is impossible.
        OSError: If the store cannot be written.
    """
    data = complete(data)
    return open_cases(data, part, part_ids(data, part), image_size)


def open_cases(
    data: DataConfig, part: str, case_ids: Sequence[str], image_size: int
) -> Store:
    """Opens the store of a part whose cases are known, as `open_store` does.

    Args:
        data: Complete data settings, as `splits.complete` returns them.
        part: Name of the part, to be printed.
        case_ids: IDs of its cases.
        image_size: Height and width of the network's input.
    """
    folder = cache_dir() / _key(data, case_ids, image_size)
    if folder.exists():
        try:
            return open_folder(folder)
        except (OSError, ValueError, KeyError, TypeError) as error:
            print(f"{folder} is damaged ({error}); building it again", file=sys.stderr)
            shutil.rmtree(folder, ignore_errors=True)

    dataset, root = DATASETS[data.dataset], data_root(data)
    preprocessor = Preprocessor(
        data.modality, image_size, data.channels, data.center_crop
    )
    faint: dict[str, str] = {}
    cut_off: list[np.ndarray] = []  # One per case, in any order; only with a crop.

    def prepare(case_id: str) -> tuple[np.ndarray, np.ndarray]:
        case = dataset.read_case(root, case_id)
        if data.center_crop < 1:
            cut_off.append(_cut_off(case.label, preprocessor))
        prepared = _prepare(case, preprocessor)
        if reason := preprocessor.faint(case.image):
            faint[case_id] = reason
        return prepared

    _build(folder, prepare, case_ids, f"prepare {part}", faint)
    if cut_off and (cut := np.concatenate(cut_off)).any():
        print(
            f"warning: --center-crop {data.center_crop:g} cuts off foreground of "
            f"{cut.sum()} of {len(cut)} images of {part}; scores count it as missed",
            file=sys.stderr,
        )
    return open_folder(folder)


def _key(data: DataConfig, case_ids: Sequence[str], image_size: int) -> str:
    dataset, root = DATASETS[data.dataset], data_root(data)
    files = []
    resolve = functools.cache(pathlib.Path.resolve)  # Folders once, not once a file.
    for path in sorted({p for i in case_ids for p in dataset.case_files(root, i)}):
        status = path.stat()
        whole = (
            path.resolve() if path.is_symlink() else resolve(path.parent) / path.name
        )
        files.append([str(whole), status.st_size, status.st_mtime_ns])
    how = [dataset.class_names(root), data.modality, data.channels, image_size]
    if data.center_crop < 1:  # Else the key is that of versions without a crop.
        how.append(data.center_crop)
    content = [VERSION, data.dataset, how, case_ids, files]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def _prepare(case: Case, preprocessor: Preprocessor) -> tuple[np.ndarray, np.ndarray]:
    """Returns a case at the network's size, images as float16."""
    try:
        images = preprocessor.images(case.image)
    except ValueError as error:
        raise ValueError(f"Case {case.case_id}: {error}") from error
    # Gray volumes stay at one channel; photographs may be gray and colored in turn.
    count = len(preprocessor.channels.split()) or case.image.shape[-1]
    if preprocessor.modality != "rgb" and count == 1:
        images = images[..., :1]
    return images.astype(np.float16), preprocessor.labels(case.label)


def _cut_off(label: np.ndarray, preprocessor: Preprocessor) -> np.ndarray:
    """Tells of each slice whether the center crop cuts off foreground."""
    outside = label > 0
    _, rows, columns = outside.shape
    outside[(slice(None), *preprocessor.box(rows, columns))] = False
    return np.asarray(outside.any(axis=(1, 2)))


def _build(
    folder: pathlib.Path,
    prepare: Prepare,
    case_ids: Sequence[str],
    title: str,
    faint: Mapping[str, str],
) -> None:
    """Writes a store beside its place, then renames it."""
    cache = folder.parent
    with contextlib.ExitStack() as stack:
        try:
            cache.mkdir(parents=True, exist_ok=True)
            # Nobody sweeps between the making of the folder and its lock.
            with _locked(cache, wait=True):
                _sweep(cache)
                prefix = f".{folder.name}-{socket.gethostname()}-"
                space = tempfile.TemporaryDirectory(prefix=prefix, dir=cache)
                temporary = stack.enter_context(space)
                stack.enter_context(_locked(pathlib.Path(temporary)))
            built = pathlib.Path(temporary, "store")
            built.mkdir()
        except OSError as error:
            raise _cannot_write(cache, error) from error
        try:
            _write(built, prepare, case_ids, title, faint)
        except OSError as error:
            # Any other error is about a file of the dataset, and names it.
            if error.errno == errno.ENOSPC:
                raise _cannot_write(cache, error) from error
            raise
        try:
            built.rename(folder)
        except OSError:
            if not folder.exists():
                raise
            # Another process was faster; its store has the same content.


def _sweep(cache: pathlib.Path) -> None:
    """Removes unfinished stores that killed processes have left in the cache.

    A running process holds its store's lock. Where locks are not supported, or may not
    reach from one machine to another, nothing is removed before its time.
    """
    for path in cache.iterdir():
        found = UNFINISHED.fullmatch(path.name)
        if not found or path.is_symlink() or not path.is_dir():
            continue
        here = found["machine"] == socket.gethostname()
        # Another process may remove it first.
        with contextlib.suppress(OSError), _locked(path) as locked:
            if locked and (here or time.time() - _touched(path) > PATIENCE_S):
                shutil.rmtree(path, ignore_errors=True)


def _touched(folder: pathlib.Path) -> float:
    """Returns when something in a folder was last written to."""
    return max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))


@contextlib.contextmanager
def _locked(folder: pathlib.Path, wait: bool = False) -> Iterator[bool]:
    """Locks a folder until the block or the process ends; yields whether it could.

    Args:
        folder: Existing folder to lock.
        wait: Whether to wait for another process that holds the lock.
    """
    if fcntl is None:
        yield False
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            locked = True
        except OSError:  # Held by another, or not supported by this file system.
            locked = False
        yield locked
    finally:
        os.close(descriptor)


def _cannot_write(cache: pathlib.Path, error: OSError) -> OSError:
    return OSError(
        f"Cannot write prepared images to {cache} ({error.strerror}); set "
        "$SYNERGYNET_CACHE to a folder with room that can be written"
    )


def _write(
    folder: pathlib.Path,
    prepare: Prepare,
    case_ids: Sequence[str],
    title: str,
    faint: Mapping[str, str],
) -> None:
    owners: list[str] = []
    pool = concurrent.futures.ThreadPoolExecutor(min(usable_cores(), MAX_THREADS))
    try:
        with (
            open(folder / FILES[0], "wb") as images_file,
            open(folder / FILES[1], "wb") as labels_file,
        ):
            cases = zip(case_ids, pool.map(prepare, case_ids), strict=True)
            for case_id, (images, labels) in tqdm.tqdm(
                cases, desc=title, total=len(case_ids), unit="case"
            ):
                images_file.write(images.tobytes())
                labels_file.write(labels.tobytes())
                owners += [case_id] * len(labels)
            for file in (images_file, labels_file):
                file.flush()
                os.fsync(file.fileno())
    finally:
        pool.shutdown(cancel_futures=True)
    _write_index(folder, [len(owners), *images.shape[1:]], owners, faint)


def _write_index(
    folder: pathlib.Path,
    shape: Sequence[int],
    owners: Sequence[str],
    faint: Mapping[str, str],
) -> None:
    checksums = [_checksum(folder / name) for name in FILES]
    index = {"shape": list(shape), "case_ids": list(owners), "crc32": checksums}
    index["faint"] = dict(sorted(faint.items()))
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


def copy_store(store: Store, folder: pathlib.Path) -> None:
    """Writes a store as a folder of its own, which `open_folder` reads."""
    folder.mkdir()
    for name, array in zip(FILES, (store.images, store.labels), strict=True):
        array.tofile(folder / name)
    _write_index(folder, store.images.shape, store.case_ids, store.faint)


def _checksum(path: pathlib.Path) -> int:
    """Returns the CRC-32 of a file. Training is about to read all of it anyway."""
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            checksum = zlib.crc32(block, checksum)
    return checksum


def open_folder(folder: pathlib.Path) -> Store:
    """Opens a store by its folder.

    Raises:
        OSError, ValueError, KeyError, TypeError: If it is damaged.
    """
    index = read_json(folder / "index.json")
    shape, owners = tuple(index["shape"]), tuple(index["case_ids"])
    sides = len(shape) == 4 and all(type(side) is int and side > 0 for side in shape)
    if not sides or len(owners) != shape[0] or not {*map(type, owners)} <= {str}:
        raise ValueError(f"index.json: {len(owners)} cases for images of {shape}")
    arrays, checksums = [], dict(zip(FILES, index["crc32"], strict=True))
    for name, array_shape, dtype in (
        (FILES[0], shape, np.dtype(np.float16)),
        (FILES[1], shape[:3], np.dtype(np.uint8)),
    ):
        size = require_file(folder / name)
        expected = math.prod(array_shape) * dtype.itemsize
        if size != expected:
            raise ValueError(f"{name}: {size} bytes, not {expected}")
        if _checksum(folder / name) != checksums[name]:
            raise ValueError(f"{name}: its checksum is wrong")
        arrays.append(np.memmap(folder / name, dtype, "r", shape=array_shape))
    faint = dict(index.get("faint", {}))
    return Store(arrays[0], arrays[1], owners, faint, tuple(index["crc32"]))
