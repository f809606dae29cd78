"""Every reader of the project, with the file that is mutated before it reads."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from benchmarks.hostile import run_readers, samples, weights_readers
from benchmarks.hostile.samples import Reader
from synergynet_tf.config import DataConfig
from synergynet_tf.data import DATASETS

SIZE = 32
PROGRESSIVE = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)


def read_dataset(name: str) -> Callable[[pathlib.Path], Any]:
    """Returns what lists a dataset and reads all of its cases."""
    dataset = DATASETS[name]

    def read(root: pathlib.Path) -> Any:
        cases = [dataset.read_case(root, case_id) for case_id in dataset.case_ids(root)]
        patients = dataset.patients(root)
        return dataset.class_names(root), dataset.modality(root), patients, cases

    return read


def read_folds(root: pathlib.Path) -> Any:
    """Splits BTS by its folds."""
    return DATASETS["bts"].splits(root, "paper", 0)


def read_inputs(root: pathlib.Path) -> Any:
    """Does what predict.py does before it loads a model."""
    from synergynet_tf.data.preprocess import Preprocessor
    from synergynet_tf.evaluation.inputs import find_inputs, read_input

    paths = find_inputs(root, root / "output", Preprocessor("mri", 16))
    return [read_input(path)[:2] for path in paths]


def store_of_phantom(name: str) -> samples.Sample:
    """Returns a prepared store; one of its files is mutated."""

    def write(folder: pathlib.Path, real: pathlib.Path | None) -> pathlib.Path:
        read_store(folder)
        return next(folder.glob(f"*/{name}"))

    return write


def read_store(root: pathlib.Path) -> Any:
    """Opens a prepared store; one that is damaged is built again."""
    from synergynet_tf.data.store import open_store

    os.environ["SYNERGYNET_CACHE"] = str(root)
    store = open_store(DataConfig("phantom", limit=1), "train", SIZE)
    images, labels = np.array(store.images), np.array(store.labels)
    if images.shape != (4, SIZE, SIZE, 1) or images.min() < 0 or images.max() > 1:
        raise TypeError(f"images {images.shape} in {images.min()} to {images.max()}")
    return images, labels, store.case_ids


def _table() -> dict[str, Reader]:
    isic, own, acdc, msd, bts, synapse = map(
        read_dataset, ("isic", "folder", "acdc", "msd", "bts", "synapse")
    )
    tasks = read_dataset("msd")
    return {
        "isic .jpg": Reader(samples.photograph(".jpg"), "jpeg", isic),
        "isic progressive .jpeg": Reader(
            samples.photograph(".jpeg", *PROGRESSIVE), "jpeg", isic
        ),
        "isic .png": Reader(samples.photograph(".png"), "png", isic),
        "isic .bmp": Reader(samples.photograph(".bmp"), "", isic),
        "isic mask .png": Reader(samples.mask, "png", isic),
        "folder 16-bit .png": Reader(samples.own_images("images/a.png"), "png", own),
        "folder .tif": Reader(samples.own_images("images/b.tif"), "tiff", own),
        "folder mask .png": Reader(samples.own_images("masks/a.png"), "png", own),
        "folder classes.json": Reader(samples.own_images("classes.json"), "json", own),
        "acdc .nii.gz": Reader(samples.acdc(".nii.gz"), "nifti", acdc),
        "acdc labels .nii.gz": Reader(samples.acdc("_gt.nii.gz"), "nifti", acdc),
        "msd .nii": Reader(samples.msd("imagesTr/scan.nii", ".nii"), "nifti", msd),
        "msd .nii.gz": Reader(samples.msd("labelsTr/scan.nii.gz"), "nifti", msd),
        "msd dataset.json": Reader(samples.msd("dataset.json"), "json", tasks),
        "bts .mat 7.3": Reader(samples.bts, "hdf5", bts),
        "bts cvind.mat 7.3": Reader(samples.folds("hdf5"), "hdf5", read_folds),
        "bts cvind.mat 5": Reader(samples.folds("mat"), "mat", read_folds),
        "synapse .npz": Reader(samples.synapse("npz"), "npz", synapse),
        "synapse .h5": Reader(samples.synapse("h5"), "hdf5", synapse),
        "scan to label .nii.gz": Reader(samples.scan, "nifti", read_inputs),
        "store index.json": Reader(store_of_phantom("index.json"), "json", read_store),
        "store images.bin": Reader(store_of_phantom("images.bin"), "", read_store),
        "store labels.bin": Reader(store_of_phantom("labels.bin"), "", read_store),
        **run_readers.READERS,
        **weights_readers.READERS,
    }


READERS = _table()
