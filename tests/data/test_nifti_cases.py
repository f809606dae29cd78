import re

import numpy as np
import pytest

from synergynet_tf.data.nifti import map_labels, read_labeled
from tests.data.trees import box_labels, volume, write_nifti

SHAPE = (8, 6, 3)
VALUES = {0: 0, 1: 1, 2: 2}


@pytest.fixture
def files(tmp_path):
    image, label = tmp_path / "image.nii.gz", tmp_path / "label.nii.gz"
    write_nifti(image, volume(SHAPE), (1, 1, 4))
    write_nifti(label, box_labels(SHAPE, 2), (1, 1, 4))
    return image, label


def read(image, label, **options):
    return read_labeled("p7", [image], label, VALUES, **options)


def refuses(message, image, label, **options):
    with pytest.raises(ValueError, match=f"^Case p7: (?!Case).*{message}") as error:
        read(image, label, **options)
    assert "\n" not in str(error.value)


def test_image_and_labels_lie_on_each_other(files):
    case = read(*files)
    assert case.image.shape == (3, 6, 8, 1) and case.spacing_mm == (4, 1, 1)
    # Stored to left and posterior, so rows are the second axis, columns the first.
    np.testing.assert_array_equal(case.image[..., 0], volume(SHAPE).T)
    np.testing.assert_array_equal(case.label, box_labels(SHAPE, 2).T)


def test_labels_stored_in_another_order_are_the_same(files):
    image, label = files
    affine = np.diag([1.0, 1.0, 4.0, 1.0])
    affine[:2, 3] = -7, -5  # The last voxel of the other.
    write_nifti(label, box_labels(SHAPE, 2)[::-1, ::-1], affine=affine)
    np.testing.assert_array_equal(read(image, label).label, box_labels(SHAPE, 2).T)


def test_several_files_are_channels(files, tmp_path):
    image, label = files
    write_nifti(tmp_path / "second.nii", volume(SHAPE, 5), (1, 1, 4))
    both = [image, tmp_path / "second.nii"]
    case = read_labeled("p7", both, label, VALUES)
    np.testing.assert_array_equal(case.image[..., 1], volume(SHAPE, 5).T)
    both.append(write_other(tmp_path / "third.nii", (1, 1, 5)))
    with pytest.raises(ValueError, match=r"Case p7: .*spacing.*third\.nii"):
        read_labeled("p7", both, label, VALUES)


def write_other(path, spacing=(1, 1, 4), shift=(0, 0, 0), array=None, shape=SHAPE):
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    affine[:3, 3] = shift
    write_nifti(path, box_labels(shape, 2) if array is None else array, affine=affine)
    return path


def test_grids_that_differ_are_refused(files):
    image, label = files
    refuses(r"label\.nii\.gz has the shape", image, write_other(label, shape=(8, 6, 4)))
    refuses(r"label\.nii\.gz has a spacing", image, write_other(label, (1, 1, 4.2)))
    shifted = write_other(label, shift=(0, 0.2, 0))
    refuses(r"different affines: .* 0\.2 mm", image, shifted)
    read(image, write_other(label, shift=(0, 0.05, 0)))  # Rounding, not a shift.


@pytest.mark.parametrize(
    ("value", "message"),
    [(3, "unknown values 3; known are 0, 1, 2"), (-1, "values -1"), (1.5, "1.5")],
)
def test_labels_that_are_no_classes_are_refused(value, message, files):
    labels = box_labels(SHAPE, 2).astype(np.float32)
    labels[0, 0, 0] = value
    image, label = files
    refuses(
        re.escape("label.nii.gz") + ".*" + message,
        image,
        write_other(label, array=labels),
    )


@pytest.mark.parametrize("which", [0, 1])
def test_nan_is_refused_with_its_file(which, files):
    array = np.zeros(SHAPE, np.float32)
    array[0, 0, 0] = np.nan
    write_nifti(files[which], array, (1, 1, 4))
    refuses(files[which].name + ".* 1 NaN", *files)


def test_a_fourth_axis_is_refused_unless_expected(files):
    image, label = files
    write_nifti(image, np.stack([volume(SHAPE)] * 4, axis=-1), (1, 1, 4))
    refuses(r"image\.nii\.gz must have 3 axes. Received: 4.* 4", image, label)
    assert read(image, label, may_have_channels=True).image.shape[-1] == 4
    with pytest.raises(ValueError, match=r"image\.nii\.gz must have 3 axes"):
        read_labeled("p7", [image] * 2, label, VALUES, may_have_channels=True)
    label4 = np.stack([box_labels(SHAPE, 2)] * 2, axis=-1)
    refuses(
        r"label\.nii\.gz must have 3 axes",
        image,
        write_other(label, array=label4),
        may_have_channels=True,
    )


def test_values_are_mapped(tmp_path):
    array = np.array([0, 7, 9, 3], np.float32)
    labels = map_labels(array, {0: 0, 3: 2, 7: 1, 9: 0}, tmp_path)
    assert labels.tolist() == [0, 1, 0, 2] and labels.dtype == np.uint8
