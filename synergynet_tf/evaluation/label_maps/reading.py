"""Reading of label maps: volumes and PNG images, as labels of known classes."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from synergynet_tf.data import volumes
from synergynet_tf.data.images import read_mask
from synergynet_tf.evaluation.inputs import is_volume
from synergynet_tf.evaluation.label_maps.classes import MAX_VALUE, Classes

# Number of values that are looked up at once: as many as a cache holds.
BLOCK = 2**18


class LabelMap(NamedTuple):
    """A label map as its file has it.

    Attributes:
        values: uint16 `(slices, rows, columns)`.
        spacing_mm: Distance between slices, rows and columns; the steps of a grid
            whose axes are not orthogonal, as `Case.steps_mm`.
    """

    values: np.ndarray
    spacing_mm: tuple[float, float, float] | np.ndarray


def read_label_map(
    path: pathlib.Path, pixel_mm: Sequence[float] | None = None
) -> LabelMap:
    """Reads a label map.

    Args:
        path: A volume or an image.
        pixel_mm: Distance between rows and columns of an image; 1 if it is not known.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is damaged, has more axes than three, or holds a number that
            is no label; names the file.
    """
    if not is_volume(path):
        rows, columns = pixel_mm or (1.0, 1.0)
        pixels = read_mask(path).astype(np.uint16)
        return LabelMap(pixels[None], (1.0, rows, columns))
    volume = volumes.read(path)
    _require_labels(path, volume)
    steps = volume.steps_mm
    spacing = volume.spacing_mm if steps is None else steps
    return LabelMap(_whole(volume.array, path), spacing)


def to_labels(stored: np.ndarray, classes: Classes, path: pathlib.Path) -> np.ndarray:
    """Turns values into labels: uint8, 0 for background and `i + 1` for class `i`.

    Args:
        stored: The values of a label map.
        classes: Classes, and their values in the file.
        path: Path of the label map.

    Raises:
        ValueError: If a value is no class's; names the file and the values.
    """
    table = np.full(MAX_VALUE + 1, -1, np.int16)
    table[list(classes.values)] = list(classes.values.values())
    labels = np.empty(stored.shape, np.uint8)
    unknown: set[int] = set()
    for values, out in _blocks(stored, labels):
        found = table[values]
        if found.min() < 0:
            unknown |= set(np.unique(values[found < 0]).tolist())
        out[...] = found  # Labels of unknown values are not returned.
    if unknown:
        named = ", ".join(map(str, sorted(unknown)[:8]))
        raise ValueError(
            f"{path} has the label {named}, which is no class's; {classes.title()}: "
            "correct the labels, or name all classes with --classes"
        )
    return labels


def values_of(path: pathlib.Path) -> list[int]:
    """Returns the values above 0 in a label map, in ascending order.

    Raises:
        OSError, ValueError: As `read_label_map`.
    """
    seen = np.zeros(MAX_VALUE + 1, bool)
    values = read_label_map(path).values
    for (block,) in _blocks(values):
        seen[block] = True
    seen[0] = False
    return np.flatnonzero(seen).tolist()


def read_grid(path: pathlib.Path) -> volumes.Volume:
    """Reads where the voxels of a volume of labels lie.

    Raises:
        OSError, ValueError: As `volumes.read_grid`, or if it has more axes than three.
    """
    grid = volumes.read_grid(path)
    _require_labels(path, grid)
    return grid


def _require_labels(path: pathlib.Path, volume: volumes.Volume) -> None:
    if volume.array.ndim == 4:
        raise ValueError(
            f"{path} must have 3 axes, one label for each voxel. Received: 4, of which "
            f"the last has length {volume.array.shape[3]}"
        )


def _whole(array: np.ndarray, path: pathlib.Path) -> np.ndarray:
    """Returns whole numbers as uint16, whatever type they were stored in."""
    with np.errstate(invalid="ignore"):  # Values beyond uint16 are not equal below.
        values = array.astype(np.uint16)
    for block, stored in _blocks(values, array):
        if (broken := block != stored).any():
            raise ValueError(
                f"{path} has the value {stored[broken][0]}, which is no label: labels "
                f"are whole numbers from 0 to {MAX_VALUE}; save labels, not "
                "probabilities, and resample them by nearest neighbor"
            )
    return values


def _blocks(*arrays: np.ndarray) -> Iterator[list[np.ndarray]]:
    """Yields views of the same part of contiguous arrays of one shape."""
    flat = [array.reshape(-1) for array in arrays]
    for start in range(0, flat[0].size, BLOCK):
        yield [array[start : start + BLOCK] for array in flat]
