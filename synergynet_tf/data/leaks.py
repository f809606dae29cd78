"""Images that are in two places: copies between folders, or parts of a dataset.

Two images are the same if all their voxels are; of volumes, single slices are compared,
too. Copies that were resized, encoded anew or recolored are found by their thumbnails:

    t    = 16 x 16 gray means of the image, of a volume 8 of them along its slices
    f    = (t - blurred t), minus its mean, divided by its norm
    alike = f1 . f2 >= 0.96

Without what the blur leaves (a vignette, a lesion in the middle), unrelated images of
one kind differ more than copies do. The second image is also tried turned and mirrored
in all 8 ways. Thumbnails of neighboring slices of one scan, saved as images, are alike,
too; so are two photographs of one lesion from one place. docs/guides/data.md has how
many false alarms there were.
"""

from __future__ import annotations

import functools
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from synergynet_tf.config import DataConfig
from synergynet_tf.data import DATASETS, images, volumes
from synergynet_tf.data.check import digest, map_cases
from synergynet_tf.data.datasets.folder import MASK_ENDINGS
from synergynet_tf.data.listing import (
    MAX_SHOWN,
    PassedOver,
    first_of,
    list_files,
    plain,
    summary,
    without_ending,
)
from synergynet_tf.data.spec import PARTS
from synergynet_tf.data.splits import data_root, split_ids

SIDE, DEPTH = 16, 8
BLUR = 1.0  # Standard deviation in pixels of the thumbnail.
ALIKE = 0.96
# Rows of the table of all pairs that are computed at once.
BLOCK = 1024
ENDINGS = (*volumes.ENDINGS, *images.KINDS)
UNUSED = "no part"


class Image(NamedTuple):
    """Digests and thumbnail of an image or a volume.

    Attributes:
        name: Name of its file or of its case.
        place: Folder or part that it is in.
        owner: ID of the patient; empty if unknown.
        digest: Digest of the voxels, equal for equal images; empty if the image shows
            nothing, because it has one or two values.
        slices: Digest of each slice of a volume that shows something.
        thumbnail: float32 `(256,)`, for a volume `(2048,)`, of norm 1.
        problem: Reason why it cannot be read, or `""`.
    """

    name: str
    place: str
    owner: str = ""
    digest: str = ""
    slices: tuple[str, ...] = ()
    thumbnail: np.ndarray | None = None
    problem: str = ""

    def __str__(self) -> str:
        # The cases of some datasets are named after their part.
        named = self.name.startswith(f"{self.place}/")
        return plain(self.name if named else f"{self.place}/{self.name}")


class Copy(NamedTuple):
    """Two images that are the same, share slices, or are alike.

    Attributes:
        first: One of the two images.
        second: The other image.
        how: Description of the likeness, in words.
    """

    first: Image
    second: Image
    how: str

    @property
    def is_leak(self) -> bool:
        """Whether they are in two places."""
        return self.first.place != self.second.place

    def __str__(self) -> str:
        kind = "leak" if self.is_leak else "duplicate"
        return f"{kind}: {self.first} and {self.second}: {self.how}"


class Leaks(NamedTuple):
    """Result of a search.

    Attributes:
        images: All that were looked at.
        copies: Leaks before duplicates.
        notes: A line each on what was not compared.
    """

    images: list[Image]
    copies: list[Copy]
    notes: list[str]

    def __str__(self) -> str:
        found = [str(copy) for copy in self.copies]
        found += [f"problem: {own.problem}" for own in self.images if own.problem]
        found += [f"note: {line}" for line in self.notes]
        leaks = sum(copy.is_leak for copy in self.copies)
        places = list(dict.fromkeys(own.place for own in self.images))
        between = f"{_counted(leaks, 'leak')} between them, "
        found.append(
            f"{_counted(len(self.images), 'image')} in {' and '.join(places)}: "
            f"{between if len(places) > 1 else ''}"
            f"{_counted(len(self.copies) - leaks, 'duplicate')}"
        )
        return "\n".join(found)


def find_leaks_of_folders(folders: Sequence[str], workers: int) -> Leaks:
    """Looks for copies between the images of two folders, or within one.

    Folders below them are looked into. Label maps are passed over: those whose names
    end so, and those in nnU-Net's and the Decathlon's folders of labels.

    Args:
        folders: One or two folders.
        workers: Number of processes that read; 0 for none.

    Raises:
        FileNotFoundError: If there is no such folder, or no image in it.
        ValueError: If they are one folder, or one is in the other.
        OSError: If a process died.
    """
    roots = [pathlib.Path(folder) for folder in folders]
    resolved = [root.resolve() for root in roots]
    if len(roots) == 2 and (
        resolved[0].is_relative_to(resolved[1])
        or resolved[1].is_relative_to(resolved[0])
    ):
        raise ValueError(
            f"--leaks needs two folders, or one alone: {roots[0]} and {roots[1]} "
            "share their files"
        )
    files: list[tuple[str, pathlib.Path]] = []
    passed_over: list[PassedOver] = []
    for root in roots:
        if not root.is_dir():
            raise FileNotFoundError(f"No folder {root}; name one with --leaks")
        own = _list(root, passed_over)
        if not own:
            raise FileNotFoundError(f"No images ({' '.join(ENDINGS)}) in {root}")
        files += [(str(root), path) for path in own]
    notes = [line] if (line := summary(passed_over)) else []
    found = list(map_cases(_read_file, files, workers, "read"))
    return _search(found, notes)


