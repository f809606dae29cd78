"""Cached listing of a dataset's files, renewed when a folder changes.

A file that is not used is never dropped without a word: whoever lists a folder adds
it to a list of `PassedOver`, with the reason.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Literal, NamedTuple, TypeVar

from synergynet_tf.safe_io import composed

ResultT = TypeVar("ResultT")
Watch = Callable[[pathlib.Path], None]
Stamp = tuple[int, int, int, int] | None

MAX_ROOTS = 8
# Linux stamps files by a clock that moves on every 10 ms or less; file systems that
# keep whole seconds, such as FAT's, do so every 2 s.
TICK_NS = 50_000_000
COARSE_TICK_NS = 2_000_000_000

# Patients of the cases of one's own data.
PATIENTS_FILE = "patients.csv"
# Files that systems and file managers create, or that come with data.
SYSTEM_NAMES = {".ds_store", "thumbs.db", "desktop.ini", "@eadir", "__macosx"}
DOCUMENTS = (".txt", ".md", ".rst", ".pdf", ".csv", ".tsv", ".xlsx", ".json", ".cff")
# Images and scans of formats that a reader may not take, or not in this folder.
IMAGE_ENDINGS = tuple(
    f".{ending}"
    for ending in (
        "jpg jpeg jpe jfif png bmp dib tif tiff gif webp heic heif avif jp2 j2k jxl "
        "pbm pgm ppm pnm tga exr psd svs ndpi czi dcm dicom ima nii nii.gz nrrd nhdr "
        "mha mhd mgh mgz img mnc npy npz mat h5 hdf5"
    ).split()
)
# First bytes of image and scan files, whatever their names.
SIGNATURES = (
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"II*\0",
    b"MM\0*",
    b"GIF8",
    b"NRRD",
    b"\x5c\x01\0\0",  # NIfTI: the header's length, 348, in either order.
    b"\0\0\x01\x5c",
)
MAX_WALKED = 1000
# Names in a line of `--check`, and in a line before a training.
MAX_LISTED, MAX_SHOWN = 50, 5


class ListingError(ValueError):
    """Error that lists all problems with the files of a dataset.

    Its text is the first problem, and how many there are besides.

    Attributes:
        problems: A line each, of one or more.
        case_ids: The cases that have nothing to do with them.
    """

    def __init__(self, problems: Sequence[str], case_ids: Sequence[str]) -> None:
        self.problems, self.case_ids = tuple(problems), tuple(case_ids)
        more = len(self.problems) - 1
        hint = f" (and {more} more: synergynet data --check)"
        super().__init__(self.problems[0] + (hint if more else ""))


class PassedOver(NamedTuple):
    """A file or folder that is not used.

    Attributes:
        path: Path of the file or folder.
        reason: Reason, as in "<path> is passed over: <reason>".
        kind: `meant`: a user would have meant to include it, a problem for `--check`.
            `expected`: the format or the system brings it. `other`: anything else.
    """

    path: pathlib.Path
    reason: str
    kind: Literal["meant", "other", "expected"] = "meant"


@dataclasses.dataclass(frozen=True)
class Listing:
    """Cases in a dataset's folder, and the files of each.

    Attributes:
        root: The dataset's folder.
        parts: Files of each whole case, for each part in which the files come.
        problems: Faults of the other cases, a line each: no case can be used before
            they are mended.
        passed_over: All else in the folders.
        warnings: Differences from a list that came with the files, a line each.
    """

    root: pathlib.Path
    parts: dict[str, dict[str, list[pathlib.Path]]]
    problems: list[str] = dataclasses.field(default_factory=list)
    passed_over: list[PassedOver] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)

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


def without_ending(name: str, endings: Iterable[str]) -> str | None:
    """Returns a file's name without the ending it has, in whatever case.

    Example:
    >>> (
    ...     without_ending("scan.1.NII.gz", (".nii.gz", ".nii")),
    ...     without_ending("a", [".b"]),
    ... )
    ('scan.1', None)
    """
    for ending in endings:
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return None


def list_files(
    folder: pathlib.Path, endings: Sequence[str], passed_over: list[PassedOver]
) -> list[tuple[str, pathlib.Path]]:
    """Lists the files of a folder that have one of the endings, in whatever case.

    Args:
        folder: Folder to search, without its subfolders.
        endings: Endings in lower case, the longer ones first.
        passed_over: List to which all else in the folder is added.

    Returns:
        Name without ending, and path of each, sorted by the path. Names are in
        Unicode's form NFC, whatever form the system that wrote them uses.

    Raises:
        FileNotFoundError: If there is no such folder.
    """
    found = []
    for path in sorted(folder.iterdir()):
        name = without_ending(path.name, endings)
        if name is None or path.name.startswith(".") or not path.is_file():
            passed_over.append(explain(path, endings))
        else:
            found.append((composed(name), path))
    return found


def list_others(
    folder: pathlib.Path,
    used: Collection[str],
    endings: Sequence[str],
    passed_over: list[PassedOver],
) -> None:
    """Adds what a folder has besides what is used."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name not in used:
            passed_over.append(explain(path, endings))


