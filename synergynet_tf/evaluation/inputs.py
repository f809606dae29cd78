"""Input files of a prediction: photographs, or volumes.

A scan with one file a channel, `scan_0000.nii.gz`, `scan_0001.nii.gz` and on, goes by
its first file; `scan` is its stem. Whether such a number is a channel's depends on how
many channels the run was trained on: for a run on one, `word_0001.nii.gz` is a scan.
"""

from __future__ import annotations

import itertools
import math
import os
import pathlib
import re
import sys
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from synergynet_tf import runs
from synergynet_tf.data import nifti, volumes
from synergynet_tf.data.images import KINDS, list_images, orientation, read_image
from synergynet_tf.data.listing import (
    PassedOver,
    first_of,
    list_files,
    plain,
    summary,
)
from synergynet_tf.data.nifti import check_grid, join_channels
from synergynet_tf.data.preprocess import Preprocessor
from synergynet_tf.safe_io import composed, require_plain_name

MAX_NAMED = 5  # Most names in a line.
# Ending of the stem of a file's picture.
OVERLAY_ENDING = "_overlay"
# Marks the folder of a call's results. Its first columns, before the first result and
# when it is whole.
SUMMARY = "summary.csv"
MARK = ["file"]
# Most bytes of a file's name, and what results add to a stem: an ending, and what
# stands before it while it is written.
MAX_NAME_BYTES = 255
RESULT_BYTES = len("_overlay.png") + len(".01234567.")
MAX_STEM_BYTES = MAX_NAME_BYTES - RESULT_BYTES
HEADS = (["file", "rows"], ["file", "slices"])
IMAGES = f"image files ({' '.join(KINDS)})"
VOLUMES = volumes.FORMATS
FIRST_CHANNEL = "_0000"
LATER_CHANNEL = re.compile(r"(.+)_(000[1-9])")
EITHER = f"{VOLUMES} or {IMAGES}"
# Files that a run of each modality labels; all others take either.
WANTED = {"rgb": IMAGES, "ct": VOLUMES}


class Input(NamedTuple):
    """A file's content.

    Attributes:
        image: float32 `(slices, rows, columns, channels)`.
        voxel_ml: Milliliters a voxel; `nan` for a photograph.
        geometry: Geometry of the file's voxels; `None` for a photograph.
        stem: Name of its results, without an ending.
    """

    image: np.ndarray
    voxel_ml: float
    geometry: nifti.Geometry | None
    stem: str


def find_inputs(
    source: str | pathlib.Path,
    output: str | pathlib.Path,
    preprocessor: Preprocessor,
    channels: int | None = None,
    note_faint: bool = True,
) -> list[pathlib.Path]:
    """Finds the files to label, and refuses what could not be finished.

    A run on photographs labels image files, one on CT volumes, one on MRI
    either; of a folder with both, a run on MRI takes the volumes.

    Every file is read once here, so that a damaged one is found before anything is
    written: reading costs little beside predicting. One that shows the network next to
    nothing is noted on stderr, in a line.

    Args:
        source: A file, or a folder whose files are taken; one line on stderr says
            what in it is not.
        output: The folder that results will be written to.
        preprocessor: Preprocessor of the run.
        channels: Number of channels of the training scans; `None` to take any number.
        note_faint: Whether to say which files show the network next to nothing. That
            hangs on the modality, which who sends files to a server does not know.

    Raises:
        FileNotFoundError: If `source` does not exist or is a folder without files
            for the run.
        ValueError: If a file cannot be read or is not for the run, two results would
            be one file, `output` is a file or the folder of the inputs, or a result
            would replace a file there that is not of an earlier call.
        PermissionError: If `output` cannot be written to.
    """
    source, output = pathlib.Path(source), pathlib.Path(output)
    if not source.exists():
        raise FileNotFoundError(
            f"No file or folder {source}; name a file or a folder of files with --input"
        )
    folder = source if source.is_dir() else source.parent
    paths, remarks = [source], list[str]()
    if source.is_dir():
        paths, remarks = _list(source, preprocessor.modality, channels)
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file; name a folder with --output")
    if os.path.realpath(output) == os.path.realpath(folder):
        raise ValueError(
            f"{output} holds the inputs, which results would replace; name another "
            "folder with --output"
        )
    runs.require_writable(output, "--output")
    stems = {path: stem(path, channels) for path in paths}
    names = {_one_name(name): path for path, name in stems.items()}
    if not _holds_results(output):
        _refuse_to_replace(output, stems.values())
    for path in tqdm(paths, "check", unit="file", disable=None, leave=False):
        require_plain_name(path)
        name = stems[path]
        if (other := names[_one_name(name)]) != path:
            raise ValueError(f"{path} and {other} have one name; keep one of them")
        if len(os.fsencode(name)) > MAX_STEM_BYTES:
            raise ValueError(
                f"{path} has too long a name: its results need {RESULT_BYTES} bytes "
                f"more, and a name has at most {MAX_NAME_BYTES}; shorten it"
            )
        if not is_volume(path) and _one_name(name + OVERLAY_ENDING) in names:
            raise ValueError(
                f"The picture of {path} and the labels of {name}{OVERLAY_ENDING} "
                "would be one file; rename one of the two images"
            )
        if remark := _check(path, preprocessor, channels, note_faint):
            remarks.append(remark)
    for remark in remarks:
        print(f"note: {remark}", file=sys.stderr)
    return paths


