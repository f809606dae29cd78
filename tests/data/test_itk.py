"""NRRD and MetaImage files are the volumes that NIfTI files of the same scan are."""

import itertools
import re

import nibabel
import numpy as np
import pytest
import SimpleITK

from synergynet_tf.data import itk, nifti, volumes

ENDING = pytest.mark.parametrize("ending", itk.ENDINGS)
# Each axis of the file runs along one of the patient's, in either direction.
DIRECTIONS = [
    np.eye(3)[list(order)] * signs
    for order, signs in zip(
        itertools.permutations(range(3)),
        [(1, 1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, -1), (-1, -1, -1), (-1, 1, -1)],
        strict=True,
    )
]
OBLIQUE = np.array([[0.96, -0.28, 0], [0.28, 0.96, 0], [0, 0, 1.0]])


def image(array, spacing=(0.7, 1.1, 2.5), origin=(-12.3, 45.6, 7.89), direction=None):
    """An image of `array` `(x, y, z[, components])`."""
    components = array.ndim == 4
    made = SimpleITK.GetImageFromArray(
        np.moveaxis(array, (0, 1, 2), (2, 1, 0)), isVector=components
    )
    made.SetSpacing(spacing)
    made.SetOrigin(origin)
    made.SetDirection((np.eye(3) if direction is None else direction).ravel().tolist())
    return made


def noise(*shape, dtype=np.float32):
    return np.random.default_rng(0).integers(-500, 900, shape).astype(dtype)


@ENDING
@pytest.mark.parametrize("direction", [*DIRECTIONS, OBLIQUE])
def test_a_file_is_what_nifti_s_is(direction, ending, tmp_path):
    scan = image(noise(6, 5, 4), direction=direction)
    for name in (f"a{ending}", "a.nii.gz"):
        SimpleITK.WriteImage(scan, str(tmp_path / name))
    found = volumes.read(tmp_path / f"a{ending}")
    expected = nifti.read(tmp_path / "a.nii.gz")
    assert np.array_equal(found.array, expected.array)
    assert found.array.flags["C_CONTIGUOUS"] and found.array.dtype == np.float32
    assert found.spacing_mm == pytest.approx(expected.spacing_mm)
    np.testing.assert_allclose(
        found.geometry.affine(), expected.geometry.affine(), atol=1e-4
    )
    grid = volumes.read_grid(tmp_path / f"a{ending}")
    assert grid.array.shape == found.array.shape and not grid.array.any()
    assert grid.spacing_mm == found.spacing_mm
    assert np.array_equal(grid.geometry.affine(), found.geometry.affine())


