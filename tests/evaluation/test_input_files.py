import shutil

import cv2
import numpy as np
import pytest

from synergynet_tf.data.preprocess import Preprocessor
from synergynet_tf.evaluation.inputs import find_inputs, read_input, stem
from tests.data.decoys import exif
from tests.data.trees import photograph, write_nifti, write_png

RGB, CT, MRI = (Preprocessor(modality, 16) for modality in ("rgb", "ct", "mri"))


@pytest.fixture
def images(tmp_path):
    for number, name in enumerate(("one", "two")):
        write_png(tmp_path / "images" / f"{name}.png", photograph(6, 8, number))
    return tmp_path / "images"


@pytest.fixture
def volumes(tmp_path):
    for name in ("b.nii", "a.nii.gz", "._a.nii.gz"):
        write_nifti(tmp_path / "volumes" / name, np.ones((4, 5, 6), np.int16))
    return tmp_path / "volumes"


def test_folder_and_file(images, volumes, tmp_path):
    out = tmp_path / "out"
    assert [p.name for p in find_inputs(images, out, RGB)] == ["one.png", "two.png"]
    assert [p.name for p in find_inputs(volumes, out, CT)] == ["a.nii.gz", "b.nii"]
    for path in (images / "one.png", volumes / "a.nii.gz"):
        assert find_inputs(path, out, MRI) == [path]


def test_of_a_folder_with_both_the_run_s_kind_is_taken(images, volumes, tmp_path):
    shutil.copy(volumes / "b.nii", images)
    names = {
        data.modality: [p.name for p in find_inputs(images, tmp_path / "out", data)]
        for data in (RGB, CT, MRI)
    }
    assert names == {"rgb": ["one.png", "two.png"], "ct": ["b.nii"], "mri": ["b.nii"]}


def test_names_without_endings(tmp_path):
    for name in ("scan.1.nii.gz", "scan.1.nii", "scan.1.NII.GZ", "scan.1.png"):
        assert stem(tmp_path / name) == "scan.1"


def test_milliliters_a_voxel(tmp_path):
    array = np.ones((4, 5, 6), np.int16)
    write_nifti(tmp_path / "a.nii", array, spacing=(2.0, 5.0, 10.0))
    assert read_input(tmp_path / "a.nii").voxel_ml == 0.1


def test_channels_of_a_fourth_axis_are_picked(tmp_path):
    array = np.ones((4, 5, 6, 4), np.int16)
    write_nifti(tmp_path / "a.nii", array)
    path, out = tmp_path / "a.nii", tmp_path / "out"
    assert read_input(path).image.shape[-1] == 4
    assert find_inputs(path, out, Preprocessor("mri", 16, "0 1 3"))
    with pytest.raises(ValueError, match=r"a\.nii: .*--channels"):
        find_inputs(path, out, MRI)


def test_a_scan_needs_the_channels_that_were_trained_on(tmp_path):
    folder, out = tmp_path / "scans", tmp_path / "out"
    for name in ("a_0000", "a_0001", "b"):
        write_nifti(folder / f"{name}.nii.gz", np.ones((4, 5, 6), np.int16))
    write_png(folder / "c.png", photograph(6, 8, 0))
    two, one, three = (folder / n for n in ("a_0000.nii.gz", "b.nii.gz", "c.png"))
    for path, count in ((two, 2), (one, 1), (three, 3)):
        assert find_inputs(path, out, MRI, channels=count) == [path]
        with pytest.raises(ValueError, match=rf"{path.name} .* {count} .*with 4;"):
            find_inputs(path, out, MRI, channels=4)
    # Picked channels are counted in the scan that they are picked of.
    picked = Preprocessor("mri", 16, "1")
    with pytest.raises(ValueError, match=r"b\.nii\.gz .* 1 .*with 2;"):
        find_inputs(one, out, picked, channels=2)


