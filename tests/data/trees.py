"""Tiny datasets on disk, in the layouts that the readers expect."""

import json

import cv2
import h5py
import nibabel
import numpy as np


def write_png(path, array):
    """Writes a gray `(rows, columns)` or RGB `(rows, columns, 3)` array."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.asarray(array)
    if array.ndim == 3:
        array = np.ascontiguousarray(array[..., ::-1])
    coded, data = cv2.imencode(".png", array)
    assert coded
    path.write_bytes(data.tobytes())


def write_jpeg(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    coded, data = cv2.imencode(".jpg", np.ascontiguousarray(array[..., ::-1]))
    assert coded
    path.write_bytes(data.tobytes())


def photograph(rows, columns, number=0):
    """Returns uint8 RGB `(rows, columns, 3)`, another for each number."""
    rng = np.random.default_rng(number)
    return rng.integers(0, 256, (rows, columns, 3), np.uint8)


def square_mask(rows, columns, value=255):
    """Returns uint8 `(rows, columns)`: `value` in the upper left quarter."""
    mask = np.zeros((rows, columns), np.uint8)
    mask[: rows // 2, : columns // 2] = value
    return mask


ISIC_FOLDERS = {
    "2018": {
        "train": (
            "ISIC2018_Task1-2_Training_Input",
            "ISIC2018_Task1_Training_GroundTruth",
        ),
        "val": (
            "ISIC2018_Task1-2_Validation_Input",
            "ISIC2018_Task1_Validation_GroundTruth",
        ),
        "test": ("ISIC2018_Task1-2_Test_Input", "ISIC2018_Task1_Test_GroundTruth"),
    },
    "2017": {
        "train": ("ISIC-2017_Training_Data", "ISIC-2017_Training_Part1_GroundTruth"),
        "val": ("ISIC-2017_Validation_Data", "ISIC-2017_Validation_Part1_GroundTruth"),
        "test": ("ISIC-2017_Test_v2_Data", "ISIC-2017_Test_v2_Part1_GroundTruth"),
    },
}


def write_isic(root, year="2018", train=10, val=3, test=4):
    """Writes images of 12 x 16 pixels with masks of 24 x 32; returns `root`.

    Numbers go on from part to part: ISIC_0000000 is the first of training.
    """
    number = 0
    counts = {"train": train, "val": val, "test": test}
    for part, (images, masks) in ISIC_FOLDERS[year].items():
        for _ in range(counts[part]):
            name = f"ISIC_{number:07d}"
            write_jpeg(root / images / f"{name}.jpg", photograph(12, 16, number))
            write_png(root / masks / f"{name}_segmentation.png", square_mask(24, 32))
            number += 1
    return root


def write_folder(root, part="", count=10, value=255, ending=""):
    """Writes `count` pairs of 12 x 16 pixels, case00 and so on; returns `root`."""
    for number in range(count):
        name = f"case{number:02d}"
        image = photograph(12, 16, number)
        write_png(root / part / "images" / f"{name}.png", image)
        mask = square_mask(12, 16, value)
        write_png(root / part / "masks" / f"{name}{ending}.png", mask)
    return root


def write_nifti(path, array, spacing=(1.0, 1.0, 1.0), affine=None):
    """Writes `(x, y, z)`; without `affine` the axes run to left, posterior, superior.

    The affine is that of the spacing, whose header field it is too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if affine is None:
        affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    nibabel.save(nibabel.Nifti1Image(np.asarray(array), affine), path)


def volume(shape, number=0):
    """Returns int16 `shape`, another for each number."""
    return np.random.default_rng(number).integers(0, 900, shape, np.int16)


def box_labels(shape, classes):
    """Returns uint8 `shape`: class `i` in the `i`-th column of the first axis."""
    labels = np.zeros(shape, np.uint8)
    for i in range(1, classes + 1):
        labels[i, 1:-1] = i
    return labels