def read_input(path: pathlib.Path, channels: int | None = None) -> Input:
    """Reads an image, or a scan from its file or its channels' files.

    Args:
        path: The file, or the first channel's.
        channels: Number of channels of the run's training scans; `None` if unknown.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If one is damaged, or the channels do not lie on one grid.
    """
    if not is_volume(path):
        return Input(read_image(path), math.nan, None, stem(path))
    files = channel_files(path, channels)
    read = [volumes.read(file) for file in files]
    first = read[0]
    for file, volume in zip(files[1:], read[1:], strict=True):
        check_grid(file, volume, path, first)
    scan = join_channels(read)
    return Input(scan, first.voxel_ml, first.geometry, stem(path, channels))


def channel_files(
    path: pathlib.Path, channels: int | None = None
) -> list[pathlib.Path]:
    """Lists the files of a scan by its first: that one, if it is not `_0000`."""
    name = bare_name(path)
    if not name.endswith(FIRST_CHANNEL) or _is_numbered(path, channels):
        return [path]
    ending = path.name[len(name) :]
    bare = name.removesuffix(FIRST_CHANNEL)
    numbered = (
        path.with_name(f"{bare}_{number:04d}{ending}") for number in itertools.count()
    )
    return list(itertools.takewhile(pathlib.Path.is_file, numbered))


def _is_numbered(path: pathlib.Path, channels: int | None) -> bool:
    """Tells whether a `_0000` is a scan's number: it is whole, and `_0001` there."""
    name = bare_name(path)
    following = name.removesuffix(FIRST_CHANNEL) + "_0001" + path.name[len(name) :]
    return path.with_name(following).is_file() and _is_whole(path, channels)


def _is_whole(path: pathlib.Path, channels: int | None) -> bool:
    """Tells whether a file has all channels that the run was trained on."""
    if channels is None:
        return False
    return channels == 1 or volumes.count_channels(path) == channels


def is_volume(path: pathlib.Path) -> bool:
    """Tells whether the file's name is that of a volume."""
    return bool(volumes.ending(path))


def stem(path: pathlib.Path, channels: int | None = None) -> str:
    """Returns a file's name without its ending, and a scan's without `_0000`.

    Args:
        path: The file, or the first channel's.
        channels: Number of channels of the run's training scans; `None` if unknown.
    """
    name = bare_name(path)
    if not is_volume(path) or not name.endswith(FIRST_CHANNEL):
        return name
    return name if _is_numbered(path, channels) else name.removesuffix(FIRST_CHANNEL)


def bare_name(path: pathlib.Path) -> str:
    """Returns a file's name without `.nii.gz`, `.png` and the like."""
    ending = volumes.ending(path)
    return path.name[: -len(ending)] if ending else path.stem


def _one_name(name: str) -> str:
    """Returns what is equal for names that are one file's on this system."""
    if sys.platform in ("darwin", "win32"):
        return composed(name).casefold()
    return name


