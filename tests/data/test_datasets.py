"""What every dataset promises, see `spec.Dataset`."""

import inspect

import numpy as np
import pytest

from synergynet_tf.config import DataConfig
from synergynet_tf.data import DATASETS, Dataset
from synergynet_tf.data.preprocess import MODALITIES
from synergynet_tf.data.spec import PARTS
from synergynet_tf.data.store import open_store
from tests.data.trees import WRITERS

every_dataset = pytest.mark.parametrize("name", DATASETS)


@every_dataset
def test_names(name):
    dataset = DATASETS[name]
    assert dataset.PAPER_PROTOCOL in ("pooled", "transunet", "strict")
    assert all(isinstance(label, str) for label in dataset.CLASSES)
    for function, promised in inspect.getmembers(Dataset, inspect.isfunction):
        if not function.startswith("_"):
            arguments = list(inspect.signature(promised).parameters)[1:]
            found = inspect.signature(getattr(dataset, function)).parameters
            assert list(found) == arguments


@every_dataset
def test_cases_are_sorted_and_valid(name, tmp_path):
    dataset, root = DATASETS[name], WRITERS[name](tmp_path)
    ids = dataset.case_ids(root)
    classes = dataset.class_names(root)
    assert ids == sorted(set(ids)) and ids
    assert classes and dataset.CLASSES in ((), classes)
    assert dataset.modality(root) in MODALITIES
    assert list(dataset.patients(root)) == ids
    labels = set()
    for case_id in ids[:5]:
        case = dataset.read_case(root, case_id)
        assert case.case_id == case_id
        labels |= set(np.unique(case.label))
        assert all(path.is_file() for path in dataset.case_files(root, case_id))
    assert labels == set(range(len(classes) + 1))


@every_dataset
def test_reading_twice_gives_the_same(name, tmp_path):
    dataset, root = DATASETS[name], WRITERS[name](tmp_path)
    case_id = dataset.case_ids(root)[-1]
    first, second = (dataset.read_case(str(root), case_id) for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.label, second.label)


@every_dataset
@pytest.mark.parametrize("split", ["default", "random"])
def test_splits_are_disjoint_and_depend_on_the_seed_alone(name, split, tmp_path):
    dataset, root = DATASETS[name], WRITERS[name](tmp_path)
    if split == "default":
        split = dataset.default_split(root)
    parts = dataset.splits(root, split, seed=3)
    assert list(parts) == list(PARTS)
    assert all(ids == sorted(set(ids)) and ids for ids in parts.values())
    everything = [case_id for ids in parts.values() for case_id in ids]
    assert sorted(everything) == dataset.case_ids(root)
    assert parts == dataset.splits(root, split, seed=3)


@every_dataset
def test_unknown_split_is_refused(name, tmp_path):
    dataset, root = DATASETS[name], WRITERS[name](tmp_path)
    with pytest.raises(ValueError, match=r"`split` must be .* split='odd'"):
        dataset.splits(root, "odd", 0)


@every_dataset
def test_unknown_case_is_refused(name, tmp_path):
    dataset, root = DATASETS[name], WRITERS[name](tmp_path)
    with pytest.raises((FileNotFoundError, ValueError), match="odd"):
        dataset.read_case(root, "odd")


@pytest.mark.parametrize("name", sorted(set(DATASETS) - {"phantom"}))
def test_missing_folder_says_what_to_do(name, tmp_path):
    dataset = DATASETS[name]
    for call in (dataset.case_ids, dataset.class_names, dataset.default_split):
        if call is dataset.class_names and dataset.CLASSES:
            continue
        with pytest.raises(FileNotFoundError) as error:
            call(tmp_path / "nowhere")
        message = str(error.value)
        assert str(tmp_path / "nowhere") in message and "\n" not in message
        assert "--data-dir" in message and "$SYNERGYNET_DATA" in message


@every_dataset
def test_store_of_every_dataset(name, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNERGYNET_CACHE", str(tmp_path / "cache"))
    dataset, root = DATASETS[name], WRITERS[name](tmp_path / "raw")
    store = open_store(DataConfig(name, str(root), limit=2), "test", 16)
    channels = 3 if dataset.modality(root) == "rgb" else 1
    assert store.images.shape[1:] == (16, 16, channels)
    assert store.labels.shape == store.images.shape[:3]
    assert len(store.case_ids) == len(store.images)
    assert store.images.min() >= 0 and store.images.max() <= 1
