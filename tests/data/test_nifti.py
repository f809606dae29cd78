"""Where voxels lie, as SimpleITK sees it, and back again."""

import gzip
import itertools

import nibabel
import numpy as np
import pytest
import SimpleITK

from synergynet_tf.data import nifti
from tests.data.trees import volume, write_nifti

SHAPE = (5, 6, 7)
SPACING = (1.5, 1.25, 2.0)  # Less than twice apart: axial slices.


def rotation(degrees, about):
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    matrix = np.eye(3)
    first, second = [axis for axis in range(3) if axis != about]
    matrix[[first, first, second, second], [first, second, first, second]] = (
        cos,
        -sin,
        sin,
        cos,
    )
    return matrix


def affine_of(directions, spacing=SPACING, origin=(-20.0, 30.0, 40.0)):
    affine = np.eye(4)
    affine[:3, :3] = np.array(directions) * np.array(spacing)
    affine[:3, 3] = origin
    return affine


AFFINES = {
    "RAS": affine_of(np.eye(3)),
    "LPS": affine_of(np.diag([-1, -1, 1])),
    "LAI": affine_of(np.diag([-1, 1, -1])),
    # First axis to posterior, second to superior, third to left.
    "PSL": affine_of([[0, 0, -1], [-1, 0, 0], [0, 1, 0]]),
    # First axis to right, second to superior, third to anterior: not its own inverse.
    "RSA": affine_of([[1, 0, 0], [0, 0, 1], [0, 1, 0]]),
    "oblique": affine_of(rotation(25, 0) @ rotation(-15, 2) @ np.diag([-1, 1, 1])),
}


def write(path, affine, shape=SHAPE, dtype=np.int16):
    array = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


@pytest.mark.parametrize("name", AFFINES)
def test_voxels_lie_where_itk_says(name, tmp_path):
    path = write(tmp_path / "a.nii.gz", AFFINES[name])
    array, spacing_mm, geometry = nifti.read(path)
    image = SimpleITK.ReadImage(str(path))
    affine = geometry.affine()
    for index in np.ndindex(array.shape):
        point = affine @ [*index, 1]
        # ITK's world is LPS+, NIfTI's RAS+.
        lps = (-point[0], -point[1], point[2])
        found = image.TransformPhysicalPointToContinuousIndex(lps)
        voxel = [round(value) for value in found]
        assert found == pytest.approx(voxel, abs=1e-4)
        assert image.GetPixel(voxel) == array[index]
    np.testing.assert_allclose(np.linalg.norm(affine[:3, :3], axis=0), spacing_mm)


@pytest.mark.parametrize("name", sorted(set(AFFINES) - {"oblique"}))
def test_slices_are_axial_and_seen_from_below(name, tmp_path):
    volume = nifti.read(write(tmp_path / "a.nii.gz", AFFINES[name]))
    directions = volume.geometry.affine()[:3, :3] / volume.spacing_mm
    # Slices to superior, rows to posterior, columns to left.
    expected = np.array([[0, 0, -1], [0, -1, 0], [1, 0, 0]])
    np.testing.assert_allclose(directions, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        # Sagittal: slices to left, rows to inferior, columns to posterior.
        (0, [[-1, 0, 0], [0, 0, -1], [0, -1, 0]]),
        # Coronal: slices to posterior, rows to inferior, columns to left.
        (1, [[0, 0, -1], [-1, 0, 0], [0, -1, 0]]),
        (2, [[0, 0, -1], [0, -1, 0], [1, 0, 0]]),
    ],
)
def test_the_coarse_axis_is_sliced(axis, expected, tmp_path):
    spacing = np.ones(3)
    spacing[axis] = 2.0
    affine = affine_of(np.eye(3), spacing)
    volume = nifti.read(write(tmp_path / "a.nii.gz", affine))
    directions = volume.geometry.affine()[:3, :3] / volume.spacing_mm
    np.testing.assert_allclose(directions, expected, atol=1e-6)
    assert volume.spacing_mm == (2, 1, 1)
    assert volume.array.shape[0] == SHAPE[axis]


def test_one_slice_is_a_slice_whatever_its_spacing(tmp_path):
    path = write(tmp_path / "a.nii", affine_of(np.eye(3), (1, 1, 3)), (6, 1, 7))
    assert nifti.read(path).array.shape == (1, 7, 6)


@pytest.mark.parametrize("name", AFFINES)
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_labels_go_back_onto_the_file_s_grid(name, kind, tmp_path):
    stored = np.random.default_rng(1).integers(0, 4, SHAPE, np.uint8)
    image = kind(stored.astype(np.float32), AFFINES[name])
    image.header["descrip"] = b"scanner"
    nibabel.save(image, tmp_path / "a.nii.gz")
    volume = nifti.read(tmp_path / "a.nii.gz")
    labels = volume.array.astype(np.uint8)
    nifti.write_labels(tmp_path / "b.nii.gz", labels, volume.geometry)
    found = nibabel.load(tmp_path / "b.nii.gz")
    np.testing.assert_array_equal(np.asarray(found.dataobj), stored)
    assert found.get_data_dtype() == np.uint8
    first, second = nibabel.load(tmp_path / "a.nii.gz").header, found.header
    for field in ("pixdim", "qform_code", "sform_code", "srow_x", "srow_z", "descrip"):
        assert first[field].tolist() == second[field].tolist(), field
    np.testing.assert_array_equal(first.get_best_affine(), found.affine)
    if kind is nibabel.Nifti1Image:  # ITK does not read the other.
        images = [SimpleITK.ReadImage(str(tmp_path / f"{n}.nii.gz")) for n in "ab"]
        for method in ("GetOrigin", "GetDirection", "GetSpacing", "GetSize"):
            assert len({getattr(image, method)() for image in images}) == 1
    again = nifti.read(tmp_path / "b.nii.gz")
    np.testing.assert_array_equal(again.array, labels)


