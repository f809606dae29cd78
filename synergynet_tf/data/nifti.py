"""NIfTI volumes and labeled cases: read in canonical orientation, written back.

A volume is sliced along the axis of length 1 if there is one; else along the axis whose
spacing is at least twice that of the others; else along the patient's long axis, so
that slices are axial. Slices lie as a radiologist looks at them, whatever the order and
the directions in which the file stores its axes:

    slices      from              to          rows run to   columns run to
    axial       inferior (feet)   superior    posterior     left
    coronal     anterior          posterior   inferior      left
    sagittal    right             left        inferior      posterior

In an oblique volume each axis counts as the direction that it is closest to. Axes are
only reordered and reversed, never resampled, so the way back is exact.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import math
import pathlib
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

from synergynet_tf.data.spec import Case
from synergynet_tf.safe_io import require_file

if TYPE_CHECKING:
    # Elsewhere it is imported where it is used: that takes longer than a refusal.
    import nibabel

ENDINGS = (".nii.gz", ".nii")
# A body from head to foot, 512 x 512 x 2,048; a header may claim 2**63.
MAX_VOXELS = 2**29
# Size of the larger of the two headers.
HEADER_BYTES = 540
# Most bytes before the first voxel, and after the last one.
MAX_REST_BYTES = 2**26
# Least ratio of the largest spacing to the next for its axis to be the sliced one.
ANISOTROPY = 2.0
# Millimeters by the lowest three bits of `xyzt_units`: meter, millimeter, micrometer.
MM_PER_UNIT = {1: 1000.0, 2: 1.0, 3: 0.001}
GZIP_SIGNATURE = b"\x1f\x8b"
# Start of Python's message for bytes that are no further gzip stream.
NO_STREAM = "Not a gzipped file"
READING_ERRORS = (EOFError, OSError, OverflowError, ValueError, zlib.error)
# Largest difference of two files of one case, in voxels and as a share of the spacing.
MAX_SHIFT = 0.1
MAX_SPACING_DIFFERENCE = 0.01
# The cosine between two axes of a sheared grid is larger: 0.06 degrees off 90.
MAX_COSINE = 1e-3


@dataclasses.dataclass(frozen=True, eq=False)
class Geometry:
    """Orientation, spacing and affine of a file's voxels.

    Attributes:
        shape: Lengths of the three axes of the file.
        axes: Indices of the file's axes that are the slices, rows and columns.
        flipped: Whether the file stores slices, rows and columns in reverse, for each.
    """

    shape: tuple[int, int, int]
    axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]

    def to_canonical(self, stored: np.ndarray) -> np.ndarray:
        """Reorders `(x, y, z[, channels])` to `(slices, rows, columns[, channels])`."""
        rest = range(3, stored.ndim)
        return np.flip(stored.transpose(*self.axes, *rest), self._flipped_axes())

    def to_stored(self, canonical: np.ndarray) -> np.ndarray:
        """Reorders `(slices, rows, columns)` to the file's `(x, y, z)`."""
        return np.flip(canonical, self._flipped_axes()).transpose(np.argsort(self.axes))

    def steps_mm(self, spacing_mm: Sequence[float]) -> np.ndarray | None:
        """Returns the steps between neighbors of a grid whose axes are not orthogonal.

        A gantry that is tilted makes such a grid. Lengths are those of the affine if
        one voxel has the same volume by them as by the spacing, or if they are the
        spacing; else the affine has directions alone, and the spacing has lengths.

        Args:
            spacing_mm: Distance between slices, rows and columns.

        Returns:
            float64 `(3, 3)`: a row each for the step to the next slice, row and column;
            `None` if the axes are orthogonal.
        """
        steps = self.affine()[:3, :3].T
        lengths = np.linalg.norm(steps, axis=1)
        directions = steps / lengths[:, None]
        cosines = directions @ directions.T - np.eye(3)
        if np.abs(cosines).max() <= MAX_COSINE:
            return None
        tolerance = MAX_SPACING_DIFFERENCE
        same_lengths = np.allclose(lengths, spacing_mm, rtol=tolerance)
        volume = abs(np.linalg.det(steps))
        if same_lengths or math.isclose(
            volume, math.prod(spacing_mm), rel_tol=tolerance
        ):
            return np.ascontiguousarray(steps)
        return directions * np.asarray(spacing_mm)[:, None]

    def affine(self) -> np.ndarray:
        """Returns the `(4, 4)` matrix from `(slice, row, column, 1)` to RAS+ in mm."""
        to_stored = np.zeros((4, 4))
        to_stored[3, 3] = 1.0
        for i, (axis, flipped) in enumerate(zip(self.axes, self.flipped, strict=True)):
            to_stored[axis, i] = -1.0 if flipped else 1.0
            to_stored[axis, 3] = self.shape[axis] - 1 if flipped else 0.0
        return self.stored_affine() @ to_stored

    def stored_affine(self) -> np.ndarray:
        """Returns the `(4, 4)` matrix from the file's `(x, y, z, 1)` to RAS+ in mm."""
        raise NotImplementedError

    def _flipped_axes(self) -> tuple[int, ...]:
        return tuple(i for i, flipped in enumerate(self.flipped) if flipped)


