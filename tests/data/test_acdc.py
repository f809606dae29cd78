import hashlib
import json
import shutil

import numpy as np
import pytest

from synergynet_tf.config import DataConfig
from synergynet_tf.data.datasets import acdc
from synergynet_tf.data.listing import Listing
from synergynet_tf.data.splits import split_ids
from tests.data.trees import box_labels, volume, write_acdc, write_nifti


def test_case(tmp_path):
    root = write_acdc(tmp_path, [7])
    assert acdc.case_ids(root) == ["patient007_frame01", "patient007_frame12"]
    assert set(acdc.patients(root).values()) == {"patient007"}
    case = acdc.read_case(root, "patient007_frame12")
    assert case.spacing_mm == (10, 1.5, 1.5)
    np.testing.assert_array_equal(case.image[..., 0], volume((8, 6, 3), 15).T)
    np.testing.assert_array_equal(case.label, box_labels((8, 6, 3), 3).T)


def test_other_files_are_passed_over(tmp_path):
    root = write_acdc(tmp_path, [7])
    folder = root / "training" / "patient007"
    (folder / "Info.cfg").write_text("ED: 1")
    write_nifti(folder / "patient007_4d.nii.gz", np.zeros((8, 6, 3, 2)))
    assert len(acdc.case_ids(root)) == 2


def test_paper_split_has_this_checksum():
    lists = [acdc.PAPER_TRAIN, acdc.PAPER_VAL, acdc.PAPER_TEST]
    assert [len(numbers) for numbers in lists] == [70, 10, 20]
    assert sorted(sum(lists, ())) == list(range(1, 101))
    checksum = hashlib.sha256(json.dumps(lists).encode()).hexdigest()
    assert (
        checksum == "b6ef088809d73e4f9695f2f24d2461d58c40f19b68f3081b02851137e17d4373"
    )


def test_paper_split(tmp_path, monkeypatch):
    cases = {case_id: [] for case_id in ids(range(1, 101))}
    listing = Listing(tmp_path, {"train": cases})
    monkeypatch.setattr(acdc, "listing", lambda root: listing)
    parts = acdc.splits(tmp_path, "paper", 0)
    assert acdc.default_split(tmp_path) == "paper"
    assert [len(part) for part in parts.values()] == [140, 20, 40]
    assert parts["test"][:2] == ["patient002_frame01", "patient002_frame12"]
    assert parts["val"][-1] == "patient080_frame12"
    assert parts == acdc.splits(tmp_path, "paper", 1)


def ids(patients):
    return [f"patient{n:03d}_frame{frame}" for n in patients for frame in ("01", "12")]


def test_paper_split_names_missing_patients(tmp_path):
    root = write_acdc(tmp_path, range(13, 101))
    shutil.rmtree(root / "training" / "patient050")
    assert acdc.default_split(root) == "random"
    with pytest.raises(ValueError, match=r"100 patients, and 13 of them") as error:
        acdc.splits(root, "paper", 0)
    message = str(error.value)
    assert "patient001, patient002" in message and "patient010, ..." in message
    assert "patient011" not in message and "--split random" in message


def test_paper_split_is_of_the_training_patients(tmp_path):
    root = write_acdc(write_acdc(tmp_path, range(1, 100)), [100], "testing")
    with pytest.raises(ValueError, match=r"1 of them are not in .*: patient100; add"):
        acdc.splits(root, "paper", 0)


def test_official_split(tmp_path):
    root = write_acdc(tmp_path)
    with pytest.raises(ValueError, match="use --split random"):
        acdc.splits(root, "official", 0)
    write_acdc(root, range(101, 104), "testing")
    parts = acdc.splits(root, "official", 0)
    assert acdc.default_split(root) == "official"
    assert parts["test"] == ids(range(101, 104))
    assert [len(part) for part in parts.values()] == [18, 2, 6]
    assert parts["val"] != acdc.splits(root, "official", 1)["val"]


def test_testing_without_labels_does_not_count(tmp_path):
    root = write_acdc(write_acdc(tmp_path), [101], "testing")
    for path in (root / "testing").rglob("*_gt.nii.gz"):
        path.unlink()
    assert not any("101" in case_id for case_id in acdc.case_ids(root))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("patient003_frame12_gt.nii.gz", "patient003_frame12 has no labels"),
        ("patient003_frame01.nii.gz", "patient003_frame01 has no frame"),
    ],
)
def test_missing_partner_is_refused(name, message, tmp_path):
    root = write_acdc(tmp_path)
    (root / "training" / "patient003" / name).unlink()
    with pytest.raises(ValueError, match=message):
        acdc.case_ids(root)


def test_patient_without_frames_is_refused(tmp_path):
    root = write_acdc(tmp_path)
    (root / "training" / "patient042").mkdir()
    with pytest.raises(ValueError, match="patient042 has no frames"):
        acdc.case_ids(root)


def test_patient_in_both_folders_is_refused(tmp_path):
    root = write_acdc(write_acdc(tmp_path), [3], "testing")
    with pytest.raises(ValueError, match="patient003_frame01 is in training/ and in"):
        acdc.case_ids(root)


def test_frames_of_one_patient_in_two_folders_are_refused(tmp_path):
    root = write_acdc(write_acdc(tmp_path), [3], "testing")
    for frame in ("01", "01_gt"):
        (root / "testing" / "patient003" / f"patient003_frame{frame}.nii.gz").unlink()
        (
            root
            / "training"
            / "patient003"
            / f"patient003_frame{frame.replace('01', '12')}.nii.gz"
        ).unlink()
    with pytest.raises(
        ValueError, match=r"Patient patient003 is in train .* and in test"
    ):
        split_ids(DataConfig("acdc", str(root), "official"))


def test_damaged_file_names_the_case(tmp_path):
    root = write_acdc(tmp_path)
    path = root / "training" / "patient003" / "patient003_frame12.nii.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"^Case patient003_frame12: .*12\.nii\.gz is"):
        acdc.read_case(root, "patient003_frame12")


def test_real_patients(real_data):
    root = real_data / "acdc"
    assert acdc.default_split(root) == "paper"
    parts = split_ids(DataConfig("acdc", str(root)))
    counts = [len({i[:10] for i in part}) for part in parts.values()]
    assert counts == [70, 10, 20] and sum(map(len, parts.values())) == 200
    case = acdc.read_case(root, "patient001_frame01")
    assert case.image.shape == (10, 256, 216, 1)
    assert case.spacing_mm == (10, 1.5625, 1.5625)
    # Blood is brighter than muscle, and the left ventricle is within it.
    means = [case.image[case.label == value].mean() for value in (1, 2, 3)]
    assert means[1] < means[0] and means[1] < means[2]
    centers = [np.argwhere(case.label[3] == value).mean(0) for value in (1, 2, 3)]
    assert np.linalg.norm(centers[1] - centers[2]) < 5
    # The right ventricle is seen on the left.
    assert centers[0][1] < centers[2][1] - 20


def test_endings_are_read_in_any_case(tmp_path):
    root = write_acdc(tmp_path, [1])
    for path in (root / "training/patient001").iterdir():
        path.rename(path.with_name(path.name.replace(".nii.gz", ".NII.gz")))
    assert acdc.case_ids(root) == ["patient001_frame01", "patient001_frame12"]
    assert acdc.read_case(root, "patient001_frame12").label.max() == 3