def find_leaks_of_dataset(data: DataConfig, workers: int) -> Leaks:
    """Looks for copies between and within the parts of a dataset.

    Two cases of one patient are in one part and may be alike; only if they are the
    same or share slices, they are listed.

    Raises:
        FileNotFoundError: If the data is not there.
        ValueError: If its cases cannot be listed, or not be split as asked.
        OSError: If a process died.
    """
    dataset, root = DATASETS[data.dataset], data_root(data)
    owners, parts = dataset.patients(root), split_ids(data)
    place = {case_id: part for part in PARTS for case_id in parts[part]}
    cases = [
        (case_id, place.get(case_id, UNUSED), owners[case_id])
        for case_id in dataset.case_ids(root)
    ]
    # The part that a network learns from comes first.
    cases.sort(key=lambda case: (*PARTS, UNUSED).index(case[1]))
    read = functools.partial(_read_case, data.dataset, root)
    return _search(list(map_cases(read, cases, workers, "read")), [])


def _list(root: pathlib.Path, passed_over: list[PassedOver]) -> list[pathlib.Path]:
    """Lists the images in a folder and below it."""
    found = []
    others: list[PassedOver] = []
    for folder, below, _ in os.walk(root, onerror=_refuse):
        # In order, and without what is hidden; both are said of their own folder.
        below[:] = sorted(name for name in below if not name.startswith("."))
        for stem, path in list_files(pathlib.Path(folder), ENDINGS, others):
            if _is_label_map(root, stem, path):
                reason = "by its name a label map"
                passed_over.append(PassedOver(path, reason, "other"))
            else:
                found.append(path)
    # A folder that is no link is looked into.
    passed_over += [o for o in others if o.path.is_symlink() or not o.path.is_dir()]
    return found


def _refuse(error: OSError) -> None:
    """Raises the error of a folder that cannot be listed, which `os.walk` ignores."""
    raise error


def _is_label_map(root: pathlib.Path, stem: str, path: pathlib.Path) -> bool:
    folders = path.relative_to(root).parts[:-1]
    endings = [ending for ending in MASK_ENDINGS if ending]
    in_labels = any(name.startswith("labelsT") for name in folders)
    return in_labels or without_ending(stem, endings) is not None


def _read_file(file: tuple[str, pathlib.Path]) -> Image:
    """Reads an image of a folder."""
    place, path = file
    name = str(path.relative_to(place))
    try:
        if volumes.ending(path):
            voxels = volumes.read(path).array
            voxels = voxels.reshape(*voxels.shape[:3], -1)
        else:
            voxels = images.read_image(path)
    except (OSError, ValueError, MemoryError) as error:
        return Image(name, place, problem=str(error) or type(error).__name__)
    return _describe(voxels, name, place, "")


def _read_case(name: str, root: pathlib.Path, case: tuple[str, str, str]) -> Image:
    """Reads the image of a case."""
    case_id, part, owner = case
    try:
        voxels = DATASETS[name].read_case(root, case_id).image
    except (OSError, ValueError, MemoryError) as error:
        return Image(case_id, part, owner, problem=str(error) or type(error).__name__)
    return _describe(voxels, case_id, part, owner)


def _describe(voxels: np.ndarray, name: str, place: str, owner: str) -> Image:
    """Computes digests and thumbnail of voxels `(slices, rows, columns, channels)`."""
    if not _shows(voxels):
        return Image(name, place, owner)
    slices = voxels if len(voxels) > 1 else ()
    return Image(
        name,
        place,
        owner,
        digest(voxels),
        tuple(digest(pixels) for pixels in slices if _shows(pixels)),
        flat_thumbnail(make_thumbnail(voxels)),
    )


def make_thumbnail(voxels: np.ndarray) -> np.ndarray:
    """Makes the thumbnail of an image or of a volume.

    Args:
        voxels: float32 `(slices, rows, columns, channels)`; three channels are RGB, of
            others the first one counts.

    Returns:
        float32 `(1, 16, 16)`, or `(8, 16, 16)` of several slices; without blurred self.
    """
    thumbnails = []
    for pixels in voxels:
        rgb = pixels.shape[-1] == 3
        gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if rgb else pixels[..., 0]
        small = cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        thumbnails.append(small - cv2.GaussianBlur(small, (0, 0), BLUR))
    stack = np.stack(thumbnails)
    if len(stack) == 1:
        return stack
    # Along the slices: each pixel of a thumbnail is a column.
    method = cv2.INTER_AREA if len(stack) > DEPTH else cv2.INTER_LINEAR
    flat = stack.reshape(len(stack), -1)
    resized = cv2.resize(flat, (SIDE * SIDE, DEPTH), interpolation=method)
    return resized.reshape(DEPTH, SIDE, SIDE)