def test_files_of_channels_are_one_scan(tmp_path):
    folder, out = tmp_path / "scans", tmp_path / "out"
    for name, value in (("a_0000", 1), ("a_0001", 2), ("b_0000", 3), ("c_2024", 4)):
        write_nifti(folder / f"{name}.nii.gz", np.full((4, 5, 6), value, np.int16))
    found = find_inputs(folder, out, MRI)
    assert [p.name[:6] for p in found] == ["a_0000", "b_0000", "c_2024"]
    assert [stem(p) for p in found] == ["a", "b", "c_2024"]
    images = [read_input(p).image for p in found]
    assert [image[0, 0, 0].tolist() for image in images] == [[1, 2], [3], [4]]

    write_nifti(folder / "a_0001.nii.gz", np.ones((4, 5, 7), np.int16))
    with pytest.raises(ValueError, match=r"a_0001\.nii\.gz has the shape .*a_0000"):
        find_inputs(folder / "a_0000.nii.gz", out, MRI)


@pytest.mark.parametrize("name", ["a_0002", "b_0001"])
def test_a_scan_that_lacks_a_channel_is_refused(tmp_path, name):
    for stored in ("a_0000", name):
        write_nifti(tmp_path / "in" / f"{stored}.nii", np.ones((4, 5, 6), np.int16))
    with pytest.raises(ValueError, match=rf"{name}\.nii is a scan's channel"):
        find_inputs(tmp_path / "in", tmp_path / "out", MRI)


def test_wrong_inputs_are_refused(images, volumes, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.png").write_text("")
    (tmp_path / "file.nii").write_text("")
    twins, pictures = tmp_path / "twins", tmp_path / "pictures"
    for name in ("a.nii", "a.nii.gz"):
        write_nifti(twins / name, np.ones((4, 5, 6), np.int16))
    for name in ("a.png", "a_overlay.png"):
        write_png(pictures / name, photograph(6, 8))
    for source, output, data, message in (
        ("nowhere", "out", RGB, "No file or folder .*nowhere"),
        ("empty", "out", RGB, r"No image files \(.jpg .*--input"),
        ("empty", "out", CT, r"No volumes \(.nii.gz .nii .nrrd .mha\)"),
        ("empty", "out", MRI, r"No volumes .* or image files \(.jpg .*"),
        (images, "out", CT, "No volumes"),
        (volumes, "out", RGB, "No image files"),
        (images / "one.png", "out", CT, "one.png is no volume, but the run was"),
        (volumes / "b.nii", "out", RGB, "b.nii is a volume, but the run was"),
        (twins, "out", MRI, "have one name"),
        (pictures, "out", RGB, "would be one file"),
        (images / "one.png", "file.png", RGB, "is a file; .*--output"),
        (images / "one.png", images, RGB, "would replace"),
        ("file.png", "out", RGB, "file.png is not a readable image"),
        ("file.nii", "out", MRI, "file.nii is not a usable NIfTI file"),
    ):
        with pytest.raises((FileNotFoundError, ValueError), match=message):
            find_inputs(tmp_path / source, tmp_path / output, data)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["one.png", "two_overlay.png", "one.nii.gz"])
def test_what_is_not_an_earlier_result_is_not_replaced(images, tmp_path, name):
    out = tmp_path / "masks"
    out.mkdir()
    (out / name).write_text("a reference")
    with pytest.raises(ValueError, match=rf"{name} is there and would be replaced"):
        find_inputs(images, out, RGB)
    for columns in ("case;area\n", "case,patient\n", "file,comment\n", "\xff", ""):
        (out / "summary.csv").write_text(columns, "latin-1")
        with pytest.raises(ValueError, match=r"summary\.csv is there and would be"):
            find_inputs(images, out, RGB)
    for columns in ("file,rows,columns,lesion_pixels", "file,slices,rows", "file"):
        (out / "summary.csv").write_text(f"{columns}\n")
        assert len(find_inputs(images, out, RGB)) == 2


def test_names_that_are_one_file_s_on_the_system(images, tmp_path, monkeypatch):
    write_png(images / "Two.jpg", photograph(6, 8))  # PNG by its content.
    monkeypatch.setattr("sys.platform", "linux")
    assert len(find_inputs(images, tmp_path / "out", RGB)) == 3
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(ValueError, match=r"have one name; keep one"):
        find_inputs(images, tmp_path / "out", RGB)


