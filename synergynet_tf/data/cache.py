"""Cache on disk: prepared stores, and what was read of files that take long to open.

It is the folder $SYNERGYNET_CACHE, else ~/.cache/synergynet_tf, and may be deleted at
any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from synergynet_tf.data.listing import file_stamp, is_settled
from synergynet_tf.safe_io import read_json


def cache_dir() -> pathlib.Path:
    """Returns the cache's folder, which need not be there.

    Raises:
        OSError: If it is not named and there is no home folder.
    """
    if named := os.environ.get("SYNERGYNET_CACHE"):
        return pathlib.Path(named)
    try:
        return pathlib.Path.home() / ".cache" / "synergynet_tf"
    except RuntimeError as error:  # A user without a home folder, as in containers.
        raise OSError(
            "There is no home folder for prepared images; name a folder for them in "
            "SYNERGYNET_CACHE"
        ) from error


def of_files(
    name: str, paths: Sequence[pathlib.Path], read: Callable[[pathlib.Path], str]
) -> list[str]:
    """Reads a text of each file, or takes that of an earlier process.

    A text is valid while the size and the time of its file are unchanged. A cache that
    is missing, damaged or not writable counts as empty.

    Args:
        name: Name of the cache, whose file is named after it and the folder of the
            first path.
        paths: The files.
        read: Function that reads the text of one file.
    """
    if not paths:
        return []
    folder = paths[0].parent.resolve()
    key = hashlib.sha256(str(folder).encode("utf-8", "surrogateescape")).hexdigest()
    file = cache_dir() / f"{name}-{key[:32]}.json"
    known = _load(file)
    texts: list[str] = []
    kept: dict[str, list[Any]] = {}
    for path in paths:
        stamped = file_stamp(path)
        entry = None if stamped is None else [*stamped[2:]]
        place = os.path.relpath(path, paths[0].parent)
        text = known[place][1] if place in known and known[place][0] == entry else None
        if text is None:
            text = read(path)
        texts.append(text)
        if is_settled(stamped):  # Else a second change could have the same time.
            kept[place] = [entry, text]
    if kept != known:
        _save(file, kept)
    return texts


def _load(file: pathlib.Path) -> dict[str, list[Any]]:
    """Returns size and time, and the text, of each file; nothing if it is damaged."""
    try:
        values = read_json(file)
        return {
            str(place): [entry, text]
            for place, (entry, text) in values.items()
            if isinstance(entry, list) and isinstance(text, str)
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _save(file: pathlib.Path, kept: dict[str, list[Any]]) -> None:
    """Writes the file whole, or not at all where the cache cannot be written."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{file.stem}-", dir=file.parent) as t:
            temporary = pathlib.Path(t, file.name)
            temporary.write_text(json.dumps(kept), encoding="utf-8")
            os.replace(temporary, file)
