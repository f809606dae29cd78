import functools
import operator

import pytest

from synergynet_tf import runs
from synergynet_tf.config import DataConfig
from synergynet_tf.data.datasets import folder
from synergynet_tf.data.split_rules import (
    fold_split,
    holdout,
    named_split,
    official_split,
    random_split,
)
from synergynet_tf.data.splits import complete, data_root, kept_ids, part_ids, split_ids
from tests.data.trees import write_folder

IDS = [f"case{number:03d}" for number in range(50)]


def patient(case_id):
    """Five cases a patient: case000 to case004 are the first's."""
    return str(int(case_id[-3:]) // 5)


def test_shares():
    parts = random_split(IDS, seed=0)
    assert [len(ids) for ids in parts.values()] == [35, 5, 10]
    assert sorted(functools.reduce(operator.iadd, parts.values(), [])) == IDS


def test_seed_decides_and_order_does_not():
    assert random_split(IDS, 1) == random_split(IDS[::-1], 1)
    assert random_split(IDS, 1) != random_split(IDS, 2)
    assert holdout(IDS, 1) == holdout(IDS[::-1], 1)
    assert holdout(IDS, 1) != holdout(IDS, 2)


def test_draw_is_not_the_order_of_names():
    assert random_split(IDS, 0)["val"] != IDS[:5]


def test_patients_stay_together():
    parts = random_split(IDS, 0, patient)
    patients = [{patient(case_id) for case_id in ids} for ids in parts.values()]
    assert [len(names) for names in patients] == [7, 1, 2]
    assert not (patients[0] & patients[1] or patients[0] & patients[2])
    train, val = holdout(IDS, 0, patient)
    assert len(val) == 5 and len({patient(case_id) for case_id in val}) == 1
    assert sorted(train + val) == IDS


def test_smallest_splits():
    assert [len(ids) for ids in random_split(IDS[:3], 0).values()] == [1, 1, 1]
    assert [len(ids) for ids in holdout(IDS[:2], 0)] == [1, 1]


def test_too_few_cases_are_refused():
    with pytest.raises(ValueError, match=r"at least 3 .*found 2"):
        random_split(IDS[:2], 0)
    with pytest.raises(ValueError, match=r"at least 3 .*found 1"):
        random_split(IDS[:5], 0, patient)
    with pytest.raises(ValueError, match=r"at least 2 .*found 1"):
        holdout(IDS[:1], 0)


def test_official_split():
    whole = {"train": IDS[:40], "val": IDS[40:45], "test": IDS[45:]}
    assert official_split(whole, 0) == whole
    no_val = official_split({"train": IDS[:40], "test": IDS[45:]}, 0)
    assert [len(ids) for ids in no_val.values()] == [36, 4, 5]
    # The validation set is the test set then, and must not select the weights.
    no_test = official_split({"train": IDS[:40], "val": IDS[40:45]}, 0)
    assert no_test["test"] == IDS[40:45] and set(no_test["val"]) < set(IDS[:40])


def test_folds_are_disjoint_and_cover_all():
    folds = [fold_split(IDS, f"{i}/3", 0, patient) for i in (1, 2, 3)]
    tests = [set(fold["test"]) for fold in folds]
    assert sum(map(len, tests)) == 50 and set().union(*tests) == set(IDS)
    # Ten patients: folds of 4, 3 and 3; of the others, a tenth selects.
    assert [len(fold["test"]) for fold in folds] == [20, 15, 15]
    for fold in folds:
        owners = [{patient(case_id) for case_id in ids} for ids in fold.values()]
        assert sum(map(len, owners)) == 10 and len(owners[1]) == 1
        assert sorted(functools.reduce(operator.iadd, fold.values(), [])) == IDS
    assert folds[0] != fold_split(IDS, "1/3", 1, patient)


def test_too_few_patients_for_the_folds_are_refused():
    with pytest.raises(ValueError, match=r"--fold 1/11 needs at least 11 .*found 10"):
        fold_split(IDS, "1/11", 0, patient)
    with pytest.raises(ValueError, match=r"--fold 1/2 needs at least 3 .*found 2"):
        fold_split(IDS[:10], "1/2", 0, patient)


@pytest.mark.parametrize("flags", [{"split": "random"}, {"fold": "1/3"}])
def test_a_split_of_too_few_cases_names_the_folder(flags, tmp_path):
    root = write_folder(tmp_path, count=2)
    with pytest.raises(ValueError, match=rf"^folder at {root}: .* found 2; "):
        split_ids(DataConfig("folder", str(root), **flags))


def test_fold_reaches_the_split(tmp_path):
    root = str(write_folder(tmp_path))
    folds = [split_ids(DataConfig("folder", root, fold=f"{i}/2")) for i in (1, 2)]
    tests = folds[0]["test"] + folds[1]["test"]
    assert sorted(tests) == folder.case_ids(root)
    assert complete(DataConfig("folder", root, fold="1/2")).split == "random"


def test_named_split():
    names = {"train": ["2", "0"], "val": ["4"], "test": []}
    parts = named_split(IDS, names, patient, "scans")
    assert parts == {"train": IDS[:5] + IDS[10:15], "val": IDS[20:25], "test": []}
    names["test"] = [f"x{number:02d}" for number in range(11)]
    with pytest.raises(ValueError, match=r"14 patients, and 11 .* x09, \.\.\.; add"):
        named_split(IDS, names, patient, "scans")


def test_patient_in_two_parts_is_refused(tmp_path, monkeypatch):
    root = str(write_folder(tmp_path))
    monkeypatch.setattr(folder, "patients", lambda root: dict.fromkeys(ids, "Ann"))
    ids = folder.case_ids(root)
    with pytest.raises(ValueError, match=r"Patient Ann is in train \(.*\) and in val"):
        part_ids(DataConfig("folder", root), "test")


def test_complete_fills_in_what_the_dataset_decides(tmp_path):
    root = str(write_folder(tmp_path))
    data = complete(DataConfig("folder", root))
    assert (data.split, data.modality, data.data_dir) == ("random", "rgb", root)
    assert complete(data) == data
    chosen = complete(DataConfig("phantom", split="random", modality="rgb"))
    assert (chosen.split, chosen.modality) == ("random", "rgb")


def test_limit_takes_the_first_of_each_part(tmp_path):
    data = DataConfig("folder", str(write_folder(tmp_path)), split_seed=4)
    limited = DataConfig("folder", str(tmp_path), split_seed=4, limit=2)
    for part, count in (("train", 2), ("val", 1), ("test", 2)):
        assert part_ids(limited, part) == part_ids(data, part)[:count]


def test_split_seed_reaches_the_split(tmp_path):
    root = str(write_folder(tmp_path))
    drawn = {tuple(part_ids(DataConfig("folder", root, "", s), "test")) for s in (0, 1)}
    assert len(drawn) == 2


def test_default_folder(monkeypatch):
    monkeypatch.setenv("SYNERGYNET_DATA", "/somewhere")
    assert str(data_root(DataConfig("isic"))) == "/somewhere/isic"
    assert str(data_root(DataConfig("isic", "/here"))) == "/here"


@pytest.mark.parametrize(
    ("dataset", "part", "message"),
    [
        ("odd", "train", r"`dataset` must be one of isic, .*dataset='odd'"),
        ("phantom", "odd", r"`part` must be one of train, val, test\. .*part='odd'"),
    ],
)
def test_unknown_names_are_refused(dataset, part, message):
    with pytest.raises(ValueError, match=message):
        part_ids(DataConfig(dataset), part)


def test_names_of_an_earlier_version_may_have_accents_apart(tmp_path):
    """Cases are listed with composed letters now; a run may have kept the others."""
    write_folder(tmp_path / "data", count=3)
    for kind in ("images", "masks"):
        path = tmp_path / "data" / kind / "case00.png"
        path.rename(path.with_name("a\u0308.png"))
    kept = {"train": ["a\u0308"], "val": ["case01"], "test": []}
    runs.write_json(tmp_path / "run" / runs.SPLIT, kept)
    split = runs.Run(tmp_path / "run").split
    data = DataConfig("folder", str(tmp_path / "data"))
    found, lines = kept_ids(data, split, ("train",), "run", ["case02"])
    assert found == {**kept, "train": ["\u00e4"]} and lines == []