@dataclasses.dataclass(frozen=True, eq=False)
class NiftiGeometry(Geometry):
    """Geometry of a NIfTI file.

    Attributes:
        header: The file's, unchanged.
    """

    header: nibabel.Nifti1Header

    def stored_affine(self) -> np.ndarray:
        """Returns the `(4, 4)` matrix from the file's `(x, y, z, 1)` to RAS+ in mm."""
        to_mm = np.diag([_unit_mm(self.header)] * 3 + [1.0])
        return to_mm @ self.header.get_best_affine()


class Volume(NamedTuple):
    """Volume in canonical orientation.

    Attributes:
        array: float32 `(slices, rows, columns)`, or `(..., channels)` of a 4-D file.
        spacing_mm: Distance between slices, rows and columns.
        geometry: The way back.
    """

    array: np.ndarray
    spacing_mm: tuple[float, float, float]
    geometry: Geometry

    @property
    def steps_mm(self) -> np.ndarray | None:
        """Steps of a grid whose axes are not orthogonal: `Geometry.steps_mm`."""
        return self.geometry.steps_mm(self.spacing_mm)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in milliliters."""
        steps = self.steps_mm
        if steps is None:
            return math.prod(self.spacing_mm) / 1000
        return float(abs(np.linalg.det(steps))) / 1000


def read(path: str | pathlib.Path) -> Volume:
    """Reads a `.nii` or `.nii.gz` file of 2, 3 or 4 axes, the last being channels.

    The spacing is the header's `pixdim`, as for ITK, and the directions are those of
    its affine: in ACDC's files the affine has directions alone.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is not a whole NIfTI file of real, finite numbers with a
            spacing above 0 and axes in three directions, or has more than
            `MAX_VOXELS`; names the file.
    """
    path = pathlib.Path(path)
    require_file(path)
    with _named(path):
        with path.open("rb") as raw:
            header, data = _read_stream(raw)
        shape, spacing_mm = _check_header(header)
        with np.errstate(over="ignore", invalid="ignore"):  # Looked for below.
            stored = _image_kind(header).from_bytes(data).get_fdata(dtype=np.float32)
        geometry = _find_geometry(header, shape, spacing_mm)
        require_finite(stored)
    volume = to_volume(stored.reshape(*shape, -1), spacing_mm, geometry)
    return volume._replace(array=np.ascontiguousarray(volume.array))


def read_grid(path: str | pathlib.Path) -> Volume:
    """Reads where a file's voxels lie, from its header alone: all of them are 0.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If its header is not as `read` needs it; names the file.
    """
    path = pathlib.Path(path)
    require_file(path)
    with _named(path):
        with path.open("rb") as raw:
            header, _ = _open(raw)
        _size(header)
        shape, spacing_mm = _check_header(header)
        geometry = _find_geometry(header, shape, spacing_mm)
    channels = math.prod(header.get_data_shape()[3:])
    nothing = np.broadcast_to(np.float32(0), (*shape, channels))
    return to_volume(nothing, spacing_mm, geometry)


def write_labels(
    path: str | pathlib.Path, labels: np.ndarray, geometry: NiftiGeometry
) -> None:
    """Writes labels on the grid of the volume that they were made from.

    The file has the header of the volume, so its affine, orientation and spacing,
    but for what describes the values.

    Args:
        path: Path that ends in `.nii` or `.nii.gz`.
        labels: uint8 or uint16 `(slices, rows, columns)`, in canonical orientation.
        geometry: Geometry of the volume.

    Raises:
        ValueError: If the shape is not the volume's, or the path ends otherwise.
        OSError: If the file cannot be written.
    """
    check_labels(labels, geometry)
    if not str(path).endswith(ENDINGS):
        raise ValueError(f"{path} must end in {' or '.join(ENDINGS)}")
    header = geometry.header.copy()
    header.set_data_dtype(labels.dtype)
    header["cal_min"], header["cal_max"] = 0, 0
    stored = geometry.to_stored(labels)
    # A flat volume may be stored with two axes, one with channels with four.
    stored = stored.reshape(geometry.shape[: len(header.get_data_shape())])
    _image_kind(header)(stored, None, header).to_filename(path)


def check_labels(labels: np.ndarray, geometry: Geometry) -> None:
    """Refuses labels that are not of a volume's grid.

    Raises:
        ValueError: If the shape or the type is another.
    """
    expected = tuple(geometry.shape[axis] for axis in geometry.axes)
    if labels.shape != expected or labels.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f"`labels` must be uint8 {expected}, or uint16. "
            f"Received: {labels.dtype} {labels.shape}"
        )


def require_finite(stored: np.ndarray) -> None:
    """Refuses NaN and infinite values.

    Raises:
        ValueError: If there are any.
    """
    if not np.isfinite(stored).all():
        count = int(np.count_nonzero(~np.isfinite(stored)))
        raise ValueError(f"it holds {count} NaN or infinite values")


def to_volume(
    stored: np.ndarray,
    spacing_mm: tuple[float, float, float],
    geometry: Geometry,
) -> Volume:
    """Orders `(x, y, z, channels)`; a single channel has no axis of its own."""
    stored = stored if stored.shape[-1] > 1 else stored[..., 0]
    slices, rows, columns = (spacing_mm[axis] for axis in geometry.axes)
    return Volume(geometry.to_canonical(stored), (slices, rows, columns), geometry)


@contextlib.contextmanager
def _named(path: pathlib.Path) -> Iterator[None]:
    """Adds the file's name to errors that its content raises."""
    from nibabel.spatialimages import HeaderDataError

    try:
        yield
    except (*READING_ERRORS, HeaderDataError) as error:
        raise ValueError(
            f"{path} is not a usable NIfTI file: {error}; correct or remove it"
        ) from error


