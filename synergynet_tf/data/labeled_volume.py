"""A case from its NIfTI files: the image, or one file a channel, and the labels."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from synergynet_tf.data import nifti
from synergynet_tf.data.spec import Case

# How far apart, in voxels and in shares, two files of one case may be.
MAX_SHIFT = 0.1
MAX_SPACING_DIFFERENCE = 0.01


def read_labeled(
    case_id: str,
    images: Sequence[pathlib.Path],
    label: pathlib.Path,
    values: Mapping[int, int],
    may_have_channels: bool = False,
) -> Case:
    """Reads a volume with its labels, in the orientation of `nifti`.

    Args:
        case_id: The case's.
        images: One file, or one for each channel.
        label: The reference segmentation.
        values: From a value in the file to the label; `{0: 0, ...}`.
        may_have_channels: Whether a single image may have a fourth axis.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If a file is not a usable volume, the files have different
            grids, or a value is not a class's; names the case and the file.
    """
    try:
        volumes = [nifti.read(path) for path in images]
        reference = nifti.read(label)
        _check_axes(label, reference, may_have_channels=False)
        for path, volume in zip(images, volumes, strict=True):
            _check_axes(path, volume, may_have_channels and len(images) == 1)
            check_grid(label, reference, path, volume)
        mapped = map_labels(reference.array, values, label)
        image = join_channels(volumes)
        return Case(case_id, image, mapped, volumes[0].spacing_mm)
    except ValueError as error:
        known = str(error).startswith(f"Case {case_id}: ")
        raise error if known else ValueError(f"Case {case_id}: {error}") from error


def join_channels(volumes: Sequence[nifti.Volume]) -> np.ndarray:
    """Returns volumes on one grid as `(slices, rows, columns, channels)`."""
    channels = [v.array.reshape(*v.array.shape[:3], -1) for v in volumes]
    return np.concatenate(channels, axis=-1)


def map_labels(
    array: np.ndarray, values: Mapping[int, int], path: pathlib.Path
) -> np.ndarray:
    """Turns the values that a file holds into uint8 labels.

    Raises:
        ValueError: If a value is none of `values`; names the file and some of them.
    """
    labels, known = np.zeros(array.shape, np.uint8), 0
    for value, label in values.items():
        here = array == value
        if label:
            labels[here] = label
        known += int(np.count_nonzero(here))
    if known < array.size:
        # Not before: of a large volume it takes seconds.
        found = np.unique(array)
        unknown = [f"{value:g}" for value in found if value not in values]
        raise ValueError(
            f"{path} has unknown values {', '.join(unknown[:8])}; known are "
            f"{', '.join(map(str, values))}: correct the labels"
        )
    return labels


def _check_axes(
    path: pathlib.Path, volume: nifti.Volume, may_have_channels: bool
) -> None:
    if volume.array.ndim == 4 and not may_have_channels:
        raise ValueError(
            f"{path} must have 3 axes. Received: 4, of which the last has length "
            f"{volume.array.shape[3]}"
        )


def check_grid(
    label: pathlib.Path,
    reference: nifti.Volume,
    path: pathlib.Path,
    volume: nifti.Volume,
) -> None:
    """Refuses a label, or a channel, whose voxels are not where the image's are.

    Raises:
        ValueError: If shape, spacing or affine differ; names both files.
    """
    shape = reference.array.shape
    if shape != volume.array.shape[:3]:
        raise ValueError(
            f"{label} has the shape {shape} and {path} {volume.array.shape[:3]} "
            "(slices, rows, columns); they must be equal"
        )
    spacings = reference.spacing_mm, volume.spacing_mm
    if not np.allclose(*spacings, rtol=MAX_SPACING_DIFFERENCE):
        raise ValueError(
            f"{label} has a spacing of {spacings[0]} mm and {path} {spacings[1]} mm; "
            "they must be equal"
        )
    corners = np.array([[*index, 1] for index in np.ndindex(2, 2, 2)])
    corners[:, :3] *= np.array(shape) - 1
    affine = volume.geometry.affine()
    moved = (reference.geometry.affine() - affine) @ corners.T
    voxel = np.linalg.norm(affine[:3, :3], axis=0).min()
    shift = np.linalg.norm(moved[:3], axis=0).max()
    if shift > MAX_SHIFT * voxel:
        raise ValueError(
            f"{label} and {path} have different affines: voxels lie up to "
            f"{shift:.3g} mm apart; save both on one grid"
        )
