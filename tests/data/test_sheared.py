"""Volumes and distances on grids whose axes are not orthogonal, by hand."""

import dataclasses
import math
import types

import nibabel
import numpy as np
import pytest

from synergynet_tf import metrics
from synergynet_tf.config import DataConfig
from synergynet_tf.data import DATASETS, nifti
from synergynet_tf.data.check import check
from synergynet_tf.evaluation import evaluate
from synergynet_tf.evaluation.inputs import read_input
from synergynet_tf.evaluation.scores import score_labeled
from synergynet_tf.metrics.surface import diagonal_mm
from tests.data.test_nifti import AFFINES
from tests.data.trees import write_dataset_json


def tilted(degrees, across=0.5, slice_mm=5.0):
    """Returns the affine of a gantry's tilt: each slice is moved along the rows.

    The area of a pixel times the distance of the slices' planes is a voxel's volume:
    0.5 * 0.5 * 5 mm = 1.25 microliters whatever the tilt.
    """
    affine = np.diag([across, across, slice_mm, 1.0])
    affine[1, 2] = slice_mm * math.tan(math.radians(degrees))
    return affine


def write(path, affine, array=None, pixdim=None):
    array = np.arange(8 * 6 * 4).reshape(8, 6, 4) if array is None else array
    image = nibabel.Nifti1Image(array.astype(np.int16), affine)
    if pixdim is not None:
        image.header["pixdim"][1:4] = pixdim
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(image.to_bytes())
    return path


@pytest.mark.parametrize("degrees", [10, 20, 30])
def test_a_tilted_gantry_changes_no_volume(degrees, tmp_path):
    path = write(tmp_path / "scan.nii", tilted(degrees))
    assert read_input(path).voxel_ml == pytest.approx(0.00125, rel=1e-6)


@pytest.mark.parametrize("degrees", [10, 30])
def test_a_spacing_between_planes_is_taken_as_such(degrees, tmp_path):
    # The step between slices is longer than the distance of their planes.
    path = write(tmp_path / "scan.nii", tilted(degrees), pixdim=(0.5, 0.5, 5.0))
    assert read_input(path).voxel_ml == pytest.approx(0.00125, rel=1e-6)


def test_an_affine_of_directions_alone_has_the_spacing_s_lengths(tmp_path):
    affine = tilted(30)
    affine[:3, :3] /= np.linalg.norm(affine[:3, :3], axis=0)
    path = write(tmp_path / "scan.nii", affine, pixdim=(0.5, 0.5, 8.0))
    # 0.5 * 0.5 * 8 mm, along a step 30 degrees from upright.
    expected = 0.5 * 0.5 * 8 * math.cos(math.radians(30)) / 1000
    assert read_input(path).voxel_ml == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", AFFINES)
def test_orthogonal_and_oblique_grids_are_as_before(name, tmp_path):
    volume = nifti.read(write(tmp_path / "scan.nii", AFFINES[name]))
    assert volume.steps_mm is None
    assert volume.voxel_ml == math.prod(volume.spacing_mm) / 1000


def test_an_oblique_and_sheared_grid(tmp_path):
    affine = AFFINES["oblique"] @ tilted(20)
    path = write(tmp_path / "scan.nii", affine)
    # 1.5 * 1.25 * 2 of the rotated grid, times 1.25 of the sheared one.
    expected = 3.75 * 1.25 / 1000
    assert read_input(path).voxel_ml == pytest.approx(expected, rel=1e-6)


