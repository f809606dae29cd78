"""Volumes in any format that can be read: NIfTI, and with `[formats]` NRRD and MHA."""

from __future__ import annotations

import pathlib

import numpy as np

from synergynet_tf.data import itk, nifti
from synergynet_tf.data.nifti import Geometry, Volume

ENDINGS = (*nifti.ENDINGS, *itk.ENDINGS)
FORMATS = f"volumes ({' '.join(ENDINGS)})"


def ending(path: pathlib.Path) -> str:
    """Returns a volume's `.nii.gz`, `.nrrd` and the like; `""` for any other file."""
    name = path.name.lower()
    return next((known for known in ENDINGS if name.endswith(known)), "")


def read(path: str | pathlib.Path) -> Volume:
    """Reads a volume in canonical orientation: `nifti.read` or `itk.read`.

    Raises:
        ModuleNotFoundError: If SimpleITK is needed and not installed.
        OSError: If the file cannot be read.
        ValueError: If it is not usable; names the file.
    """
    return itk.read(path) if _is_itk(path) else nifti.read(path)


def read_grid(path: str | pathlib.Path) -> Volume:
    """Reads where a file's voxels lie, from its header alone: all of them are 0.

    Raises:
        ModuleNotFoundError, OSError, ValueError: As `read`.
    """
    return itk.read_grid(path) if _is_itk(path) else nifti.read_grid(path)


def count_channels(path: str | pathlib.Path) -> int:
    """Returns how many channels a file has by its header; 0 if it has none."""
    return itk.count_channels(path) if _is_itk(path) else nifti.count_channels(path)


def result_ending(path: pathlib.Path) -> str:
    """Returns the ending of a volume's label map: that of its format, compressed."""
    return ending(path) if _is_itk(path) else ".nii.gz"


def write_labels(
    path: str | pathlib.Path, labels: np.ndarray, geometry: Geometry
) -> None:
    """Writes labels on the grid of the volume that they were made from.

    Args:
        path: Path with an ending of the volume's format.
        labels: uint8 or uint16 `(slices, rows, columns)`, in canonical orientation.
        geometry: Geometry of the volume.

    Raises:
        ValueError: If the shape is not the volume's, or the path ends otherwise.
        OSError: If the file cannot be written.
    """
    if isinstance(geometry, itk.ItkGeometry):
        itk.write_labels(path, labels, geometry)
    else:
        assert isinstance(geometry, nifti.NiftiGeometry)
        nifti.write_labels(path, labels, geometry)


def _is_itk(path: str | pathlib.Path) -> bool:
    return str(path).lower().endswith(itk.ENDINGS)