@ENDING
@pytest.mark.parametrize("direction", [*DIRECTIONS, OBLIQUE])
def test_labels_go_back_onto_the_file_s_grid(direction, ending, tmp_path):
    # Numbers that float32 does not hold.
    scan = image(noise(6, 5, 4), (0.1, 0.3, 0.7), (1 / 3, 2 / 3, 0.1), direction)
    SimpleITK.WriteImage(scan, str(tmp_path / f"a{ending}"))
    volume = volumes.read(tmp_path / f"a{ending}")
    labels = (volume.array > 300).astype(np.uint8)
    volumes.write_labels(tmp_path / f"b{ending}", labels, volume.geometry)
    back = SimpleITK.ReadImage(str(tmp_path / f"b{ending}"))
    stored = SimpleITK.ReadImage(str(tmp_path / f"a{ending}"))
    assert np.array_equal(
        SimpleITK.GetArrayFromImage(back) == 1, SimpleITK.GetArrayFromImage(scan) > 300
    )
    for name in ("GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(back, name)() == getattr(stored, name)()


@ENDING
def test_components_are_channels(ending, tmp_path):
    array = noise(6, 5, 4, 3)
    SimpleITK.WriteImage(image(array), str(tmp_path / f"a{ending}"))
    found = volumes.read(tmp_path / f"a{ending}")
    assert found.array.shape == (4, 5, 6, 3)
    alone = tmp_path / f"b{ending}"
    SimpleITK.WriteImage(image(array[..., 1]), str(alone))
    assert np.array_equal(found.array[..., 1], volumes.read(alone).array)
    assert volumes.count_channels(tmp_path / f"a{ending}") == 3
    assert volumes.count_channels(alone) == 1


@ENDING
def test_two_axes_are_one_slice(ending, tmp_path):
    flat = SimpleITK.GetImageFromArray(noise(5, 6))
    flat.SetSpacing((0.5, 2.0))
    path = tmp_path / f"a{ending}"
    SimpleITK.WriteImage(flat, str(path))
    found = volumes.read(path)
    assert found.array.shape[0] == 1 and found.array.size == 30
    labels = np.zeros(found.array.shape, np.uint8)
    volumes.write_labels(tmp_path / f"b{ending}", labels, found.geometry)
    assert SimpleITK.ReadImage(str(tmp_path / f"b{ending}")).GetSize() == (6, 5)


@ENDING
def test_a_tilted_grid_has_the_volume_of_its_determinant(ending, tmp_path):
    tilt = np.array([[1, 0, 0], [0, 1, np.sin(0.3)], [0, 0, np.cos(0.3)]])
    scan = image(noise(4, 4, 4), (1.0, 1.0, 2.0), direction=tilt)
    SimpleITK.WriteImage(scan, str(tmp_path / f"a{ending}"))
    found = volumes.read(tmp_path / f"a{ending}")
    if np.allclose(scan.GetDirection(), _stored(tmp_path / f"a{ending}")):
        assert found.voxel_ml == pytest.approx(2 * np.cos(0.3) / 1000, rel=1e-3)


def _stored(path):
    return SimpleITK.ReadImage(str(path)).GetDirection()


@ENDING
@pytest.mark.parametrize("share", [0.0, 0.2, 0.6, 0.99])
@pytest.mark.parametrize("compressed", [False, True])
def test_truncated_files_are_refused(compressed, share, ending, tmp_path):
    path = tmp_path / f"a{ending}"
    SimpleITK.WriteImage(image(noise(12, 11, 10)), str(path), compressed)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    message = rf"a\{ending} is not a usable NRRD or MetaImage file: .*; correct or rem"
    with pytest.raises(ValueError, match=message):
        volumes.read(path)


@ENDING
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(value, ending, tmp_path):
    array = noise(4, 4, 4)
    array[1, 2, 3] = value
    path = tmp_path / f"a{ending}"
    SimpleITK.WriteImage(image(array), str(path))
    with pytest.raises(ValueError, match="it holds 1 NaN or infinite"):
        volumes.read(path)


@ENDING
def test_a_file_of_another_kind_is_refused(ending, tmp_path):
    path = tmp_path / f"a{ending}"
    nibabel.save(nibabel.Nifti1Image(noise(4, 4, 4), np.eye(4)), tmp_path / "a.nii")
    for content in (b"", b"text", b"NRRD0004\n\n", (tmp_path / "a.nii").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=re.escape(str(path))):
            volumes.read(path)
        with pytest.raises(ValueError, match=re.escape(str(path))):
            volumes.read_grid(path)
        assert volumes.count_channels(path) == 0
    with pytest.raises(FileNotFoundError):
        volumes.read(tmp_path / f"none{ending}")


def test_a_header_that_names_another_file_is_refused(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(64))
    nrrd = (
        "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 4 4 4\nencoding: raw\n"
        "data file: secret\n\n"
    )
    mha = (
        "ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_UCHAR\n"
        "ElementDataFile = secret\n"
    )
    comment = "Comment = ElementDataFile = LOCAL\n"
    for name, text in (
        ("a.nrrd", nrrd),
        ("a.nrrd", nrrd.replace("\n", "\r\n")),
        ("a.nrrd", nrrd.replace("\ndata", "\n#x\rdata")),
        ("a.nrrd", nrrd.replace("\n", "\r")),
        ("a.mha", mha),
        ("a.mha", mha.replace("= secret", ": secret")),
        ("a.mha", mha.replace("= secret", f"={tmp_path / 'secret'}")),
        ("a.mha", comment + mha),
        ("a.mha", mha.replace("\nNDims", "\nName = a\rElementDataFile = LOCAL\nNDims")),
    ):
        (tmp_path / name).write_bytes(text.encode())
        is_torn = b"\r" in text.encode().replace(b"\r\n", b"")
        reason = "return within|not end" if is_torn else "voxels are in another file"
        with pytest.raises(ValueError, match=reason):
            volumes.read(tmp_path / name)


def test_a_volume_that_no_scanner_makes_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "a.nrrd"
    sizes = "sizes: 4096 4096 4096\nencoding: raw\n\n"
    path.write_text(f"NRRD0004\ntype: uint8\ndimension: 3\n{sizes}")
    with pytest.raises(ValueError, match=f"at most {nifti.MAX_VOXELS} voxels"):
        volumes.read(path)


def test_labels_of_another_grid_are_not_written(tmp_path):
    SimpleITK.WriteImage(image(noise(4, 4, 4)), str(tmp_path / "a.nrrd"))
    geometry = volumes.read(tmp_path / "a.nrrd").geometry
    with pytest.raises(ValueError, match="`labels` must be uint8"):
        volumes.write_labels(
            tmp_path / "b.nrrd", np.zeros((3, 4, 4), np.uint8), geometry
        )
    assert not (tmp_path / "b.nrrd").exists()