def _image_kind(header: nibabel.Nifti1Header) -> type[nibabel.Nifti1Image]:
    import nibabel

    return nibabel.Nifti1Image if header.sizeof_hdr == 348 else nibabel.Nifti2Image


def _open(
    raw: BinaryIO,
) -> tuple[nibabel.Nifti1Header, gzip.GzipFile | BinaryIO]:
    """Returns the header, and the file as it is without gzip."""
    signature = raw.read(len(GZIP_SIGNATURE))
    raw.seek(0)
    file = gzip.GzipFile(fileobj=raw) if signature == GZIP_SIGNATURE else raw
    return _read_header(_read_at_most(file, HEADER_BYTES)), file


def _read_stream(raw: BinaryIO) -> tuple[nibabel.Nifti1Header, bytes]:
    """Reads a header, and as many bytes as it says that the file has."""
    header, file = _open(raw)
    size = _size(header)
    file.seek(0)  # To read all in one piece: there is no room for two.
    try:
        data = file.read(size)
    except gzip.BadGzipFile as error:
        if not _is_end(error):
            raise
        raise ValueError("it is truncated") from error
    # To the end, where gzip compares its checksum.
    if len(_read_at_most(file, MAX_REST_BYTES + 1)) > MAX_REST_BYTES:
        raise ValueError(f"it goes on after its {size} bytes")
    if len(data) < size:
        raise ValueError("it is truncated")
    return header, data


