"""A table of patients beside one's own data: splits, scores and refusals."""

import numpy as np
import pytest

from synergynet_tf.config import DataConfig
from synergynet_tf.data import DATASETS
from synergynet_tf.data.check import check
from synergynet_tf.data.splits import split_ids
from tests.data.trees import (
    photograph,
    square_mask,
    write_bts_images,
    write_folder,
    write_msd,
    write_png,
)

# Ten cases of four patients.
OWNERS = {f"case{i:02d}": "abcd"[i % 4] for i in range(10)}


def write_table(root, owners=OWNERS, ending=""):
    lines = [f"{case_id}{ending},{patient}" for case_id, patient in owners.items()]
    (root / "patients.csv").write_text("\n".join(["case,patient", *lines]), "utf-8")


@pytest.mark.parametrize(
    ("name", "write", "ending"),
    [
        ("folder", write_folder, ""),
        ("folder", write_folder, ".PNG"),
        ("msd", write_msd, ""),
        ("msd", write_msd, ".nii.gz"),
    ],
)
@pytest.mark.parametrize("fold", ["", "1/3"])
def test_cases_of_a_patient_stay_together(name, write, ending, fold, tmp_path):
    write(tmp_path)
    ids = DATASETS[name].case_ids(tmp_path)
    owners = dict(zip(ids, OWNERS.values(), strict=True))
    write_table(tmp_path, owners, ending)
    assert DATASETS[name].patients(tmp_path) == owners
    for seed in range(3):
        data = DataConfig(name, str(tmp_path), split_seed=seed, fold=fold)
        parts = split_ids(data)
        assert sorted(i for part in parts.values() for i in part) == ids
        of_part = [{owners[i] for i in part} for part in parts.values()]
        assert sum(map(len, of_part)) == 4 and set().union(*of_part) == set("abcd")


def test_a_validation_part_is_drawn_by_patient(tmp_path):
    write_folder(tmp_path, "train", 10)
    write_folder(tmp_path, "test", 1)
    owners = {f"train/{case_id}": owner for case_id, owner in OWNERS.items()}
    write_table(tmp_path, {**owners, "test/case00": "e"})
    parts = split_ids(DataConfig("folder", str(tmp_path)))
    (patient,) = {owners[case_id] for case_id in parts["val"]}
    assert parts["val"] == [case_id for case_id in owners if owners[case_id] == patient]


def test_a_patient_in_two_given_parts_is_refused(tmp_path):
    write_folder(tmp_path, "train", 2)
    write_folder(tmp_path, "val", 1)
    write_folder(tmp_path, "test", 1)
    owners = {"train/case00": "a", "train/case01": "b", "val/case00": "c"}
    write_table(tmp_path, {**owners, "test/case00": "b"})
    with pytest.raises(ValueError, match=r"Patient b is in train .* and in test"):
        split_ids(DataConfig("folder", str(tmp_path)))


@pytest.mark.parametrize("name", ["folder", "msd"])
def test_a_table_that_lacks_cases_is_refused_and_one_is_no_stray_file(name, tmp_path):
    {"folder": write_folder, "msd": write_msd}[name](tmp_path)
    dataset = DATASETS[name]
    ids = dataset.case_ids(tmp_path)
    write_table(tmp_path, dict.fromkeys(ids[2:], "a"))
    with pytest.raises(ValueError, match=rf"lacks 2 of 10 cases: {ids[0]}, {ids[1]}; "):
        split_ids(DataConfig(name, str(tmp_path)))
    assert not dataset.listing(tmp_path).passed_over
    found = check(DataConfig(name, str(tmp_path)), workers=0)
    (problem,) = [text for text in found.problems if "patients.csv" in text]
    assert problem.endswith("add a line for each") and found.cases == 10
    (tmp_path / "patients.csv").write_text("image,patient\nx,y\n", "utf-8")
    with pytest.raises(ValueError, match=r"patients\.csv must have a case"):
        dataset.patients(tmp_path)
    (tmp_path / "patients.csv").unlink()
    (tmp_path / "patients.csv").symlink_to(tmp_path / "gone.csv")
    with pytest.raises(OSError, match=r"patients\.csv"):
        dataset.patients(tmp_path)


def test_scores_are_drawn_by_patient(tmp_path):
    """Two photographs more of a patient add cases, and no patient."""
    write_folder(tmp_path)
    write_table(tmp_path)
    write_png(tmp_path / "images" / "more.png", photograph(12, 16, 3))
    write_png(tmp_path / "masks" / "more.png", square_mask(12, 16))
    write_table(tmp_path, {**OWNERS, "more": "a"})
    owners = DATASETS["folder"].patients(tmp_path)
    assert len(owners) == 11 and np.unique([*owners.values()]).size == 4


def test_the_table_s_name_has_any_case_and_other_places_are_said(tmp_path):
    write_folder(tmp_path)
    write_table(tmp_path)
    (tmp_path / "patients.csv").rename(tmp_path / "Patients.CSV")
    assert DATASETS["folder"].patients(tmp_path) == OWNERS
    (tmp_path / "Patients.CSV").rename(tmp_path / "images" / "patients.csv")
    assert DATASETS["folder"].patients(tmp_path) == {i: i for i in OWNERS}
    (entry,) = DATASETS["folder"].listing(tmp_path).passed_over
    assert entry.path.name == "patients.csv" and entry.kind == "meant"


def test_a_table_that_no_reader_reads_is_named_before_training(tmp_path):
    write_bts_images(tmp_path, range(1, 9))
    write_table(tmp_path)
    (entry,) = DATASETS["bts"].listing(tmp_path).passed_over
    assert entry.kind == "meant" and "table of patients" in entry.reason


def test_the_table_may_be_in_the_folder_above(tmp_path):
    write_msd(tmp_path / "Dataset001")
    ids = DATASETS["msd"].case_ids(tmp_path)
    write_table(tmp_path, dict.fromkeys(ids, "a"))
    assert set(DATASETS["msd"].patients(tmp_path).values()) == {"a"}
