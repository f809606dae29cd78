"""A bright block in a NIfTI file is labeled where it lies, however it is stored."""

import csv
import math
import sys

import nibabel
import numpy as np
import pytest
import SimpleITK

from synergynet_tf import errors, runs
from synergynet_tf.config import DataConfig, ExperimentConfig, ModelConfig
from synergynet_tf.data import itk, volumes
from tests.data.test_nifti import AFFINES
from tests.data.trees import write_dataset_json, write_nifti
from tests.evaluation import squares

SIDE = squares.SIZE  # The network's grid is the volume's: nothing is resized.
SPACING = (1.5, 1.25, 2.0)


def write_block(path, affine, columns=slice(2, 18)):
    """Writes a volume, one eighth of it bright, that has no two sides alike."""
    array = np.zeros((SIDE, SIDE, SIDE), np.int16)
    array[columns, 5:21, 11:27] = 900
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


@pytest.fixture
def volume_run(tmp_path, monkeypatch):
    for module in ("evaluate", "predictor"):
        target = f"synergynet_tf.evaluation.{module}.load_run_model"
        monkeypatch.setattr(target, squares.build_model)
    config = ExperimentConfig(
        data=DataConfig("msd", str(tmp_path / "data"), "random", modality="mri"),
        model=ModelConfig("r50-unet", image_size=SIDE),
    )
    run = tmp_path / "run"
    runs.write_text(run / "config.json", config.to_json())
    runs.write_json(run / "classes.json", ["block"])
    runs.write_text(run / runs.BEST_WEIGHTS, "")
    squares.write_history(run, epochs=1)
    return run


@pytest.mark.parametrize("name", AFFINES)
def test_labels_lie_where_the_block_does(name, volume_run, tmp_path):
    path = write_block(tmp_path / "scan.nii.gz", AFFINES[name])
    squares.label(volume_run, [path], tmp_path / "out")
    image, labels = (nibabel.load(p) for p in (path, tmp_path / "out" / path.name))
    assert labels.get_data_dtype() == np.uint8
    assert np.array_equal(labels.get_fdata(), image.get_fdata() > 450)
    assert np.array_equal(labels.affine, image.affine)
    for field in ("qform_code", "sform_code", "pixdim", "xyzt_units"):
        assert np.array_equal(labels.header[field], image.header[field])
    # Another reader agrees.
    seen = [SimpleITK.ReadImage(str(p)) for p in (path, tmp_path / "out" / path.name)]
    for method in ("GetOrigin", "GetSpacing", "GetDirection", "GetSize"):
        assert getattr(seen[0], method)() == getattr(seen[1], method)()
    bright, found = (SimpleITK.GetArrayFromImage(i) for i in seen)
    assert np.array_equal(bright > 450, found > 0)


@pytest.mark.parametrize("ending", itk.ENDINGS)
def test_a_label_map_has_the_format_of_its_volume(ending, volume_run, tmp_path):
    block = write_block(tmp_path / "block.nii.gz", AFFINES["LPS"])
    path = tmp_path / f"scan{ending}"
    SimpleITK.WriteImage(SimpleITK.ReadImage(str(block)), str(path))
    squares.label(volume_run, [path], tmp_path / "out")
    written = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert written == sorted([f"scan{ending}", "scan_overlay.png", "summary.csv"])
    seen = [SimpleITK.ReadImage(str(p)) for p in (path, tmp_path / "out" / path.name)]
    for method in ("GetOrigin", "GetSpacing", "GetDirection", "GetSize"):
        assert getattr(seen[0], method)() == getattr(seen[1], method)()
    bright, found = (SimpleITK.GetArrayFromImage(i) for i in seen)
    assert np.array_equal(bright > 450, found > 0)


def test_without_simpleitk_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "scan.nrrd").write_text("NRRD0004")
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(ModuleNotFoundError) as refused:
        volumes.read(tmp_path / "scan.nrrd")
    assert "synergynet-tf[formats]" in errors.message(refused.value)


def test_what_is_written_beside(volume_run, tmp_path):
    path = write_block(tmp_path / "scan.nii", AFFINES["LPS"])
    squares.label(volume_run, [path], tmp_path / "out")
    written = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert written == ["scan.nii.gz", "scan_overlay.png", "summary.csv"]
    with open(tmp_path / "out" / "summary.csv") as file:
        (row,) = csv.DictReader(file)
    # A logit of 0.5 in an eighth of the voxels, of -0.5 in the others.
    bright, dark = 1 / (1 + math.exp(-0.5)), 1 / (1 + math.exp(0.5))
    dice = 2 * bright / (1 + bright + 7 * dark)
    assert float(row.pop("block_confidence")) == pytest.approx(dice, rel=1e-6)
    # 16 * 16 * 16 voxels of 1.5 * 1.25 * 2 mm.
    assert row == {
        "file": "scan.nii",
        "slices": "32",
        "rows": "32",
        "columns": "32",
        "block_voxels": "4096",
        "block_ml": "15.36",
    }


def test_a_volume_is_scored_with_its_spacing(volume_run, tmp_path):
    root = tmp_path / "data"
    write_dataset_json(root, labels={"background": 0, "block": 1})
    for number in range(3):
        affine = AFFINES["oblique"]
        image = write_block(root / f"imagesTr/{number}_0000.nii.gz", affine)
        labels = (nibabel.load(image).get_fdata() > 450).astype(np.uint8)
        labels = np.roll(labels, 1, axis=0)  # 1.5 mm
        write_nifti(root / f"labelsTr/{number}.nii.gz", labels, SPACING, affine)
    report = squares.evaluate(volume_run, protocol="transunet")
    assert report["strict"]["mean"]["dsc"] == pytest.approx(15 / 16)
    assert report["strict"]["mean"]["hd95"] == pytest.approx(1.5)
    assert report["transunet"]["mean"]["hd95"] == 1.0  # voxels
    assert report["distance_unit"] == "mm"


@pytest.mark.parametrize(
    ("columns", "dsc"),
    [
        # Of columns 8 to 24 and rows 8 to 24 the block has 10 and 13.
        (slice(2, 18), 2 * 10 * 13 / (10 * 13 + 16 * 16)),
        (slice(1, 7), 0.0),  # It lies beside the box.
    ],
)
def test_what_a_center_crop_cuts_off_counts_as_missed(
    columns, dsc, volume_run, tmp_path
):
    config = runs.Run(volume_run).config.replace(center_crop=0.5)
    runs.write_text(volume_run / "config.json", config.to_json())
    root, affine = tmp_path / "data", AFFINES["LPS"]
    write_dataset_json(root, labels={"background": 0, "block": 1})
    for number in range(3):
        image = write_block(root / f"imagesTr/{number}_0000.nii.gz", affine, columns)
        bright = nibabel.load(image).get_fdata() > 450
        labels = bright.astype(np.uint8)
        write_nifti(root / f"labelsTr/{number}.nii.gz", labels, SPACING, affine)
    report = squares.evaluate(volume_run)
    assert report["strict"]["mean"]["dsc"] == pytest.approx(dsc)
    missed = {"empty": 0, "missed": int(dsc == 0), "false": 0}
    assert report["structures"] == {"block": missed}

    squares.label(volume_run, [image], tmp_path / "out")
    found = nibabel.load(tmp_path / "out" / f"{number}.nii.gz").get_fdata() > 0
    bright[:8] = bright[24:] = bright[:, :8] = bright[:, 24:] = False
    np.testing.assert_array_equal(found, bright)