def test_spacing_is_the_header_s_where_the_affine_has_directions_alone(tmp_path):
    path = write(tmp_path / "a.nii.gz", np.diag([-1.0, -1, 1, 1]))
    image = nibabel.load(path)
    image.header["pixdim"][1:4] = 1.5, 1.5, 10
    nibabel.save(image, tmp_path / "b.nii.gz")
    volume = nifti.read(tmp_path / "b.nii.gz")
    assert volume.spacing_mm == (10, 1.5, 1.5)
    labels = np.zeros(volume.array.shape, np.uint8)
    nifti.write_labels(tmp_path / "c.nii.gz", labels, volume.geometry)
    assert nifti.read(tmp_path / "c.nii.gz").spacing_mm == (10, 1.5, 1.5)
    assert SimpleITK.ReadImage(str(tmp_path / "c.nii.gz")).GetSpacing() == (
        1.5,
        1.5,
        10,
    )


def test_units_become_millimeters(tmp_path):
    image = nibabel.load(write(tmp_path / "a.nii", affine_of(np.eye(3))))
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "b.nii")
    assert nifti.read(tmp_path / "b.nii").spacing_mm == pytest.approx(
        (0.002, 0.00125, 0.0015)
    )


def test_values_are_scaled_and_labels_are_not(tmp_path):
    image = nibabel.Nifti1Image(np.full(SHAPE, 7, np.int16), np.eye(4))
    image.header.set_slope_inter(2.0, -4.0)
    nibabel.save(image, tmp_path / "a.nii")
    volume = nifti.read(tmp_path / "a.nii")
    assert volume.array.max() == 7 * 2 - 4 and volume.array.dtype == np.float32
    labels = np.full(volume.array.shape, 3, np.uint8)
    nifti.write_labels(tmp_path / "b.nii", labels, volume.geometry)
    assert nifti.read(tmp_path / "b.nii").array.max() == 3


def test_channels_come_last_and_a_lone_one_goes(tmp_path):
    array, _, geometry = nifti.read(write(tmp_path / "a.nii", np.eye(4), (*SHAPE, 3)))
    assert array.shape == (7, 6, 5, 3)
    labels = np.ones((7, 6, 5), np.uint8)
    nifti.write_labels(tmp_path / "b.nii", labels, geometry)
    assert nibabel.load(tmp_path / "b.nii").shape == SHAPE
    one = nifti.read(write(tmp_path / "c.nii", np.eye(4), (*SHAPE, 1)))
    assert one.array.shape == (7, 6, 5)


def test_two_axes_are_one_slice(tmp_path):
    array, _, geometry = nifti.read(write(tmp_path / "a.nii", np.eye(4), (5, 6)))
    assert array.shape == (1, 6, 5)
    nifti.write_labels(tmp_path / "b.nii", array.astype(np.uint8), geometry)
    assert nibabel.load(tmp_path / "b.nii").shape == (5, 6)


def damage(path, offset, value):
    data = bytearray(path.read_bytes())
    data[offset : offset + len(value)] = value
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (84, np.float32(0).tobytes(), "spacing must be above 0"),  # pixdim[2]
        (84, np.float32(np.nan).tobytes(), "spacing must be above 0"),
        (
            40,
            np.int16(5).tobytes() + np.int16([5, 6, 7, 1, 2]).tobytes(),
            "2 to 4 axes",
        ),
        (42, np.int16(50).tobytes(), "truncated"),  # dim[1]
        (70, np.int16(128).tobytes() + np.int16(24).tobytes(), "real numbers"),  # RGB
        (280, np.zeros(12, np.float32).tobytes(), "three directions"),  # srow
        (0, b"\0\0\0\0", "no NIfTI header"),
    ],
)
def test_a_header_that_cannot_be_is_refused(offset, value, message, tmp_path, capsys):
    path = write(tmp_path / "scan.nii", np.eye(4))
    damage(path, offset, value)
    with pytest.raises(ValueError, match=rf"scan\.nii is not .*{message}"):
        nifti.read(path)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.9, 0.999])
def test_truncated_files_are_refused(name, share, tmp_path):
    path = write(tmp_path / name, np.eye(4))
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ValueError, match=f"{name} is not a usable NIfTI file"):
        nifti.read(path)


