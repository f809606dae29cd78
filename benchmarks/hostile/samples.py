"""Small files of every format that the project reads, and the folders they belong in.

A sample writes a folder and returns the file in it that is mutated. Given a folder of
real data it takes the file from there, if it has one.
"""

from __future__ import annotations

import json
import pathlib
import struct
import zipfile
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cv2
import h5py
import nibabel
import numpy as np
import scipy.io

Sample = Callable[[pathlib.Path, pathlib.Path | None], pathlib.Path]


class Reader(NamedTuple):
    """A reader and its file.

    Attributes:
        sample: Writes the folder; returns the file in it that is mutated.
        kind: Of the file, a key of the mutations that know a format; or `""`.
        read: Reads the folder as a command would, and returns what it took.
        slow: Whether that takes seconds.
    """

    sample: Sample
    kind: str
    read: Callable[[pathlib.Path], Any]
    slow: bool = False


RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (12, 16, 3), np.uint8)
MASK = np.zeros((12, 16), np.uint8)
MASK[:6, :8] = 255
SCAN = RNG.integers(0, 900, (8, 6, 3), np.int16)
LABELS = np.zeros((8, 6, 3), np.uint8)
LABELS[1:3, 1:-1], LABELS[3, 1:-1] = 1, 2
SLICE = RNG.random((9, 4), np.float32)
ORGANS = np.arange(36, dtype=np.uint8).reshape(9, 4) % 9
DESCRIPTION = {
    "channel_names": {"0": "MRI"},
    "labels": {"background": 0, "front": 1, "back": 2},
    "training": [{"image": "./imagesTr/scan.nii.gz", "label": "./labelsTr/a.nii.gz"}],
    "file_ending": ".nii.gz",
}
TENSORS = {
    f"layer.{i}": RNG.normal(size=(3, i + 2)).astype(np.float32) for i in range(6)
}


def photograph(name: str, *flags: int) -> Sample:
    """Returns ISIC's image in a format, with its mask; the image is mutated."""

    def write(folder: pathlib.Path, real: pathlib.Path | None) -> pathlib.Path:
        taken = real if name == ".jpg" else None
        images, _ = isic(folder, taken)
        (path,) = images.iterdir()
        if taken is None:
            path.unlink()
            path = images / f"ISIC_0000000{name}"
            _encode(path, PHOTO, flags)
        return path

    return write


def isic(
    folder: pathlib.Path, real: pathlib.Path | None
) -> tuple[pathlib.Path, pathlib.Path]:
    """Writes one image of ISIC and its mask; returns their folders."""
    images = folder / "ISIC-2017_Training_Data"
    masks = folder / "ISIC-2017_Training_Part1_GroundTruth"
    found = sorted((real / "isic2017" / images.name).glob("*.jpg")) if real else []
    if real and found:
        images.mkdir(parents=True)
        masks.mkdir()
        mask = f"{found[0].stem}_segmentation.png"
        _copy(found[0], images / found[0].name)
        _copy(real / "isic2017" / masks.name / mask, masks / mask)
    else:
        _encode(images / "ISIC_0000000.jpg", PHOTO)
        _encode(masks / "ISIC_0000000_segmentation.png", MASK)
    return images, masks


def mask(folder: pathlib.Path, real: pathlib.Path | None) -> pathlib.Path:
    """Writes the same; the mask is mutated."""
    return next(isic(folder, real)[1].iterdir())


def own_images(mutated: str) -> Sample:
    """Returns a folder of one's own images, 16-bit PNG and TIFF, with classes.json."""

    def write(folder: pathlib.Path, real: pathlib.Path | None) -> pathlib.Path:
        _encode(folder / "images/a.png", PHOTO[..., 0].astype(np.uint16) * 257)
        _encode(folder / "images/b.tif", PHOTO)
        for name in "ab":
            _encode(folder / f"masks/{name}.png", MASK)
        (folder / "classes.json").write_text('{"lesion": 255, "other": 3}')
        return folder / mutated

    return write


def acdc(ending: str) -> Sample:
    """Returns one frame of ACDC; the file with this ending is mutated."""

    def write(folder: pathlib.Path, real: pathlib.Path | None) -> pathlib.Path:
        place = folder / "training/patient001"
        name = f"patient001_frame01{ending}"
        found = real and real / "acdc/training/patient001"
        if found and (found / name).is_file():
            place.mkdir(parents=True)
            for end in (".nii.gz", "_gt.nii.gz"):
                path = found / f"patient001_frame01{end}"
                _copy(path, place / path.name)
        else:
            _volume(place / "patient001_frame01.nii.gz", SCAN)
            _volume(place / "patient001_frame01_gt.nii.gz", LABELS)
        return place / name

    return write


def msd(mutated: str, ending: str = ".nii.gz") -> Sample:
    """Returns a Decathlon task of one scan; one of its files is mutated."""

    def write(folder: pathlib.Path, real: pathlib.Path | None) -> pathlib.Path:
        task = real and real / "msd/Task04_Hippocampus"
        found = sorted(task.glob("imagesTr/*.nii.gz")) if task else []
        if task and found and ending == ".nii.gz":
            for name in ("imagesTr", "labelsTr"):
                (folder / name).mkdir(parents=True)
                _copy(task / name / found[0].name, folder / name / "scan.nii.gz")
        else:
            _volume(folder / f"imagesTr/scan{ending}", SCAN)
            _volume(folder / f"labelsTr/scan{ending}", LABELS)
        training = [{"image": f"./imagesTr/scan{ending}"}]
        values = {**DESCRIPTION, "file_ending": ending, "training": training}
        (folder / "dataset.json").write_text(json.dumps(values))
        return folder / mutated

    return write


