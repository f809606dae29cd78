import os

import h5py
import numpy as np
import pytest
import scipy.io

from synergynet_tf.config import DataConfig
from synergynet_tf.data.datasets import bts
from synergynet_tf.data.splits import split_ids
from tests.data.test_listing import age
from tests.data.trees import (
    photograph,
    square_mask,
    volume,
    write_bts,
    write_bts_images,
    write_mat,
    write_png,
)


def test_matlab_file(tmp_path):
    root = write_bts(tmp_path)
    case = bts.read_case(root, "0004")
    assert case.image.shape == (1, 6, 8, 1)
    np.testing.assert_array_equal(case.image[0, ..., 0], volume((6, 8), 4))
    np.testing.assert_array_equal(case.label[0], square_mask(6, 8, 1))
    # 512 pixels of 0.49 mm are 250.88 mm, here of 8 pixels.
    assert case.spacing_mm == pytest.approx((6, 31.36, 31.36))
    assert bts.patients(root)["0004"] == "101"


def test_matlab_files_in_folders(tmp_path):
    write_mat(tmp_path / "1-766/1.mat", volume((6, 8)), square_mask(6, 8, 1))
    write_mat(tmp_path / "767-1532/767.mat", volume((6, 8)), square_mask(6, 8, 1))
    assert bts.case_ids(tmp_path) == ["0001", "0767"]
    write_mat(tmp_path / "1.mat", volume((6, 8)), square_mask(6, 8, 1))
    with pytest.raises(ValueError, match=r"are one slice; remove one"):
        bts.case_ids(tmp_path)


def test_images(tmp_path):
    root = write_bts_images(tmp_path)
    assert bts.case_ids(root)[:3] == ["0001", "0002", "0060"]
    case = bts.read_case(root, "0060")
    np.testing.assert_array_equal(case.image[0, ..., 0], photograph(6, 8, 60)[..., 0])
    np.testing.assert_array_equal(case.label[0], square_mask(6, 8, 1))
    write_png(root / "images" / "60.png", photograph(6, 8))
    with pytest.raises(ValueError, match=r"Case 0060: .*60\.png has colors"):
        bts.read_case(root, "0060")


def test_patients_stay_together(tmp_path):
    root = write_bts(tmp_path)
    owners = bts.patients(root)
    for split, counts in (("paper", [3, 1, 1]), ("random", [3, 1, 1])):
        parts = bts.splits(root, split, 0)
        found = [{owners[i] for i in part} for part in parts.values()]
        assert [len(names) for names in found] == counts
        assert sum(map(len, parts.values())) == 15
    assert bts.default_split(root) == "paper"


@pytest.mark.parametrize("version", [5, 7.3])
def test_fold_5_is_the_test_set(version, tmp_path):
    root = write_bts(tmp_path)
    folds = np.repeat([5, 1, 2, 3, 5], 3).astype(np.float64)
    if version == 5:
        scipy.io.savemat(root / "cvind.mat", {"cvind": folds[:, None]})
    else:
        with h5py.File(root / "cvind.mat", "w") as file:
            file["cvind"] = folds[None]
    parts = split_ids(DataConfig("bts", str(root)))
    assert parts["test"] == ["0001", "0002", "0003", "0013", "0014", "0015"]
    assert [len(part) for part in parts.values()] == [6, 3, 6]
    assert parts["val"] in (
        ["0004", "0005", "0006"],
        ["0007", "0008", "0009"],
        ["0010", "0011", "0012"],
    )


def test_folds_that_part_a_patient_are_refused(tmp_path):
    root = write_bts(tmp_path)
    folds = np.repeat([1, 1, 2, 3, 5], 3)
    folds[0] = 5
    scipy.io.savemat(root / "cvind.mat", {"cvind": folds})
    with pytest.raises(
        ValueError, match=r"Patient 100 is in .*0002.* and in test .*0001"
    ):
        split_ids(DataConfig("bts", str(root)))


# The last has a fold 5, of no slice that is there.
@pytest.mark.parametrize("folds", [[5] * 14, [1] * 15, [1] * 15 + [5]])
def test_folds_of_other_files_are_refused(folds, tmp_path):
    root = write_bts(tmp_path)
    scipy.io.savemat(root / "cvind.mat", {"cvind": np.array(folds)})
    with pytest.raises(ValueError, match=r"cvind\.mat has .* folds.*--split random"):
        bts.splits(root, "paper", 0)


def test_folds_that_leave_nothing_to_train_on_are_refused(tmp_path):
    root = write_bts(tmp_path)
    scipy.io.savemat(root / "cvind.mat", {"cvind": np.full(15, 5)})
    with pytest.raises(ValueError, match=r"cvind\.mat: Holding out .* found 0"):
        bts.splits(root, "paper", 0)


def test_blocks_stand_for_unknown_patients(tmp_path):
    root = write_bts_images(tmp_path, (1, 50, 51, 100, 110, 170))
    # 1 to 50 are the first block.
    expected = {"0001": 0, "0050": 0, "0051": 1, "0100": 1, "0110": 2, "0170": 3}
    assert bts.patients(root) == {i: f"block {n}" for i, n in expected.items()}
    assert bts.default_split(root) == "random"
    with pytest.raises(ValueError, match=r"needs cvind\.mat .*use --split random"):
        bts.splits(root, "paper", 0)
    # One name for all is no name.
    for number in (50, 51):
        mask = square_mask(6, 8, 1)
        write_mat(tmp_path / "mat" / f"{number}.mat", volume((6, 8)), mask)
    assert set(bts.patients(tmp_path / "mat").values()) == {"block 0", "block 1"}