def _holds_results(output: pathlib.Path) -> bool:
    """Tells whether a folder has the table of an earlier call.

    Raises:
        ValueError: If there is another table of its name, which it would replace.
    """
    table = output / SUMMARY
    if not os.path.lexists(table):
        return False
    columns = runs.read_columns(table)
    if columns != MARK and columns[:2] not in HEADS:
        raise ValueError(
            f"{table} is there and would be replaced; name another folder with --output"
        )
    return True


def _refuse_to_replace(output: pathlib.Path, names: Iterable[str]) -> None:
    """Refuses results that have the name of a file: it may be a reference."""
    for name in names:
        for ending in (".png", *volumes.ENDINGS, f"{OVERLAY_ENDING}.png"):
            if (output / f"{name}{ending}").exists():
                raise ValueError(
                    f"{output / name}{ending} is there and would be replaced; name "
                    "another folder with --output"
                )


def _list(
    folder: pathlib.Path, modality: str, channels: int | None
) -> tuple[list[pathlib.Path], list[str]]:
    """Lists the files of a folder that a run can label, sorted; and remarks."""
    found: list[pathlib.Path] = []
    remarks: list[str] = []
    passed_over: list[PassedOver] = []
    if modality != "rgb":
        found = [path for _, path in list_files(folder, volumes.ENDINGS, passed_over)]
        later = {
            file
            for path in found
            for file in channel_files(path, channels)
            if file != path
        }
        found = [path for path in found if path not in later]
        for path in found:
            _refuse_gap(path, channels)
        numbered = [
            path.name for path in found if bare_name(path).endswith(FIRST_CHANNEL)
        ]
        numbered = [n for n in numbered if _is_numbered(folder / n, channels)]
        if numbered:
            remarks.append(
                f"{first_of(numbered, MAX_NAMED)} and the numbers after are scans, one "
                f"each: the run was trained on scans of {channels} channel"
                f"{'' if channels == 1 else 's, and each has as many'}"
            )
    if not found and modality != "ct":
        passed_over = []
        found = list(list_images(folder, passed_over=passed_over).values())
    if not found:
        names = [plain(entry.path.name) for entry in passed_over]
        instead = f" but {first_of(names, MAX_NAMED)}" if names else ""
        raise FileNotFoundError(
            f"No {WANTED.get(modality, EITHER)} in {folder}{instead}; name a file, or "
            "a folder of files, with --input"
        )
    if text := summary(passed_over):
        remarks.append(text)
    return found, remarks


def _refuse_gap(path: pathlib.Path, channels: int | None) -> None:
    """Refuses a channel whose scan lacks the one before it."""
    match = LATER_CHANNEL.fullmatch(bare_name(path))
    if match is None or _is_whole(path, channels):
        return
    number = int(match[2])
    if channels is None or number < channels:
        lacking = f"{match[1]}_{number - 1:04d}"
        raise ValueError(
            f"{path} is a scan's channel, and there is no {lacking}; restore that, or "
            "name the file differently"
        )


def _check(
    path: pathlib.Path,
    preprocessor: Preprocessor,
    channels: int | None,
    note_faint: bool,
) -> str | None:
    """Refuses a file that cannot be read, or is not of the run's kind.

    Returns:
        A remark if there is next to nothing in it, or a viewer shows it turned.
    """
    if is_volume(path) and preprocessor.modality == "rgb":
        raise ValueError(
            f"{path} is a volume, but the run was trained on photographs; name "
            f"{IMAGES} with --input"
        )
    if not is_volume(path) and preprocessor.modality == "ct":
        raise ValueError(
            f"{path} is no volume, but the run was trained on CT, in Hounsfield units; "
            f"name {VOLUMES} with --input"
        )
    image = read_input(path, channels).image
    if channels not in (None, image.shape[-1]):
        raise ValueError(
            f"{path} has {image.shape[-1]} channels, but the run was trained on scans "
            f"with {channels}; name files with as many, in the same order"
        )
    try:
        preprocessor.images(image[:1, :1, :1])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not is_volume(path) and orientation(path) != 1:
        return (
            f"{path} has an EXIF orientation, which is not applied: labels lie on the "
            "pixels as they are stored"
        )
    reason = preprocessor.faint(image) if note_faint else ""
    return f"{path}: {reason}" if reason else None