def count_channels(path: str | pathlib.Path) -> int:
    """Returns how many channels a file has by its header; 0 if it has none."""
    require_file(path)
    try:
        with pathlib.Path(path).open("rb") as raw:
            shape = _open(raw)[0].get_data_shape()
    except READING_ERRORS:
        return 0
    return int(shape[3]) if len(shape) > 3 else 1


def _read_at_most(file: gzip.GzipFile | BinaryIO, size: int) -> bytes:
    """Reads to the end of the last gzip stream; as for gunzip, what follows is none.

    Its checksum is compared before anything behind it is looked at.
    """
    read = bytearray()
    while len(read) < size:
        try:
            part = file.read1(size - len(read))  # type: ignore[union-attr]
        except gzip.BadGzipFile as error:
            if not _is_end(error):
                raise
            break
        if not part:
            break
        read += part
    return bytes(read)


def _is_end(error: gzip.BadGzipFile) -> bool:
    """Tells whether bytes are missing or stand behind a stream, not wrong in it."""
    return str(error).startswith(NO_STREAM)


def _size(header: nibabel.Nifti1Header) -> int:
    """Returns how many bytes the header says that the file has."""
    shape = tuple(int(length) for length in header.get_data_shape())
    if not 2 <= len(shape) or min(shape) < 1 or math.prod(shape[4:]) != 1:
        raise ValueError(f"it must have 2 to 4 axes. Received: shape {shape}")
    if math.prod(shape) > MAX_VOXELS:
        raise ValueError(f"it must have at most {MAX_VOXELS} voxels. Received: {shape}")
    offset = float(header["vox_offset"])
    if not header.sizeof_hdr <= offset <= MAX_REST_BYTES:
        raise ValueError(f"its voxels cannot begin at byte {offset}")
    try:
        dtype = header.get_data_dtype()
    except KeyError:
        raise ValueError(f"it has an unknown datatype, {header['datatype']}") from None
    if dtype.kind not in "iuf":
        raise ValueError(f"it must hold real numbers. Received: {dtype}")
    return int(offset) + math.prod(shape) * dtype.itemsize


def _read_header(data: bytes) -> nibabel.Nifti1Header:
    """Returns the header as it stands, without nibabel's silent corrections."""
    import nibabel

    for kind in (nibabel.Nifti1Header, nibabel.Nifti2Header):
        for order in "<>":
            if data.startswith(struct.pack(order + "i", kind.sizeof_hdr)):
                if len(data) < kind.sizeof_hdr:
                    raise ValueError("it is truncated")
                return kind(data[: kind.sizeof_hdr], order, check=False)
    raise ValueError("it has no NIfTI header" if data else "it is empty")


def _check_header(
    header: nibabel.Nifti1Header,
) -> tuple[tuple[int, int, int], tuple[float, float, float]]:
    """Returns the length of the three axes and the spacing along them."""
    shape = tuple(int(length) for length in header.get_data_shape())
    pixdim = np.abs(np.asarray(header["pixdim"][1:4], np.float64))
    spacing = [float(mm) * _unit_mm(header) for mm in pixdim]
    if len(shape) == 2:
        shape, spacing = (*shape, 1), [*spacing[:2], spacing[2] or 1.0]
    if not all(0 < mm < np.inf for mm in spacing):
        raise ValueError(f"its spacing must be above 0. Received: {spacing} mm")
    return (shape[0], shape[1], shape[2]), (spacing[0], spacing[1], spacing[2])