def test_a_name_to_which_nothing_can_be_added_is_refused(images, tmp_path):
    # Three bytes each: 231 and 234, and 22 that are added.
    write_png(images / ("\u56f3" * 77 + ".png"), photograph(6, 8))
    assert len(find_inputs(images, tmp_path / "out", RGB)) == 3
    write_png(images / ("\u56f3" * 78 + ".png"), photograph(6, 8))
    with pytest.raises(ValueError, match="too long a name"):
        find_inputs(images, tmp_path / "out", RGB)


def test_a_turned_photograph_is_said(images, tmp_path, capsys):
    data = cv2.imencode(".jpg", photograph(12, 16))[1].tobytes()
    (images / "turned.jpg").write_bytes(data[:2] + exif(6) + data[2:])
    assert len(find_inputs(images, tmp_path / "out", RGB)) == 3
    assert "turned.jpg has an EXIF orientation" in capsys.readouterr().err


def test_output_that_cannot_be_written(images, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PermissionError, match=r"--output: .*name another"):
        find_inputs(images, tmp_path / "file" / "out", RGB)


def test_for_a_run_on_one_channel_a_number_is_a_scan_s(tmp_path, capsys):
    folder, out = tmp_path / "scans", tmp_path / "out"
    for number in (1, 2, 10):
        name = f"word_{number:04d}.nii.gz"
        scan = np.full((4, 5, 6), number, np.int16)
        scan[2:] += 100  # Else it is noted that there is nothing in it.
        write_nifti(folder / name, scan)
    found = find_inputs(folder, out, MRI, channels=1)
    assert [p.name[:9] for p in found] == ["word_0001", "word_0002", "word_0010"]
    assert [read_input(p, 1).stem for p in found] == [p.name[:9] for p in found]
    assert capsys.readouterr().err == ""
    with pytest.raises(ValueError, match=r"word_0001\.nii\.gz is a scan's channel"):
        find_inputs(folder, out, MRI, channels=2)
    # Numbers from 0 on are scans as well, and it is said.
    write_nifti(folder / "word_0000.nii.gz", np.full((4, 5, 6), 7, np.int16))
    found = find_inputs(folder, out, MRI, channels=1)
    inputs = [read_input(p, 1) for p in found]
    assert [i.image[0, 0, 0].tolist() for i in inputs] == [[7], [1], [2], [10]]
    assert inputs[0].stem == "word_0000"
    note = capsys.readouterr().err
    assert "word_0000.nii.gz and the numbers after are scans" in note
    # Alone it is a first channel, as nnU-Net has it.
    for number in (1, 2, 10):
        (folder / f"word_{number:04d}.nii.gz").unlink()
    assert read_input(*find_inputs(folder, out, MRI, channels=1), 1).stem == "word"


def test_scans_that_are_whole_are_no_channels(tmp_path):
    folder, out = tmp_path / "scans", tmp_path / "out"
    for number in range(3):
        array = np.full((4, 5, 6, 2), number, np.int16)
        write_nifti(folder / f"brats_{number:04d}.nii.gz", array)
    two = Preprocessor("mri", 16, "0 1")
    found = find_inputs(folder, out, two, channels=2)
    assert [read_input(p, 2).image.max() for p in found] == [0, 1, 2]
    assert read_input(found[0], 2).stem == "brats_0000"


def test_what_is_passed_over_is_said(images, volumes, tmp_path, capsys):
    (images / "two.png").rename(images / "two.Png")
    (images / "three.gif").write_bytes(b"GIF89a")
    (images / "gone.png").symlink_to(tmp_path / "nowhere")
    (images / "._one.png").write_bytes(b"")
    found = find_inputs(images, tmp_path / "out", RGB)
    assert [p.name for p in found] == ["one.png", "two.Png"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("note: 2 files are passed over: images/gone.png (a link")
    assert "images/three.gif (only .jpg " in line
    shutil.copy(images / "one.png", volumes)
    find_inputs(volumes, tmp_path / "out", CT)
    # The others note that there is nothing in the volumes.
    line, *_ = capsys.readouterr().err.splitlines()
    assert line.startswith("note: 1 file is passed over: volumes/one.png (only .nii.gz")
