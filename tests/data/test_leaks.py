"""Copies of images: what is found, and what is not."""

import cv2
import nibabel
import numpy as np
import pytest

from synergynet_tf.cli.data import main, parse_args
from synergynet_tf.config import DataConfig
from synergynet_tf.data.leaks import (
    ALIKE,
    find_leaks_of_dataset,
    find_leaks_of_folders,
)

SHAPE = (20, 40, 32)


def picture(seed, rows=96, columns=128):
    """Returns a smooth random picture with a few edges, uint8 BGR."""
    rng = np.random.default_rng(seed)
    noise = rng.random((rows // 4, columns // 4, 3)).astype(np.float32)
    smooth = cv2.resize(cv2.GaussianBlur(noise, (0, 0), 2), (columns, rows))
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    for _ in range(4):
        x, y = rng.integers(0, columns), rng.integers(0, rows)
        cv2.circle(smooth, (int(x), int(y)), 10, rng.random(3).tolist(), -1)
    return np.rint(255 * smooth).astype(np.uint8)


def write(path, pixels, *settings):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels, settings)


def volume(seed):
    noise = np.random.default_rng(seed).random(SHAPE).astype(np.float32)
    return np.stack([cv2.GaussianBlur(pixels, (0, 0), 2) for pixels in noise])


def write_volume(path, voxels):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), path)


@pytest.fixture
def folders(tmp_path):
    """Two folders of four pictures each, all of them others."""
    for folder, seeds in (("a", range(4)), ("b", range(4, 8))):
        for seed in seeds:
            write(tmp_path / folder / f"{seed}.png", picture(seed))
    return tmp_path


def found(root, *names):
    leaks = find_leaks_of_folders([str(root / name) for name in names], 0)
    return [(c.is_leak, c.first.name, c.second.name, c.how) for c in leaks.copies]


def test_unrelated_images_are_not_alike(folders):
    assert found(folders, "a", "b") == [] and found(folders, "a") == []


def test_an_exact_copy_is_found_whatever_its_name_and_format(folders):
    write(folders / "b" / "deep" / "other.bmp", picture(2))
    assert found(folders, "a", "b") == [
        (True, "2.png", "deep/other.bmp", "the same voxels")
    ]


@pytest.mark.parametrize("scale", [0.5, 1.7])
def test_a_resized_jpeg_is_found(folders, scale):
    smaller = cv2.resize(picture(2), None, fx=scale, fy=scale)
    write(folders / "b" / "x.jpg", smaller, cv2.IMWRITE_JPEG_QUALITY, 60)
    ((is_leak, first, second, how),) = found(folders, "a", "b")
    assert (is_leak, first, second) == (True, "2.png", "x.jpg")
    assert how.startswith("alike, 0.9") and float(how.split()[1]) >= ALIKE


@pytest.mark.parametrize(
    ("turn", "words"),
    [
        (lambda x: x[:, ::-1], "mirrored"),
        (lambda x: x[::-1, ::-1], "turned by 180 degrees"),
        (lambda x: np.rot90(x), "turned by"),
        (lambda x: x.transpose(1, 0, 2), "mirrored and turned by"),
    ],
)
def test_a_mirrored_or_turned_copy_is_found(folders, turn, words):
    write(folders / "b" / "x.jpg", np.ascontiguousarray(turn(picture(2))))
    ((_, first, _, how),) = found(folders, "a", "b")
    assert first == "2.png" and f", {words}" in how


def test_duplicates_within_a_folder_come_after_leaks(folders):
    write(folders / "a" / "x.png", picture(0))
    write(folders / "b" / "y.png", picture(3))
    assert [entry[:3] for entry in found(folders, "a", "b")] == [
        (True, "3.png", "y.png"),
        (False, "0.png", "x.png"),
    ]
    assert [entry[:3] for entry in found(folders, "a")] == [(False, "0.png", "x.png")]


def test_a_copy_in_the_other_folder_is_named_before_one_in_the_same(folders):
    for name in ("b/x.png", "b/y.png"):
        write(folders / name, picture(0))
    assert [entry[:3] for entry in found(folders, "a", "b")] == [
        (True, "0.png", "x.png"),
        (True, "0.png", "y.png"),
    ]


def test_images_that_show_nothing_are_not_compared(folders):
    black, mask = np.zeros((50, 60), np.uint8), np.zeros((50, 60), np.uint8)
    mask[10:20] = 255
    for folder in "ab":
        write(folders / folder / "black.png", black)
        write(folders / folder / "shape.png", mask)
        write(folders / folder / "0_mask.png", picture(11))
        write(folders / folder / "labelsTr" / "0.png", picture(12))
    leaks = find_leaks_of_folders([str(folders / name) for name in "ab"], 0)
    assert leaks.copies == []
    text = str(leaks)
    assert "not compared: 4 images of one or two values: black.png" in text
    assert "4 files are passed over" in text and "by its name a label map" in text