def explain(path: pathlib.Path, endings: Sequence[str]) -> PassedOver:
    """Says why a path is none of the files with these endings in their folder."""
    name, wanted = path.name.lower(), " ".join(endings)
    if name == PATIENTS_FILE:
        reason = "no place, or no dataset, where a table of patients is read"
        return PassedOver(path, reason)
    if name in SYSTEM_NAMES or name.startswith("._"):
        return PassedOver(path, "left by a file manager", "expected")
    if name.startswith("."):
        return PassedOver(path, "hidden", "other")
    if path.is_symlink() and not path.exists():
        return PassedOver(path, "a link to nothing; restore the file or remove it")
    right = without_ending(name, endings) is not None
    if path.is_dir():
        if _holds(path, endings):
            return PassedOver(path, "a folder that is not looked into; move its files")
        return PassedOver(path, "a folder", "other")
    if not path.is_file():
        reason = "no file, but a pipe or a device"
        return PassedOver(path, reason, "meant" if right else "other")
    if right:
        return PassedOver(path, "no place for it in the expected layout; move it")
    try:
        image = name.endswith(IMAGE_ENDINGS) or _is_image(path)
    except OSError as error:
        return PassedOver(path, f"cannot be read ({error.strerror})")
    if image:
        return PassedOver(path, f"only {wanted} are read here; convert or rename it")
    reason = f"not one of {wanted}"
    if path.suffix.lower() in DOCUMENTS:
        return PassedOver(path, reason, "expected")
    return PassedOver(path, reason, "other")


def _holds(folder: pathlib.Path, endings: Sequence[str]) -> bool:
    """Tells whether there is a file of these endings, or an image, in or below it."""
    walked = 0
    for _, _, names in os.walk(folder):
        kinds = (*endings, *IMAGE_ENDINGS)
        if any(n.lower().endswith(kinds) and not n.startswith(".") for n in names):
            return True
        walked += 1 + len(names)
        if walked > MAX_WALKED:
            return False
    return False


def _is_image(path: pathlib.Path) -> bool:
    """Tells whether a file begins as an image or a scan does."""
    with path.open("rb") as file:
        start = file.read(132)
    packed = start.startswith(b"\x1f\x8b") and "nii" in path.name.lower()
    named = start[8:12] == b"WEBP" or start[128:] == b"DICM"
    return start.startswith(SIGNATURES) or packed or named


def plain(path: pathlib.Path | str) -> str:
    """Returns a path as it can be printed."""
    text = str(path)
    return text if text.isprintable() else f"{text!a}"


def lines(passed_over: Iterable[PassedOver]) -> list[str]:
    """Returns a line for each folder and reason, which names the files."""
    groups: dict[tuple[pathlib.Path, str], list[pathlib.Path]] = {}
    for path, reason, _ in passed_over:
        groups.setdefault((path.parent, reason), []).append(path)
    found = []
    for (folder, reason), paths in groups.items():
        if len(paths) == 1:
            found.append(f"{plain(paths[0])} is passed over: {reason}")
            continue
        names = [plain(path.name) for path in paths]
        found.append(
            f"{plain(folder)}: {len(paths)} files are passed over, "
            f"{first_of(names, MAX_LISTED)}: {reason}"
        )
    return found


def summary(passed_over: Iterable[PassedOver]) -> str:
    """Returns one short line on what is not expected to be passed over, or `""`."""
    entries = [entry for entry in passed_over if entry.kind != "expected"]
    entries.sort(key=lambda entry: entry.kind != "meant")
    if not entries:
        return ""
    groups: dict[str, list[str]] = {}
    for path, reason, _ in entries:
        name = plain(f"{path.parent.name}/{path.name}")
        groups.setdefault(reason.partition(";")[0], []).append(name)
    shown = [f"{first_of(names, MAX_SHOWN)} ({why})" for why, names in groups.items()]
    count = "1 file is" if len(entries) == 1 else f"{len(entries)} files are"
    return f"{count} passed over: {'; '.join(shown)}"


def first_of(names: Sequence[str], count: int) -> str:
    """Joins names; of many the first ones, and how many more there are.

    Example:
    >>> first_of(["a", "b", "c"], 3), first_of(["a", "b", "c"], 2)
    ('a, b, c', 'a, b and 1 more')
    """
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more


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
                if all(file_stamp(path) == stamp for path, stamp in stamps.items()):
                    kept[root] = result, stamps
                    return result
            stamps, settled = {}, [True]

            def watch(path: pathlib.Path) -> None:
                if path not in stamps:
                    stamps[path] = file_stamp(path)
                    settled[0] &= is_settled(stamps[path])

            result = read(root, watch)
            if settled[0]:
                kept[root] = result, stamps
                if len(kept) > MAX_ROOTS:
                    del kept[next(iter(kept))]
            return result

    # Its signature is its own: `watch` is not the caller's.
    del vars(read_once)["__wrapped__"]
    return read_once


def find_file(folder: str | pathlib.Path, name: str) -> pathlib.Path | None:
    """Returns the entry of a folder with a name, in whatever case; a broken link, too.

    Args:
        folder: Folder to search; it need not be there.
        name: Name in lower case.
    """
    return _by_name(folder).get(name)


@cached
def _by_name(folder: pathlib.Path, watch: Watch) -> dict[str, pathlib.Path]:
    """Returns the entries of a folder by their names in lower case."""
    watch(folder)
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    # Capitals come first, so that a name in lower case is the one that stays.
    return {path.name.lower(): path for path in paths}


def file_stamp(path: pathlib.Path) -> Stamp:
    """Returns what changes with a folder's entries or a file's content."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def is_settled(stamp: Stamp) -> bool:
    """Tells whether a change from now on will have another time."""
    if stamp is None:
        return True
    changed = stamp[-1]
    tick = TICK_NS if changed % 10**9 else COARSE_TICK_NS
    # A time in the future is of another clock, such as a file server's.
    return abs(time.time_ns() - changed) > tick
