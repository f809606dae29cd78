"""Atomic files: written whole or not at all, and checked for damage."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import math
import os
import pathlib
import re
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from synergynet_tf.safe_io import require_file

_BLOCK = 2**20
# Largest first line of a table that is looked at.
MAX_COLUMNS_BYTES = 2**16


def write_text(path: str | pathlib.Path, text: str) -> None:
    """Writes a text file whole or not at all."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | pathlib.Path, value: Any) -> None:
    """Writes indented JSON whole or not at all; refuses `nan` and infinities.

    Raises:
        ValueError: If `value` holds a number that JSON has no word for.
    """
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_csv(path: str | pathlib.Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes a table, whole or not at all; the first row's keys are the columns."""
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    write_text(path, text.getvalue())


def read_columns(path: str | pathlib.Path) -> list[str]:
    """Returns the columns of a table that `write_csv` wrote.

    They tell whether a file is of an earlier call, which may be replaced. Of a file of
    another kind they are some text, or none.

    Raises:
        OSError: If it cannot be read.
    """
    require_file(path)
    with open(path, "rb") as file:
        line = file.readline(MAX_COLUMNS_BYTES).decode(errors="replace")
    return next(csv.reader([line.rstrip("\r\n")]), [])


@contextlib.contextmanager
def atomic_file(path: str | pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives a temporary path beside `path` that takes its place on success.

    The temporary name keeps every suffix, because some writers look at it. It is
    removed if the block fails. On success both the content and the name are on the
    disk, not only on their way there.

    Raises:
        OSError: If it cannot be written; names `path` and the reason.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        # Another name is that of a file which the block has read.
        ours = {None, str(temporary), str(path.parent)}
        named = error.filename if error.filename is None else str(error.filename)
        if error.errno is None or named not in ours:
            raise
        reason = os.strerror(error.errno)
        raise type(error)(f"{path} cannot be written ({reason})") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def remove_temporaries(folder: str | pathlib.Path) -> None:
    """Removes the temporary files that killed writers have left in a folder."""
    for path in pathlib.Path(folder).glob(".*"):
        if re.fullmatch(r"\.[0-9a-f]{8}\..+", path.name):
            path.unlink(missing_ok=True)


def require_room(folder: str | pathlib.Path, size: int) -> None:
    """Refuses to begin a write for which there is no room.

    For writers that fail badly on a full disk, as HDF5 does.

    Args:
        folder: Existing folder to write to.
        size: Size of the write in bytes.

    Raises:
        OSError: If there is no room.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            raise OSError(
                f"{folder} has no room for {size / 2**20:.1f} MiB ({error.strerror})"
            ) from error


def require_writable(folder: str | pathlib.Path, flag: str) -> None:
    """Refuses a folder in which nothing can be written, or that cannot be made.

    It tries: permissions alone do not tell for every user and file system.

    Args:
        folder: The folder, which may not be there yet.
        flag: The command's flag that named it.

    Raises:
        PermissionError: If nothing can be written there.
    """
    folder = pathlib.Path(folder)
    above = (folder, *folder.absolute().parents)
    # Not even a drive need be there.
    there = next((path for path in above if path.exists()), above[-1])
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise PermissionError(
            f"{flag}: {folder} cannot be written: {there} is not a folder that can be "
            f"written to ({error.strerror}); name another"
        ) from error


def sha256(path: str | pathlib.Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal digits.

    Raises:
        OSError: If it is no file, but a pipe or a device, or cannot be read.
    """
    require_file(path)
    with open(path, "rb") as file:
        return _sha256(file).hexdigest()


def seal(path: str | pathlib.Path) -> None:
    """Appends its SHA-256 to a file of a format that bears it, such as `.npz`."""
    digest = bytes.fromhex(sha256(path))
    with open(path, "ab") as file:
        file.write(digest)


def check_seal(path: str | pathlib.Path) -> None:
    """Refuses a file that is not, to the last bit, what was sealed.

    Raises:
        OSError: In the cases of `sha256`.
        ValueError: If it is not.
    """
    require_file(path)
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size - hashlib.sha256().digest_size
        if size < 0 or _sha256(file, size).digest() != file.read():
            raise ValueError("it is not what was written")


def _sha256(file: BinaryIO, size: float = math.inf) -> Any:
    """Hashes the next `size` bytes of a file, or what there is."""
    digest = hashlib.sha256()
    while block := file.read(int(min(size, _BLOCK))):
        digest.update(block)
        size -= len(block)
    return digest


def _sync_folder(folder: pathlib.Path) -> None:
    """Brings a new name to the disk, where the file system knows how."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
