"""NRRD and MetaImage volumes, read and written by SimpleITK (`[formats]`).

They become what `nifti.read` makes of a NIfTI file. ITK's world is LPS+, NIfTI's RAS+.
A file must hold its voxels itself: a header that names another file is refused.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import pathlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from synergynet_tf.data.nifti import (
    MAX_VOXELS,
    Geometry,
    Volume,
    check_labels,
    find_axes,
    require_finite,
    to_volume,
)
from synergynet_tf.safe_io import require_file

if TYPE_CHECKING:
    import SimpleITK

ENDINGS = (".nrrd", ".mha")
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Largest size of the text before the voxels; and its line that names a data file.
MAX_HEADER_BYTES = 2**16
_NRRD_ELSEWHERE = re.compile(rb"\s*data ?file\s*:", re.IGNORECASE)
# MetaImage takes a colon for an equals sign, too; the line ends its header.
_META_DATA = re.compile(rb"\s*ElementDataFile\s*[=:]\s*(.*?)\s*", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, eq=False)
class ItkGeometry(Geometry):
    """Geometry of an NRRD or MetaImage file: its own numbers, not rounded.

    Attributes:
        spacing: Spacing of the file's axes, in mm.
        origin: Position of the first voxel, LPS+, in mm.
        direction: `(d, d)` cosines of its `d` axes, row by row.
    """

    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]

    def stored_affine(self) -> np.ndarray:
        """Returns the `(4, 4)` matrix from the file's `(x, y, z, 1)` to RAS+ in mm."""
        count = len(self.spacing)
        affine = np.eye(4)
        cosines = np.reshape(self.direction, (count, count))
        affine[:count, :count] = cosines * np.asarray(self.spacing)
        affine[:count, 3] = self.origin
        return LPS_TO_RAS @ affine


def read(path: str | pathlib.Path) -> Volume:
    """Reads a volume of 2 or 3 axes; the components of a voxel are channels.

    Raises:
        ModuleNotFoundError: If SimpleITK is not installed.
        OSError: If the file cannot be read.
        ValueError: If it is not a whole file of real, finite numbers with a spacing
            above 0, or has more than `MAX_VOXELS`; names the file.
    """
    path = pathlib.Path(path)
    with _opened(path) as reader:
        import SimpleITK

        geometry = _geometry(reader)
        image = reader.Execute()
        array = SimpleITK.GetArrayFromImage(image).astype(np.float32, copy=False)
        # ITK's last axis is the first of the array, but for components.
        components = image.GetNumberOfComponentsPerPixel()
        stored = array.reshape(*geometry.shape[::-1], components)
        stored = stored.transpose(2, 1, 0, 3)
        require_finite(stored)
    volume = to_volume(stored, _spacing(geometry), geometry)
    return volume._replace(array=np.ascontiguousarray(volume.array))


def read_grid(path: str | pathlib.Path) -> Volume:
    """Reads where a file's voxels lie, from its header alone: all of them are 0.

    Raises:
        ModuleNotFoundError, OSError, ValueError: As `read`.
    """
    with _opened(pathlib.Path(path)) as reader:
        geometry = _geometry(reader)
        shape = *geometry.shape, reader.GetNumberOfComponents()
    nothing = np.broadcast_to(np.float32(0), shape)
    return to_volume(nothing, _spacing(geometry), geometry)


def write_labels(
    path: str | pathlib.Path, labels: np.ndarray, geometry: ItkGeometry
) -> None:
    """Writes labels on the grid of the volume that they were made from, compressed.

    Args:
        path: Path that ends in `.nrrd` or `.mha`.
        labels: uint8 or uint16 `(slices, rows, columns)`, in canonical orientation.
        geometry: Geometry of the volume.

    Raises:
        ValueError: If the shape is not the volume's.
        OSError: If the file cannot be written.
    """
    import SimpleITK

    check_labels(labels, geometry)
    stored = geometry.to_stored(labels)
    count = len(geometry.spacing)
    array = np.ascontiguousarray(stored.transpose(2, 1, 0))
    image = SimpleITK.GetImageFromArray(array if count == 3 else array[0])
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction)
    try:
        SimpleITK.WriteImage(image, str(path), useCompression=True)
    except RuntimeError as error:
        raise OSError(f"{path} cannot be written ({_reason(error)})") from error