def test_volumes_are_the_same_or_share_slices_or_are_alike(tmp_path):
    write_volume(tmp_path / "a" / "whole.nii.gz", volume(0))
    write_volume(tmp_path / "a" / "part.nii", volume(1))
    write_volume(tmp_path / "a" / "scaled.nii", volume(2))
    write_volume(tmp_path / "b" / "whole.nii", volume(0))
    partly = volume(3)
    partly[..., 5:9] = volume(1)[..., 5:9]
    write_volume(tmp_path / "b" / "part.nii.gz", partly)
    smaller = np.stack(
        [cv2.resize(pixels, (24, 30)) for pixels in volume(2).transpose(2, 0, 1)], -1
    )
    write_volume(tmp_path / "b" / "scaled.nii", 3 * smaller + 7)
    copies = found(tmp_path, "a", "b")
    assert [how.partition(",")[0] for *_, how in copies] == [
        "the same voxels",
        "4 of 32 slices have the same voxels",
        "alike",
    ]
    assert [entry[1].partition(".")[0] for entry in copies] == [
        "whole",
        "part",
        "scaled",
    ]


def test_parts_of_a_dataset_and_its_patients(tmp_path, capsys):
    for part, seeds in (("train", (0, 1, 2)), ("val", (3,)), ("test", (4, 5))):
        for seed in seeds:
            for kind in ("images", "masks"):
                mask = np.zeros((96, 128), np.uint8)
                mask[20:60, 30:80] = 255
                shown = picture(seed) if kind == "images" else mask
                write(tmp_path / part / kind / f"p{seed}_1.png", shown)
    write(tmp_path / "test" / "images" / "p5_1.png", picture(1))
    flags = ["--dataset", "folder", "--data-dir", str(tmp_path), "--workers", "0"]
    with pytest.raises(SystemExit) as caught:
        main([*flags, "--leaks"])
    assert caught.value.code == 1
    leak, last = capsys.readouterr().out.splitlines()
    assert leak.startswith("leak: ") and leak.endswith(": the same voxels")
    assert "train/p1_1 and test/p5_1" in leak
    assert last.startswith("6 images in ") and "1 leak between them, 0 dup" in last


def test_no_leak_ends_with_0_and_a_broken_file_with_1(folders, capsys):
    flags = ["--leaks", str(folders / "a"), str(folders / "b"), "--workers", "0"]
    main(flags)
    printed = capsys.readouterr().out
    assert printed.startswith("8 images in ")
    assert printed.endswith("0 leaks between them, 0 duplicates\n")
    (folders / "b" / "9.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with pytest.raises(SystemExit) as caught:
        main(flags)
    assert caught.value.code == 1
    assert "problem: " in (text := capsys.readouterr().out) and "9.png" in text


def test_folders_that_make_no_sense(folders):
    with pytest.raises(FileNotFoundError, match="No folder"):
        find_leaks_of_folders([str(folders / "none")], 0)
    (folders / "bare").mkdir()
    with pytest.raises(FileNotFoundError, match="No images"):
        find_leaks_of_folders([str(folders / "bare")], 0)
    for pair in (("a", "a"), (".", "a")):
        with pytest.raises(ValueError, match="share their files"):
            find_leaks_of_folders([str(folders / name) for name in pair], 0)


@pytest.mark.parametrize(
    "flags",
    [
        ["--leaks"],
        ["--leaks", "a", "b", "c"],
        ["--leaks", "a", "--dataset", "isic"],
        ["--leaks", "a", "--fold", "1/5"],
        ["--dataset", "isic", "--leaks", "--check"],
        ["--dataset", "isic", "--leaks", "--limit", "3"],
        [],
    ],
)
def test_flags_that_make_no_sense(flags, capsys):
    with pytest.raises(SystemExit):
        parse_args(flags)
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.slow
def test_known_leaks_of_real_data(real_data):
    """ISIC 2017 and ACDC; 1.5 million pairs of photographs without a false alarm."""
    photographs = [
        str(real_data / "isic2017" / f"ISIC-2017_{part}_Data")
        for part in ("Training", "Validation")
    ]
    leaks = find_leaks_of_folders(photographs, 0)
    (leak,) = [copy for copy in leaks.copies if copy.is_leak]
    assert (leak.first.name, leak.second.name) == (
        "ISIC_0012970.jpg",
        "ISIC_0012127.jpg",
    )
    assert leak.how == "the same voxels"
    # Looked at: each is one lesion, photographed or colored twice.
    assert len(leaks.copies) == 5
    acdc = DataConfig(dataset="acdc", data_dir=str(real_data / "acdc"))
    assert [str(copy) for copy in find_leaks_of_dataset(acdc, 0).copies] == [
        "leak: train/patient074_frame01 and val/patient076_frame01: the same voxels",
        "leak: train/patient074_frame12 and val/patient076_frame12: the same voxels",
        # One frame of this heart beside the other.
        "leak: train/patient074_frame01 and val/patient076_frame12: alike, 0.971 of 1",
        "leak: train/patient074_frame12 and val/patient076_frame01: alike, 0.971 of 1",
    ]
