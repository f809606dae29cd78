import hashlib
import json
import pathlib

import h5py
import numpy as np
import pytest

from synergynet_tf.data.datasets import synapse
from tests.data.trees import box_labels, volume, write_btcv, write_nifti, write_synapse

ALL = range(1, 41)


def test_slices_are_stacked_in_order(tmp_path):
    root = write_synapse(tmp_path)
    case = synapse.read_case(root, "case0005")
    assert case.image.shape == (2, 9, 4, 1) and case.spacing_mm == (1, 1, 1)
    for i in range(2):
        # 0 to 1 is -125 to 275: the tree's 900 units are 400.
        expected = volume((9, 4), 10 + i) / 900 * 400 - 125
        np.testing.assert_allclose(case.image[i, ..., 0], expected, atol=1e-3)
    np.testing.assert_array_equal(case.label[1], box_labels((9, 4), 8))
    assert len(synapse.case_files(root, "case0005")) == 2


def test_test_volume(tmp_path):
    root = write_synapse(tmp_path)
    case = synapse.read_case(root, "case0010")
    expected = volume((2, 9, 4), 10) / 900 * 400 - 125
    np.testing.assert_allclose(case.image[..., 0], expected, atol=1e-3)
    assert case.label.shape == (2, 9, 4) and case.label.max() == 8


def test_more_than_ten_slices_are_in_order(tmp_path):
    root = write_synapse(tmp_path, train=[5], test=[])
    for i in range(12):
        image = np.full((9, 4), i / 400, np.float32)
        path = root / "train_npz" / f"case0005_slice{i:03d}.npz"
        np.savez(path, image=image, label=box_labels((9, 4), 8))
    image = synapse.read_case(root, "case0005").image
    np.testing.assert_allclose(image[:, 0, 0, 0], np.arange(12) - 125, atol=1e-3)


def test_missing_slice_is_refused(tmp_path):
    root = write_synapse(tmp_path)
    (root / "train_npz" / "case0005_slice000.npz").unlink()
    with pytest.raises(ValueError, match=r"Case case0005: no case0005_slice000\.npz"):
        synapse.case_ids(root)


def test_raw_labels_are_mapped_by_name(tmp_path):
    root = write_btcv(tmp_path, [7])
    case = synapse.read_case(root, "case0007")
    assert case.image.shape == (3, 4, 14, 1) and case.spacing_mm == (3, 1, 1)
    np.testing.assert_array_equal(case.image[..., 0], volume((14, 4, 3), 7).T - 500)
    # Raw value v is in column v: spleen, right and left kidney, gallbladder,
    # esophagus, liver, stomach, aorta, two veins, pancreas, adrenals.
    found = case.label[0, 1].tolist()
    assert found == [0, 7, 4, 3, 2, 0, 5, 8, 1, 0, 0, 6, 0, 0]
    assert (
        synapse.CLASSES[7 - 1] == "spleen" and synapse.CLASSES[3 - 1] == "kidney_left"
    )


@pytest.mark.parametrize("images, labels", synapse.RAW_FOLDERS)
def test_raw_folders(images, labels, tmp_path):
    write_nifti(tmp_path / images / "img0001.nii.gz", volume((14, 4, 3)))
    write_nifti(tmp_path / labels / "label0001.nii.gz", box_labels((14, 4, 3), 13))
    assert synapse.case_ids(tmp_path) == ["case0001"]
    assert synapse.read_case(tmp_path, "case0001").label.max() == 8
    write_nifti(tmp_path / images / "img0002.nii.gz", volume((14, 4, 3)))
    with pytest.raises(ValueError, match=r"img0002\.nii\.gz has no labels"):
        synapse.case_ids(tmp_path)
    (tmp_path / images / "img0002.nii.gz").unlink()
    (tmp_path / images / "img0001.nii.gz").unlink()
    with pytest.raises(ValueError, match=r"label0001\.nii\.gz has no image"):
        synapse.case_ids(tmp_path)


def test_paper_split_has_this_checksum():
    lists = [synapse.PAPER_TRAIN, synapse.PAPER_TEST]
    assert [len(numbers) for numbers in lists] == [18, 12]
    checksum = hashlib.sha256(json.dumps(lists).encode()).hexdigest()
    assert (
        checksum == "49dcbd0ed30397142e744f113159daf0202fcd36212040f92b121ef83c368bb4"
    )


@pytest.mark.parametrize("layout", ["raw", "processed"])
def test_paper_split(layout, tmp_path):
    if layout == "raw":
        root = write_btcv(tmp_path, ALL)
    else:
        root = write_synapse(tmp_path, synapse.PAPER_TRAIN, synapse.PAPER_TEST)
    assert synapse.default_split(root) == "paper"
    assert synapse.has_spacing(root) == (layout == "raw")
    parts = synapse.splits(root, "paper", 0)
    assert [len(part) for part in parts.values()] == [16, 2, 12]
    assert parts["test"] == [f"case{n:04d}" for n in synapse.PAPER_TEST]
    trained = sorted(parts["train"] + parts["val"])
    assert trained == [f"case{n:04d}" for n in synapse.PAPER_TRAIN]
    assert parts["val"] != synapse.splits(root, "paper", 1)["val"]