def test_names_are_read_again_when_a_file_changes(tmp_path):
    root = write_bts(tmp_path)
    assert bts.patients(root)["0001"] == "100"
    (root / "1.mat").unlink()
    write_mat(root / "1.mat", volume((6, 8)), square_mask(6, 8, 1), "longer name")
    assert bts.patients(root)["0001"] == "longer name"


def test_files_that_cannot_be_used_name_the_case(tmp_path):
    root = write_bts(tmp_path)
    image, mask = volume((6, 8)), square_mask(6, 8, 1)
    for pair, message in (
        ((image, mask[1:]), r"a mask of \(5, 8\)"),
        ((image, mask * 3), "unknown values 3"),
        ((image[0], mask), "2 axes"),
    ):
        write_mat(root / "4.mat", *pair)
        with pytest.raises(ValueError, match=rf"^Case 0004: .*4\.mat.*{message}"):
            bts.read_case(root, "0004")
    data = (root / "4.mat").read_bytes()
    for size in (0, len(data) // 2):
        (root / "4.mat").write_bytes(data[:size])
        with pytest.raises(ValueError, match=r"Case 0004: .*4\.mat is not a usable"):
            bts.read_case(root, "0004")
    with h5py.File(root / "4.mat", "w") as file:
        file["other"] = 1
    with pytest.raises(ValueError, match=r"4\.mat is not a usable"):
        bts.patients(root)


def test_image_whose_name_is_no_number_is_refused(tmp_path):
    root = write_bts_images(tmp_path)
    for folder in ("images", "masks"):
        write_png(root / folder / "brain.png", square_mask(6, 8))
    with pytest.raises(ValueError, match=r"brain\.png must be named after its number"):
        bts.case_ids(root)


def test_image_without_mask_is_refused(tmp_path):
    root = write_bts_images(tmp_path)
    (root / "masks" / "60.png").unlink()
    with pytest.raises(ValueError, match=r"60\.png has no mask"):
        bts.case_ids(root)


def test_real_images(real_data):
    root = real_data / "bts"
    parts = split_ids(DataConfig("bts", str(root)))
    assert sum(map(len, parts.values())) == 160
    blocks = [{(int(i) - 1) // 50 for i in part} for part in parts.values()]
    assert [len(block) for block in blocks] == [11, 2, 3]
    case = bts.read_case(root, parts["test"][0])
    assert case.image.shape == (1, 512, 512, 1)
    assert case.spacing_mm == pytest.approx((6, 0.49, 0.49))


def test_real_matlab_files_are_the_real_images(real_data):
    root = real_data / "bts_mat"
    ids = bts.case_ids(root)
    assert len(ids) == 8
    for case_id in ("0001", "1351"):
        case, image = (bts.read_case(r, case_id) for r in (root, real_data / "bts"))
        np.testing.assert_array_equal(case.image, image.image)
        np.testing.assert_array_equal(case.label, image.label)


@pytest.fixture
def names_read(monkeypatch):
    """The files whose patients were read from them."""
    read = []

    def count(path):
        read.append(path.name)
        return names(path)

    names = bts._read_name
    monkeypatch.setattr(bts, "_read_name", count)
    return read


def test_names_are_kept_for_the_next_process(tmp_path, monkeypatch, names_read):
    monkeypatch.setenv("SYNERGYNET_CACHE", str(tmp_path / "cache"))
    root = write_bts(tmp_path / "raw")
    write_mat(root / "inner/99.mat", volume((6, 8)), square_mask(6, 8, 1), "200")
    age(root)
    first = bts.patients(root)
    assert len(names_read) == 16

    def next_process():
        bts._read_names.cache_clear()
        names_read.clear()
        return bts.patients(root)

    assert next_process() == first and not names_read
    write_mat(root / "3.mat", volume((6, 8)), square_mask(6, 8, 1), "a new name")
    os.utime(root / "3.mat", (1_700_000_000.5, 1_700_000_000.5))
    assert next_process() == {**first, "0003": "a new name"}
    assert names_read == ["3.mat"]
    (file,) = (tmp_path / "cache").iterdir()
    for damage in (b"", b"[1]", b'{"1.mat": 7}', file.read_bytes()[:-9]):
        file.write_bytes(damage)
        assert next_process()["0003"] == "a new name"
        assert len(names_read) == 16
    file.unlink()
    assert next_process()["0001"] == "100" and len(names_read) == 16
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [file.name]


def test_names_are_read_where_the_cache_cannot_be_written(
    tmp_path, monkeypatch, names_read
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SYNERGYNET_CACHE", str(tmp_path / "file/cache"))
    root = write_bts(tmp_path / "raw")
    age(root)
    assert bts.patients(root)["0004"] == "101" and len(names_read) == 15


def test_endings_are_read_in_any_case(tmp_path):
    root = write_bts(tmp_path)
    (root / "4.mat").rename(root / "4.MAT")
    assert "0004" in bts.case_ids(root)
    assert bts.patients(root)["0004"] == "101"