def test_distances_take_the_steps_as_they_are():
    # One voxel each, a slice apart: the step is (5, 5) mm, not 5.
    true, pred = np.zeros((2, 3, 4, 4), bool)
    true[0, 1, 1], pred[1, 1, 1] = True, True
    steps = np.array([[5.0, 5.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    length = math.hypot(5, 5)
    assert metrics.hausdorff95_mm(true, pred, steps) == pytest.approx(length)
    assert metrics.surface_dice(true, pred, steps, length + 1e-6) == 1
    assert metrics.surface_dice(true, pred, steps, length - 1e-6) == 0
    # Five rows further on in the next slice, it is straight above: 5 mm.
    true, pred = np.zeros((2, 3, 9, 4), bool)
    true[0, 6, 1], pred[1, 1, 1] = True, True
    assert metrics.hausdorff95_mm(true, pred, steps) == pytest.approx(5)
    found = metrics.hausdorff95_mm(true, pred, (math.hypot(5, 5), 1, 1))
    assert found == pytest.approx(math.hypot(5, 5, 5))  # What it was taken for.


def test_orthogonal_steps_are_a_spacing():
    rng = np.random.default_rng(0)
    true, pred = rng.random((2, 4, 9, 8)) > 0.6
    spacing = (5.0, 1.5, 1.25)
    for metric in (metrics.hausdorff95_mm, metrics.surface_dice):
        more = (1.6,) if metric is metrics.surface_dice else ()
        assert metric(true, pred, np.diag(spacing), *more) == pytest.approx(
            metric(true, pred, spacing, *more)
        )


def test_the_diagonal_of_a_sheared_grid():
    assert diagonal_mm((2, 3), (3.0, 4 / 3)) == math.hypot(6, 4)
    # Corners of a parallelogram: (0, 0), (4, 3), (4, 0) + ... : one diagonal is longer.
    steps = np.array([[2.0, 0.0], [1.0, 1.0]])
    assert diagonal_mm((2, 3), steps) == pytest.approx(math.hypot(4 + 3, 3))


def test_steps_that_span_no_space_are_refused():
    masks = np.ones((2, 2, 2), bool)
    for wrong in (np.zeros((2, 2)), np.ones((2, 3)), np.eye(3)):
        with pytest.raises(ValueError, match="one for each axis"):
            metrics.hausdorff95_mm(masks[0], masks[1], wrong)


@pytest.fixture
def task(tmp_path):
    labels = np.zeros((8, 6, 4), np.uint8)
    labels[2:5, 2:4, 1:3] = 1
    for number, degrees in enumerate((0, 0, 20)):
        image = np.random.default_rng(number).integers(0, 900, labels.shape)
        name = f"case{number:02d}.nii.gz"
        write(tmp_path / "imagesTr" / name, tilted(degrees), image)
        write(tmp_path / "labelsTr" / name, tilted(degrees), labels)
    write_dataset_json(tmp_path, labels={"background": 0, "tumor": 1})
    return tmp_path


def test_the_check_notes_a_sheared_grid(task):
    (note,) = check(DataConfig("msd", str(task)), workers=0).notes
    assert "case02" in note and "not orthogonal" in note


def test_cases_bring_their_steps(task):
    read = DATASETS["msd"].read_case
    assert read(task, "case00").steps_mm is None
    steps = read(task, "case02").steps_mm
    assert abs(np.linalg.det(steps)) == pytest.approx(1.25)
    # From a slice to the next: 5 mm up, and along by the tangent.
    assert np.linalg.norm(steps[0]) == pytest.approx(5 / math.cos(math.radians(20)))


def test_a_sheared_case_is_scored_by_its_steps(task, monkeypatch):
    cases = types.SimpleNamespace(patients={"case02": "a"}, case_ids=["case02"])
    case = DATASETS["msd"].read_case(task, "case02")
    maps = {"native": case.label}
    monkeypatch.setattr(evaluate, "_predict", lambda *arguments: [(case, maps)])
    (labeled,) = evaluate._label(cases, None, None, ["strict"])
    np.testing.assert_array_equal(labeled.spacing_mm, case.steps_mm)
    empty = dataclasses.replace(
        labeled, pred_labels={"native": np.zeros_like(case.label)}
    )
    result = score_labeled(empty, ["tumor"], ["strict"], 1.0)
    # Missed: the longest diagonal of 4 slices, 8 and 6 pixels of 0.5 mm.
    along = 4 * 5 * math.tan(math.radians(20)) + 6 * 0.5
    expected = math.hypot(4 * 5, along, 8 * 0.5)
    assert result.scores["strict"]["tumor"]["hd95"] == pytest.approx(expected, rel=1e-5)