def write_acdc(root, patients=range(1, 11), folder="training"):
    """Writes two frames of 8 x 6 x 3 voxels a patient; returns `root`."""
    for number in patients:
        name = f"patient{number:03d}"
        for frame in ("01", "12"):
            path = root / folder / name / f"{name}_frame{frame}"
            image = volume((8, 6, 3), 2 * number + (frame == "12"))
            write_nifti(path.with_name(f"{path.name}.nii.gz"), image, (1.5, 1.5, 10))
            labels = box_labels((8, 6, 3), 3)
            write_nifti(
                path.with_name(f"{path.name}_gt.nii.gz"), labels, (1.5, 1.5, 10)
            )
    return root


def write_dataset_json(root, **values):
    described = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "front": 1, "back": 2},
        "file_ending": ".nii.gz",
    }
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset.json").write_text(json.dumps({**described, **values}))


def write_msd(root, cases=10):
    """Writes volumes of 6 x 5 x 4 voxels, scan_00 and so on; returns `root`."""
    write_dataset_json(root)
    for number in range(cases):
        name = f"scan_{number:02d}"
        write_nifti(root / f"imagesTr/{name}_0000.nii.gz", volume((6, 5, 4), number))
        write_nifti(root / f"labelsTr/{name}.nii.gz", box_labels((6, 5, 4), 2))
    return root


def write_synapse(root, train=range(1, 9), test=range(9, 11)):
    """Writes TransUNet's layout: 2 slices of 9 x 4 pixels a case; returns `root`."""
    for number in train:
        for i in range(2):
            path = root / "train_npz" / f"case{number:04d}_slice{i:03d}.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            image = volume((9, 4), 2 * number + i).astype(np.float32) / 900
            np.savez(path, image=image, label=box_labels((9, 4), 8))
    for number in test:
        path = root / "test_vol_h5" / f"case{number:04d}.npy.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            file["image"] = volume((2, 9, 4), number).astype(np.float32) / 900
            file["label"] = np.stack([box_labels((9, 4), 8)] * 2).astype(np.float32)
    return root


def write_btcv(root, cases=range(1, 11)):
    """Writes raw volumes with all 13 labels, 14 x 4 x 3 voxels; returns `root`."""
    for number in cases:
        folder, image = root / "RawData" / "Training", volume((14, 4, 3), number)
        write_nifti(folder / f"img/img{number:04d}.nii.gz", image - 500, (1, 1, 3))
        labels = box_labels((14, 4, 3), 13)
        write_nifti(folder / f"label/label{number:04d}.nii.gz", labels, (1, 1, 3))
    return root


def write_mat(path, image, mask, patient="000000"):
    """Writes a slice as MATLAB 7.3 does: columns first, the name as codes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["cjdata/image"] = np.asarray(image, np.int16).T
        file["cjdata/tumorMask"] = np.asarray(mask, np.uint8).T
        file["cjdata/PID"] = np.array([[ord(letter)] for letter in patient], np.uint16)


def write_bts(root, patients=5, slices=3):
    """Writes slices of 6 x 8 pixels, patient after patient; returns `root`."""
    for number in range(1, patients * slices + 1):
        mask = square_mask(6, 8, 1)
        name = f"{100 + (number - 1) // slices}"
        write_mat(root / f"{number}.mat", volume((6, 8), number), mask, name)
    return root


def write_bts_images(root, numbers=(1, 2, 60, 61, 110, 170)):
    """Writes the export as images of 6 x 8 pixels; returns `root`."""
    for number in numbers:
        image = photograph(6, 8, number)[..., 0]
        write_png(root / "images" / f"{number}.png", image)
        write_png(root / "masks" / f"{number}.png", square_mask(6, 8))
    return root


# A tree for each dataset: what every reader's tests start from.
WRITERS = {
    "isic": write_isic,
    "acdc": write_acdc,
    "msd": write_msd,
    "synapse": write_synapse,
    "bts": write_bts,
    "folder": write_folder,
    "phantom": lambda root: root,
}
