import os
import pathlib
import time

import pytest

from synergynet_tf.config import DataConfig
from synergynet_tf.data import DATASETS
from synergynet_tf.data.listing import Listing, ListingError, cached
from synergynet_tf.data.store import _key
from tests.data.trees import WRITERS, write_dataset_json

PAST = 1_600_000_000.5


def age(root):
    """Gives everything below `root` one time, long ago."""
    for folder, _, names in os.walk(root):
        for path in (folder, *(os.path.join(folder, name) for name in names)):
            os.utime(path, (PAST, PAST))


@pytest.fixture
def reader():
    """A cached listing of the names in a folder, and the folders it was read of."""
    calls = []

    @cached
    def read(root, watch):
        watch(root)
        calls.append(root)
        return sorted(path.name for path in root.iterdir())

    return read, calls


def test_a_folder_is_read_once(tmp_path, reader):
    read, calls = reader
    age(tmp_path)
    assert read(tmp_path) == read(str(tmp_path)) == read(tmp_path) == []
    assert calls == [tmp_path]


def test_a_file_that_comes_or_goes_is_noticed(tmp_path, reader):
    read, _ = reader
    for _ in range(20):  # As fast as can be: within one tick of the clock.
        (tmp_path / "a").touch()
        assert read(tmp_path) == ["a"]
        (tmp_path / "a").unlink()
        assert read(tmp_path) == []
    age(tmp_path)
    assert read(tmp_path) == []
    (tmp_path / "b").touch()
    assert read(tmp_path) == ["b"]


def test_what_was_not_there_is_watched_as_well(tmp_path):
    @cached
    def read(root, watch):
        watch(root / "inner" / "file")
        return (root / "inner" / "file").exists()

    assert not read(tmp_path)
    (tmp_path / "inner").mkdir()
    assert not read(tmp_path)
    (tmp_path / "inner" / "file").touch()
    assert read(tmp_path)


def test_whole_seconds_are_not_trusted_for_two(tmp_path, reader):
    read, calls = reader
    now = int(time.time())
    os.utime(tmp_path, (now - 1, now - 1))
    read(tmp_path), read(tmp_path)
    assert len(calls) == 2
    os.utime(tmp_path, (now - 10, now - 10))
    read(tmp_path), read(tmp_path)
    assert len(calls) == 3
    # Of a file server whose clock is ahead.
    os.utime(tmp_path, (now + 1000, now + 1000))
    read(tmp_path), read(tmp_path)
    assert len(calls) == 4


def test_an_error_is_not_kept(tmp_path, reader):
    read, _ = reader
    folder = tmp_path / "later"
    with pytest.raises(FileNotFoundError):
        read(folder)
    folder.mkdir()
    assert read(folder) == []


def test_many_folders_are_not_all_kept(tmp_path, reader):
    read, calls = reader
    folders = [tmp_path / str(i) for i in range(9)]
    for folder in folders:
        folder.mkdir()
    age(tmp_path)
    for folder in (*folders, *folders[1:]):
        read(folder)
    assert len(calls) == 9
    read(folders[0])
    assert len(calls) == 10


def test_problems_leave_the_files_of_others():
    image, mask = pathlib.Path("b.png"), pathlib.Path("b_mask.png")
    listing = Listing(pathlib.Path("raw"), {"train": {"b": [image, mask]}}, ["no a"])
    assert listing.files("b") == [image, mask]
    with pytest.raises(FileNotFoundError, match="case a in raw"):
        listing.files("a")
    with pytest.raises(ListingError, match="no a") as error:
        listing.case_ids()
    assert error.value.case_ids == ("b",)


@pytest.fixture
def listings(monkeypatch):
    """The folders that were listed so far."""
    found = []

    def count(method):
        def listed(self, *args):
            found.append(self)
            return method(self, *args)

        return listed

    for name in ("glob", "iterdir"):
        monkeypatch.setattr(pathlib.Path, name, count(getattr(pathlib.Path, name)))
    return found


@pytest.mark.parametrize("name", sorted(set(DATASETS) - {"phantom"}))
def test_every_reader_lists_once_and_notices_a_change(name, tmp_path, listings):
    dataset, root = DATASETS[name], WRITERS[name](tmp_path)
    age(tmp_path)
    first = dataset.case_ids(root)
    count = len(listings)
    files = [dataset.case_files(root, case_id) for case_id in first]
    dataset.patients(root), dataset.default_split(root)
    dataset.splits(root, "random", 0), dataset.class_names(root)
    extra = 2 if name in ("bts", "folder") else 0  # For cvind.mat; of the masks.
    assert len(listings) <= count + extra
    for path in files[-1]:
        if path.suffix != ".json":
            path.unlink()
    assert dataset.case_ids(root) == first[:-1]
    with pytest.raises(FileNotFoundError, match=first[-1]):
        dataset.case_files(root, first[-1])


def bts_files(root):
    for number in range(1, 3065):
        (root / f"{number}.mat").touch()
    return 3064


def nnunet_files(root):
    write_dataset_json(root, channel_names={"0": "T1", "1": "T2"})
    for folder, ends in (("imagesTr", ("_0000", "_0001")), ("labelsTr", ("",))):
        (root / folder).mkdir()
        for number in range(4000):
            for end in ends:
                (root / folder / f"case_{number:04d}{end}.nii.gz").touch()
    return 4000


@pytest.mark.parametrize(("name", "write"), [("bts", bts_files), ("msd", nnunet_files)])
def test_a_large_folder_is_listed_in_seconds(name, write, tmp_path, listings):
    count = write(tmp_path)
    age(tmp_path)
    data = DataConfig(name, str(tmp_path), modality="mri")
    started = time.monotonic()
    case_ids = DATASETS[name].case_ids(tmp_path)
    assert len(case_ids) == count
    before = len(listings)
    _key(data, case_ids, 224)
    # Each case listed the folder, which took minutes.
    assert len(listings) == before
    assert time.monotonic() - started < 30