def count_channels(path: str | pathlib.Path) -> int:
    """Returns how many channels a file has by its header; 0 if it has none."""
    try:
        with _opened(pathlib.Path(path)) as reader:
            return int(reader.GetNumberOfComponents())
    except ValueError:
        return 0


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[SimpleITK.ImageFileReader]:
    """Gives a reader that has read a file's header; names the file in errors."""
    require_file(path)
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        _require_own_voxels(path)
        reader.ReadImageInformation()
        _check(reader)
        yield reader
    except RuntimeError as error:
        raise _unusable(path, _reason(error)) from error
    except ValueError as error:
        raise _unusable(path, str(error)) from error


def _unusable(path: pathlib.Path, reason: str) -> ValueError:
    return ValueError(
        f"{path} is not a usable NRRD or MetaImage file: {reason}; correct or remove it"
    )


def _reason(error: RuntimeError) -> str:
    """Returns the last line of ITK's message, which is the reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rpartition("): ")[2] if lines else "ITK gives no reason"


def _require_own_voxels(path: pathlib.Path) -> None:
    """Refuses a header that names another file."""
    with path.open("rb") as file:
        begin = file.read(MAX_HEADER_BYTES)
    if not begin:
        raise ValueError("it is empty")
    # NRRD's header ends with an empty line, MetaImage's with `ElementDataFile`.
    is_nrrd, elsewhere = begin.startswith(b"NRRD"), False
    for line in begin.split(b"\n")[:-1]:
        line = line.removesuffix(b"\r")
        if b"\r" in line:  # Some readers see two lines there, and others one.
            raise ValueError("its header has a carriage return within a line")
        elsewhere |= is_nrrd and bool(_NRRD_ELSEWHERE.match(line))
        if is_nrrd and not line:
            break
        if not is_nrrd and (data := _META_DATA.fullmatch(line)):
            elsewhere = data[1].upper() != b"LOCAL"
            break
    else:
        raise ValueError("its header does not end")
    if elsewhere:
        raise ValueError("its voxels are in another file; save both as one")


def _check(reader: SimpleITK.ImageFileReader) -> None:
    size: tuple[int, ...] = reader.GetSize()
    components = int(reader.GetNumberOfComponents())
    if len(size) not in (2, 3) or min(size) < 1:
        raise ValueError(f"it must have 2 or 3 axes. Received: shape {size}")
    if math.prod(size) * components > MAX_VOXELS:
        raise ValueError(f"it must have at most {MAX_VOXELS} voxels. Received: {size}")
    import SimpleITK

    kind = SimpleITK.GetPixelIDValueAsString(reader.GetPixelID())
    if "complex" in kind or "label" in kind:
        raise ValueError(f"it must hold real numbers. Received: {kind}")
    numbers = (*reader.GetSpacing(), *reader.GetOrigin(), *reader.GetDirection())
    if not np.isfinite(numbers).all() or min(reader.GetSpacing()) <= 0:
        raise ValueError(
            f"its spacing must be above 0. Received: {reader.GetSpacing()} mm"
        )


def _geometry(reader: SimpleITK.ImageFileReader) -> ItkGeometry:
    x, y, *rest = reader.GetSize()
    found = ItkGeometry(
        (x, y, rest[0] if rest else 1),
        axes=(0, 1, 2),  # Found below, from the affine of the rest.
        flipped=(False, False, False),
        spacing=reader.GetSpacing(),
        origin=reader.GetOrigin(),
        direction=reader.GetDirection(),
    )
    axes, flipped = find_axes(found.stored_affine(), found.shape, _spacing(found))
    return dataclasses.replace(found, axes=axes, flipped=flipped)


def _spacing(geometry: ItkGeometry) -> tuple[float, float, float]:
    x, y, *rest = geometry.spacing
    return x, y, rest[0] if rest else 1.0