def bts(folder: pathlib.Path, real: pathlib.Path | None) -> pathlib.Path:
    """Writes slices as MATLAB 7.3 does; the first is mutated."""
    path = folder / "1.mat"
    found = real and real / "bts_mat/1.mat"
    if found and found.is_file():
        path.write_bytes(found.read_bytes())
        return path
    for number in range(1, 11):
        with h5py.File(folder / f"{number}.mat", "w") as file:
            image = PHOTO[..., 0].T.astype(np.int16)
            file.create_dataset("cjdata/image", data=image, compression="gzip")
            file["cjdata/tumorMask"] = MASK.T // 255
            codes = [[ord(letter)] for letter in f"{number:06d}"]
            file["cjdata/PID"] = np.array(codes, np.uint16)
    return path


def folds(kind: str) -> Sample:
    """Returns BTS with cvind.mat, of version 5 or 7.3, which is mutated."""

    def write(folder: pathlib.Path, real: pathlib.Path | None) -> pathlib.Path:
        bts(folder, None)
        path, numbers = folder / "cvind.mat", np.arange(10.0)[None] % 5 + 1
        if kind == "mat":
            scipy.io.savemat(path, {"cvind": numbers})
        else:
            with h5py.File(path, "w") as file:
                file["cvind"] = numbers
        return path

    return write


def synapse(kind: str) -> Sample:
    """Returns TransUNet's Synapse; its slice or its volume is mutated."""

    def write(folder: pathlib.Path, real: pathlib.Path | None) -> pathlib.Path:
        slices = folder / "train_npz/case0005_slice000.npz"
        volume = folder / "test_vol_h5/case0008.npy.h5"
        for path in (slices, volume):
            path.parent.mkdir()
        np.savez(slices, image=SLICE, label=ORGANS)
        with h5py.File(volume, "w") as file:
            file["image"] = np.stack([SLICE] * 2)
            labels = np.stack([ORGANS] * 2).astype(np.float32)
            file.create_dataset("label", data=labels, compression="gzip")
        return {"npz": slices, "h5": volume}[kind]

    return write


def scan(folder: pathlib.Path, real: pathlib.Path | None) -> pathlib.Path:
    """Writes a scan of two channels to label; the first is mutated."""
    for channel in range(2):
        _volume(folder / f"scan_{channel:04d}.nii.gz", SCAN)
    return folder / "scan_0000.nii.gz"


def text(name: str, content: str) -> Sample:
    """Returns a folder with one file of text."""

    def write(folder: pathlib.Path, real: pathlib.Path | None) -> pathlib.Path:
        path = folder / name
        path.write_text(content)
        return path

    return write


def torch(zipped: bool) -> Sample:
    """Returns a state dict as torch writes it, or as it did until 1.5."""

    def write(folder: pathlib.Path, real: pathlib.Path | None) -> pathlib.Path:
        path = folder / "net.pth"
        if zipped:
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("net/data.pkl", _state_dict())
                for number, array in enumerate(TENSORS.values()):
                    archive.writestr(f"net/data/{number}", array.tobytes())
        else:
            magic = b"\x8a\x0a" + 0x1950A86A20F9469CFC6C.to_bytes(10, "little")
            keys = b"](" + b"".join(_text(str(i)) for i in range(len(TENSORS))) + b"e"
            head = (magic, _integer(1001), b"}" + _text("little_endian") + b"\x88s")
            parts = [b"\x80\x02" + body + b"." for body in head]
            parts += [_state_dict(), b"\x80\x02" + keys + b"."]
            parts += [struct.pack("<q", a.size) + a.tobytes() for a in TENSORS.values()]
            path.write_bytes(b"".join(parts))
        return path

    return write


def _state_dict() -> bytes:
    """Pickles `TENSORS` in the instructions that torch uses, by hand."""
    items = []
    for number, (name, array) in enumerate(TENSORS.items()):
        storage = _text("storage") + b"ctorch\nFloatStorage\n" + _text(str(number))
        storage = b"(" + storage + _text("cpu") + _integer(array.size) + b"NtQ"
        shape, strides = (
            b"(" + b"".join(map(_integer, numbers)) + b"t"
            for numbers in (array.shape, (array.shape[1], 1))
        )
        arguments = storage + _integer(0) + shape + strides
        arguments += b"\x89ccollections\nOrderedDict\n)R"
        rebuilt = b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR"
        items.append(_text(name) + rebuilt)
    opened = b"\x80\x02ccollections\nOrderedDict\n)R("
    return opened + b"".join(items) + b"u}" + _text("_metadata") + b"}sb."


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<i", len(value)) + value.encode()


def _integer(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def _encode(path: pathlib.Path, array: np.ndarray, flags: Sequence[int] = ()) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, array, list(flags))[1].tobytes())


def _volume(path: pathlib.Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([-1.5, -1.5, 8.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(array, affine), path)


def _copy(source: pathlib.Path, target: pathlib.Path) -> None:
    target.write_bytes(source.read_bytes())
