"""Cached listing of a dataset's files, renewed when a folder changes."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from synergynet_tf.data.spec import ListingError

ResultT = TypeVar("ResultT")
Watch = Callable[[pathlib.Path], None]
Stamp = tuple[int, int, int, int] | None

MAX_ROOTS = 8
# Linux stamps files by a clock that moves on every 10 ms or less; file systems that
# keep whole seconds, such as FAT's, do so every 2 s.
TICK_NS = 50_000_000
COARSE_TICK_NS = 2_000_000_000


@dataclasses.dataclass(frozen=True)
class Listing:
    """Cases in a dataset's folder, and the files of each.

    Attributes:
        root: The dataset's folder.
        parts: For each part in which the files come, the files of each whole case.
        problems: What is wrong with the others, a line each.
    """

    root: pathlib.Path
    parts: dict[str, dict[str, list[pathlib.Path]]]
    problems: list[str] = dataclasses.field(default_factory=list)

    def part_ids(self) -> dict[str, list[str]]:
        """Returns the sorted case ids of each part.

        Raises:
            ListingError: If there are problems.
        """
        if self.problems:
            ids = [case_id for cases in self.parts.values() for case_id in cases]
            raise ListingError(self.problems, ids)
        return {part: sorted(cases) for part, cases in self.parts.items()}

    def case_ids(self) -> list[str]:
        """Returns the sorted case ids of all parts.

        Raises:
            ListingError: If there are problems.
        """
        return sorted(case_id for ids in self.part_ids().values() for case_id in ids)

    def files(self, case_id: str) -> list[pathlib.Path]:
        """Returns the files of a case, whatever is wrong with others.

        Raises:
            FileNotFoundError: If there is no such case.
        """
        for cases in self.parts.values():
            if case_id in cases:
                return list(cases[case_id])
        raise FileNotFoundError(f"No whole case {case_id} in {self.root}")


def cached(
    read: Callable[[pathlib.Path, Watch], ResultT],
) -> Callable[[str | pathlib.Path], ResultT]:
    """Keeps the result of `read(root, watch)` until something that it watched changes.

    `read` calls `watch(path)` on each folder before it lists it, and on each file
    before it reads it, whether or not the path is there. The result is shared by all
    callers, so they must not change it. What was changed just now is not kept, because
    a second change in the same tick of the file system's clock would not show; an
    error is not kept either.
    """
    kept: dict[pathlib.Path, tuple[ResultT, dict[pathlib.Path, Stamp]]] = {}
    lock = threading.Lock()

    @functools.wraps(read)
    def read_once(root: str | pathlib.Path) -> ResultT:
        root = pathlib.Path(root)
        with lock:
            if root in kept:
                result, stamps = kept.pop(root)
                if all(_stamp(path) == stamp for path, stamp in stamps.items()):
                    kept[root] = result, stamps
                    return result
            stamps, settled = {}, [True]

            def watch(path: pathlib.Path) -> None:
                if path not in stamps:
                    stamps[path] = _stamp(path)
                    settled[0] &= _is_settled(stamps[path])

            result = read(root, watch)
            if settled[0]:
                kept[root] = result, stamps
                if len(kept) > MAX_ROOTS:
                    del kept[next(iter(kept))]
            return result

    return read_once


def _stamp(path: pathlib.Path) -> Stamp:
    """Returns what changes with a folder's entries or a file's content."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _is_settled(stamp: Stamp) -> bool:
    """Tells whether a change from now on will have another time."""
    if stamp is None:
        return True
    changed = stamp[-1]
    tick = TICK_NS if changed % 10**9 else COARSE_TICK_NS
    # One in the future is of another clock, such as a file server's.
    return abs(time.time_ns() - changed) > tick