def test_a_flipped_bit_is_noticed(tmp_path):
    path = write(tmp_path / "a.nii.gz", np.eye(4))
    damage(path, len(path.read_bytes()) - 6, b"\xff\xff")  # Of the checksum.
    with pytest.raises(ValueError, match=r"a\.nii\.gz is not a usable"):
        nifti.read(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(value, tmp_path):
    array = np.zeros(SHAPE, np.float32)
    array[1, 2, 3] = value
    path = tmp_path / "a.nii"
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), path)
    with pytest.raises(ValueError, match=r"a\.nii is not .* 1 NaN or infinite"):
        nifti.read(path)


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(b"not an image" * 100))
    with pytest.raises(ValueError, match="no NIfTI header"):
        nifti.read(path)
    with pytest.raises(FileNotFoundError):
        nifti.read(tmp_path / "b.nii")


def test_labels_of_another_grid_are_not_written(tmp_path):
    volume = nifti.read(write(tmp_path / "a.nii", np.eye(4)))
    good = np.zeros(volume.array.shape, np.uint8)
    for labels in (good[1:], good.astype(int)):
        with pytest.raises(ValueError, match=r"`labels` must be uint8 \(7, 6, 5\)"):
            nifti.write_labels(tmp_path / "b.nii", labels, volume.geometry)
    with pytest.raises(ValueError, match=r"b\.png must end in \.nii\.gz or \.nii"):
        nifti.write_labels(tmp_path / "b.png", good, volume.geometry)
    assert not (tmp_path / "b.nii").exists()


def test_every_orientation_is_the_same_scan(tmp_path):
    """One scan, stored in each of the 48 ways, is read the same."""
    scan = np.random.default_rng(0).integers(0, 200, SHAPE).astype(np.int16)
    affine = affine_of(np.eye(3))
    expected = None
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            orientation = np.column_stack([order, signs])
            image = nibabel.Nifti1Image(scan, affine).as_reoriented(orientation)
            nibabel.save(image, tmp_path / "a.nii")
            array, spacing_mm, geometry = nifti.read(tmp_path / "a.nii")
            if expected is None:
                expected = array, spacing_mm, geometry.affine()
            np.testing.assert_array_equal(array, expected[0])
            assert spacing_mm == expected[1]
            np.testing.assert_allclose(geometry.affine(), expected[2], atol=1e-4)


def test_a_stream_that_goes_on_is_refused(tmp_path):
    path = write(tmp_path / "a.nii.gz", np.eye(4))
    data = path.read_bytes()
    path.write_bytes(data + gzip.compress(bytes(2**20)))
    assert nifti.read(path).array.shape == (7, 6, 5)
    path.write_bytes(data + gzip.compress(bytes(2**26), 1) * 2)
    with pytest.raises(ValueError, match=r"a\.nii\.gz is .*goes on after its 772"):
        nifti.read(path)


def test_a_volume_that_no_scanner_makes_is_refused_before_it_is_read(tmp_path):
    path = write(tmp_path / "a.nii", np.eye(4))
    damage(path, 42, np.int16([32767] * 3).tobytes())
    with pytest.raises(ValueError, match="at most 536870912 voxels"):
        nifti.read(path)


@pytest.mark.parametrize("value", [np.inf, np.nan, -1, 0, 17, 1e9])
def test_voxels_begin_after_the_header(value, tmp_path):
    path = write(tmp_path / "a.nii", np.eye(4))
    damage(path, 108, np.float32(value).tobytes())
    with pytest.raises(ValueError, match=r"a\.nii is .*voxels cannot begin at byte"):
        nifti.read(path)


def test_an_unknown_datatype_is_named_with_its_file(tmp_path):
    path = write(tmp_path / "a.nii", np.eye(4))
    damage(path, 70, np.int16(77).tobytes())
    with pytest.raises(ValueError, match=r"a\.nii is .*unknown datatype, 77"):
        nifti.read(path)


@pytest.mark.parametrize("shape", [(3, 2, 2), (30, 20, 10)])
@pytest.mark.parametrize("rest", [b"x", b"trailing bytes", bytes(9) + b"x", bytes(512)])
def test_bytes_behind_the_gzip_stream_are_ignored(shape, rest, tmp_path):
    path = tmp_path / "a.nii.gz"
    array = volume(shape)
    write_nifti(path, array)
    data = path.read_bytes()
    expected = nifti.read(path).array
    path.write_bytes(data + rest)
    np.testing.assert_array_equal(nifti.read(path).array, expected)
    # What is missing or wrong within the stream is not excused by what is behind it.
    path.write_bytes(data[:-20] + rest)
    with pytest.raises(ValueError, match=r"a\.nii\.gz is not a usable NIfTI file"):
        nifti.read(path)
    path.write_bytes(data[:-8] + bytes(8) + rest)
    with pytest.raises(ValueError, match=r"a\.nii\.gz is not a usable .*CRC"):
        nifti.read(path)


def test_a_short_stream_before_other_bytes_is_truncated(tmp_path):
    path = tmp_path / "a.nii.gz"
    write_nifti(path, volume((30, 20, 10)))
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-1]) + b"more")
    with pytest.raises(ValueError, match="it is truncated"):
        nifti.read(path)