def _unit_mm(header: nibabel.Nifti1Header) -> float:
    return MM_PER_UNIT.get(int(header["xyzt_units"]) % 8, 1.0)


def _find_geometry(
    header: nibabel.Nifti1Header,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
) -> NiftiGeometry:
    axes, flipped = find_axes(header.get_best_affine(), shape, spacing_mm)
    return NiftiGeometry(shape, axes, flipped, header)


def find_axes(
    affine: np.ndarray,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Finds the slices, rows and columns of a volume.

    Args:
        affine: Matrix from `(x, y, z, 1)` to RAS+, `(4, 4)`.
        shape: Lengths of the three axes.
        spacing_mm: Spacing along the three axes.

    Returns:
        The `axes` and `flipped` of a `Geometry`.

    Raises:
        ValueError: If two axes have one direction.
    """
    import nibabel

    # For each stored axis: 0 right-left, 1 anterior-posterior, 2 superior-inferior,
    # and whether it runs to the right, anterior, superior (1) or away from it (-1).
    orientation = nibabel.io_orientation(affine)
    if not np.isfinite(orientation).all():
        raise ValueError("the axes of its affine are not three directions")
    directions = [int(direction) for direction in orientation[:, 0]]
    slices = _slice_axis(shape, spacing_mm, directions)
    columns, rows = sorted({0, 1, 2} - {directions[slices]})
    axes = (slices, directions.index(rows), directions.index(columns))
    flipped = [bool(orientation[axis, 1] > 0) for axis in axes]
    # Axial and sagittal slices: from inferior, from right. Coronal: from anterior.
    # Rows and columns: to inferior, posterior, left.
    if directions[slices] == 2:
        flipped[0] = not flipped[0]
    return axes, (flipped[0], flipped[1], flipped[2])


def _slice_axis(
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    directions: list[int],
) -> int:
    if shape.count(1) == 1:
        return shape.index(1)
    _, middle, largest = sorted(spacing_mm)
    if largest >= ANISOTROPY * middle:
        return spacing_mm.index(largest)
    return directions.index(2)


def read_labeled(
    case_id: str,
    images: Sequence[pathlib.Path],
    label: pathlib.Path,
    values: Mapping[int, int],
    may_have_channels: bool = False,
) -> Case:
    """Reads a volume with its labels, in the orientation of `read`.

    Args:
        case_id: ID of the case.
        images: Path of one file, or of one for each channel.
        label: Path of the reference segmentation.
        values: Label by value in the file; `{0: 0, ...}`.
        may_have_channels: Whether a single image may have a fourth axis.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If a file is not a usable volume, the files have different
            grids, or a value is not a class's; names the case and the file.
    """
    try:
        volumes = [read(path) for path in images]
        reference = read(label)
        _check_axes(label, reference, may_have_channels=False)
        for path, volume in zip(images, volumes, strict=True):
            _check_axes(path, volume, may_have_channels and len(images) == 1)
            check_grid(label, reference, path, volume)
        mapped = map_labels(reference.array, values, label)
        image = join_channels(volumes)
        first = volumes[0]
        return Case(case_id, image, mapped, first.spacing_mm, first.steps_mm)
    except ValueError as error:
        known = str(error).startswith(f"Case {case_id}: ")
        raise error if known else ValueError(f"Case {case_id}: {error}") from error


def join_channels(volumes: Sequence[Volume]) -> np.ndarray:
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


def _check_axes(path: pathlib.Path, volume: Volume, may_have_channels: bool) -> None:
    if volume.array.ndim == 4 and not may_have_channels:
        raise ValueError(
            f"{path} must have 3 axes. Received: 4, of which the last has length "
            f"{volume.array.shape[3]}"
        )


def check_grid(
    label: pathlib.Path,
    reference: Volume,
    path: pathlib.Path,
    volume: Volume,
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