def flat_thumbnail(thumbnail: np.ndarray) -> np.ndarray:
    """Returns a thumbnail as a vector of mean 0 and norm 1, or of zeros."""
    centered = thumbnail.ravel() - thumbnail.mean()
    norm = np.linalg.norm(centered)
    return centered / norm if norm > 0 else centered


def turned(thumbnails: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yields flat thumbnails turned and mirrored in all 8 ways, and how.

    Args:
        thumbnails: float32 `(n, 256)` or `(n, 2048)`.
    """
    squares = thumbnails.reshape(len(thumbnails), -1, SIDE, SIDE)
    for mirrored in ("", "mirrored"):
        for quarters in range(4):
            words = [mirrored, f"turned by {90 * quarters} degrees" if quarters else ""]
            own = np.rot90(squares, quarters, axes=(2, 3))
            yield " and ".join(filter(None, words)), own.reshape(thumbnails.shape)
        squares = squares[..., ::-1]


def _shows(pixels: np.ndarray) -> bool:
    """Tells whether there are more than two values."""
    low, high = pixels.min(), pixels.max()
    return bool(low != high and ((pixels != low) & (pixels != high)).any())


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _search(found: list[Image], notes: list[str]) -> Leaks:
    """Compares each image with each other one."""
    shown = [own for own in found if own.digest]
    empty = [own.name for own in found if not own.digest and not own.problem]
    if empty:
        count = _counted(len(empty), "image")
        notes.append(f"not compared: {count} of one or two values: "
                     f"{first_of(empty, MAX_SHOWN)}")  # fmt: skip
    copies = [*_same(shown), *_sharing(shown), *_alike(shown)]
    copies.sort(key=lambda copy: not copy.is_leak)
    return Leaks(found, copies, notes)


def _same(found: Sequence[Image]) -> Iterator[Copy]:
    """Yields each image whose voxels an earlier one has, of another place if any."""
    groups: dict[str, list[Image]] = {}
    for own in found:
        earlier = groups.setdefault(own.digest, [])
        if earlier:
            elsewhere = [other for other in earlier if other.place != own.place]
            yield Copy((elsewhere or earlier)[0], own, "the same voxels")
        earlier.append(own)


def _sharing(found: Sequence[Image]) -> Iterator[Copy]:
    """Yields pairs of volumes that are not the same and have slices that are."""
    holders: dict[str, dict[int, None]] = {}
    for index, own in enumerate(found):
        for part in own.slices:
            holders.setdefault(part, {})[index] = None
    shared: dict[tuple[int, int], int] = {}
    for indices in map(list, holders.values()):
        for place, first in enumerate(indices):
            for second in indices[place + 1 :]:
                if found[first].digest != found[second].digest:
                    pair = first, second
                    shared[pair] = shared.get(pair, 0) + 1
    for (first, second), count in shared.items():
        of = len(found[second].slices)
        yield Copy(
            found[first], found[second], f"{count} of {of} slices have the same voxels"
        )


def _alike(found: Sequence[Image]) -> Iterator[Copy]:
    """Yields pairs whose thumbnails are alike, and whose voxels are not the same."""
    # One image is enough of those that are equal and in one place.
    distinct = list({(own.digest, own.place): own for own in reversed(found)}.values())
    distinct.reverse()
    # Thumbnails of images and of volumes differ in size.
    for size in (SIDE * SIDE, DEPTH * SIDE * SIDE):
        kind = [own for own in distinct if np.size(own.thumbnail) == size]
        if len(kind) > 1:
            yield from _alike_thumbnails(kind)


def _alike_thumbnails(found: Sequence[Image]) -> Iterator[Copy]:
    thumbnails = np.stack([own.thumbnail for own in found])  # type: ignore[misc]
    best: dict[tuple[int, int], tuple[float, str]] = {}
    for words, second in turned(thumbnails):
        for start in range(0, len(found), BLOCK):
            table = thumbnails[start : start + BLOCK] @ second.T
            for row, column in np.argwhere(table >= ALIKE).tolist():
                pair, value = (start + row, column), float(table[row, column])
                if pair[0] < column and value > best.get(pair, (0.0, ""))[0]:
                    best[pair] = value, words
    for (i, j), (value, words) in sorted(best.items()):
        one, other = found[i], found[j]
        of_one_patient = one.owner and one.owner == other.owner
        if one.digest != other.digest and not of_one_patient:
            how = f"alike, {value:.3f} of 1" + (f", {words}" if words else "")
            yield Copy(one, other, how)
