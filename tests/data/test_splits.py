import functools
import operator

import pytest

from synergynet_tf.config import DataConfig
from synergynet_tf.data.splits import (
    data_root,
    holdout,
    official_split,
    part_ids,
    random_split,
)
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