def test_paper_split_names_missing_cases(tmp_path):
    root = write_synapse(tmp_path)
    with pytest.raises(ValueError, match=r"20 of them .*case0021.*--split random"):
        synapse.splits(root, "paper", 0)


def test_official_split(tmp_path):
    root = write_synapse(tmp_path / "processed")
    assert synapse.default_split(root) == "official"
    assert synapse.splits(root, "official", 0)["test"] == ["case0009", "case0010"]
    with pytest.raises(ValueError, match="use --split random"):
        synapse.splits(write_btcv(tmp_path / "raw"), "official", 0)


def test_case_in_both_folders_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"case0008 is in .*train_npz and in"):
        synapse.case_ids(write_synapse(tmp_path, test=[8]))


def save(path, **arrays):
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array


FILES = {
    "case0005": ("train_npz/case0005_slice001.npz", (9, 4)),
    "case0010": ("test_vol_h5/case0010.npy.h5", (2, 9, 4)),
}


@pytest.mark.parametrize("case_id", FILES)
def test_arrays_that_do_not_fit_are_refused(case_id, tmp_path):
    root = write_synapse(tmp_path)
    name, shape = FILES[case_id]
    image, label = np.zeros(shape, np.float32), np.zeros(shape, np.uint8)
    with_nan = image.copy()
    with_nan[..., 0, 0] = np.nan
    for arrays, message in (
        ({"image": image}, "label"),
        ({"image": image, "label": label[..., 1:]}, "of one shape"),
        ({"image": image[0], "label": label[0]}, "of one shape, of . axes"),
        ({"image": image, "label": label + 9}, "unknown values 9"),
        ({"image": image, "label": image + 0.5}, r"unknown values 0\.5"),
        ({"image": with_nan, "label": label}, rf"{pathlib.Path(name).name} .*infinite"),
        # Finite as it is stored, not in Hounsfield units.
        ({"image": image + 3e38, "label": label}, "infinite"),
    ):
        save(root / name, **arrays)
        with pytest.raises(ValueError, match=f"^Case {case_id}: .*{message}"):
            synapse.read_case(root, case_id)


@pytest.mark.parametrize("case_id", FILES)
def test_damaged_files_are_refused(case_id, tmp_path):
    root = write_synapse(tmp_path)
    path = root / FILES[case_id][0]
    data = path.read_bytes()
    for size in (0, len(data) // 2):
        path.write_bytes(data[:size])
        with pytest.raises(ValueError, match=f"Case {case_id}: .*cannot be read"):
            synapse.read_case(root, case_id)


def test_pickles_are_not_opened(tmp_path):
    root = write_synapse(tmp_path)
    path = root / "train_npz/case0005_slice001.npz"
    np.savez(path, image=np.array({"a": 1}, dtype=object), label=np.zeros((9, 4)))
    with pytest.raises(ValueError, match=r"must hold numbers\. Received: object"):
        synapse.read_case(root, "case0005")


def test_slices_of_different_shapes_are_refused(tmp_path):
    root = write_synapse(tmp_path)
    path = root / "train_npz/case0005_slice001.npz"
    np.savez(path, image=np.zeros((9, 5)), label=np.zeros((9, 5)))
    with pytest.raises(ValueError, match=r"case0005: .*shapes: \(9, 4\), \(9, 5\)"):
        synapse.read_case(root, "case0005")


def test_endings_are_read_in_any_case(tmp_path):
    root = write_synapse(tmp_path, train=[5], test=[8])
    for path in [*root.glob("*/*.npz"), *root.glob("*/*.h5")]:
        path.rename(path.with_suffix(path.suffix.upper()))
    assert synapse.case_ids(root) == ["case0005", "case0008"]
    for case_id in ("case0005", "case0008"):
        assert synapse.read_case(root, case_id).label.max() == 8
    raw = write_btcv(tmp_path / "raw", [1])
    for path in [*raw.rglob("*.nii.gz")]:
        path.rename(path.with_name(path.name.replace(".nii.gz", ".Nii.Gz")))
    assert synapse.read_case(raw, "case0001").label.max() == 8
    image = raw / "RawData/Training/img/img0001.Nii.Gz"
    image.with_name("img0001.nii").write_bytes(image.read_bytes())
    with pytest.raises(ValueError, match=r"img0001\.nii are one case|img0001\.Nii"):
        synapse.case_ids(raw)
