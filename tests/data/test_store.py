import concurrent.futures
import dataclasses
import errno
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from synergynet_tf.config import DataConfig
from synergynet_tf.data import store as store_module
from synergynet_tf.data.datasets.phantom import read_case
from synergynet_tf.data.preprocess import labels_to_network, to_network
from synergynet_tf.data.store import open_store
from tests.data.trees import square_mask, write_folder, write_png

PHANTOM = DataConfig("phantom", limit=2)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache folder for each test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SYNERGYNET_CACHE", str(folder))
    return folder


@pytest.fixture
def data(tmp_path):
    return DataConfig("folder", str(write_folder(tmp_path / "raw")))


def test_content(cache):
    store = open_store(PHANTOM, "train", 32)
    assert store.images.shape == (8, 32, 32, 1) and store.images.dtype == np.float16
    assert store.labels.shape == (8, 32, 32) and store.labels.dtype == np.uint8
    assert store.case_ids == ("phantom_000",) * 4 + ("phantom_001",) * 4
    case = read_case("", "phantom_001")
    # float16 has 11 bits: half a step below 1 is 2 ** -12.
    expected = to_network(case.image, "mri", 32)[..., :1]
    np.testing.assert_allclose(store.images[4:], expected, atol=2**-12)
    np.testing.assert_array_equal(store.labels[4:], labels_to_network(case.label, 32))


def test_a_center_crop_has_a_store_of_its_own_and_says_what_it_cuts_off(cache, capsys):
    open_store(PHANTOM, "train", 16)
    assert "cuts off" not in capsys.readouterr().err
    cropped = dataclasses.replace(PHANTOM, center_crop=0.6)
    store = open_store(cropped, "train", 16)
    assert store.images.shape == (8, 16, 16, 1) and len(os.listdir(cache)) == 2
    case = read_case("", "phantom_000")
    expected = labels_to_network(case.label, 16, 0.6)
    np.testing.assert_array_equal(store.labels[:4], expected)
    (line,) = [li for li in capsys.readouterr().err.splitlines() if "cuts off" in li]
    # Beyond rows and columns 19 to 76 of 96 there is something in 3 of the slices.
    labels = np.concatenate([read_case("", f"phantom_00{i}").label for i in (0, 1)])
    labels[:, 19:77, 19:77] = 0
    assert labels.any(axis=(1, 2)).tolist() == [1, 0, 0, 0, 1, 1, 0, 0]
    assert line == (
        "warning: --center-crop 0.6 cuts off foreground of 3 of 8 images of train; "
        "scores count it as missed"
    )


def test_without_a_crop_nothing_is_looked_for_around_it(cache, monkeypatch):
    monkeypatch.setattr(store_module, "_cut_off", None)
    assert len(open_store(PHANTOM, "train", 16).labels) == 8


def test_a_link_to_a_file_has_the_key_of_the_file(data, tmp_path):
    image = tmp_path / "raw" / "images" / "case00.png"
    image.rename(tmp_path / "away.png")
    image.symlink_to(tmp_path / "away.png")
    data = dataclasses.replace(data, modality="rgb")
    key = store_module._key(data, ["case00"], 16)
    image.unlink()
    image.symlink_to(tmp_path / "raw" / ".." / "away.png")
    assert store_module._key(data, ["case00"], 16) == key
    shutil.copy2(tmp_path / "away.png", tmp_path / "other.png")
    image.unlink()
    image.symlink_to(tmp_path / "other.png")
    assert store_module._key(data, ["case00"], 16) != key
    key = store_module._key(data, ["case00"], 16)
    linked = tmp_path / "linked"
    linked.symlink_to(tmp_path / "raw")
    moved = dataclasses.replace(data, data_dir=str(linked))
    assert store_module._key(moved, ["case00"], 16) == key


def test_photographs_are_not_cropped(data):
    with pytest.raises(ValueError, match=r"--center-crop is for scans.*Received: 0\.5"):
        open_store(dataclasses.replace(data, center_crop=0.5), "train", 16)


def test_store_is_read_only(cache):
    store = open_store(PHANTOM, "val", 16)
    with pytest.raises(ValueError, match="read-only"):
        store.labels[0] = 1


def test_built_once_then_opened(cache, monkeypatch, capsys):
    first = open_store(PHANTOM, "val", 16)
    assert "prepare val" in capsys.readouterr().err
    monkeypatch.setattr(store_module, "_build", None)
    second = open_store(PHANTOM, "val", 16)
    np.testing.assert_array_equal(first.images, second.images)
    assert first.case_ids == second.case_ids
    assert capsys.readouterr().err == ""


def test_gray_and_colored_photographs_share_a_store(data, tmp_path):
    write_png(tmp_path / "raw/images/case03.png", square_mask(12, 16, 100))
    shapes = {open_store(data, part, 16).images.shape[1:] for part in ("train", "test")}
    assert shapes == {(16, 16, 3)}


def test_key_changes_with_everything_the_content_depends_on(data, cache, tmp_path):
    raw = tmp_path / "raw"
    case_id = open_store(data, "train", 16).case_ids[0]

    def number_of_stores():
        open_store(data, "train", 16)
        return len(list(cache.iterdir()))

    assert number_of_stores() == 1
    image = raw / "images" / f"{case_id}.png"
    os.utime(image, ns=(1, 1))  # Changed in time alone.
    assert number_of_stores() == 2
    image.write_bytes(image.read_bytes() + b"\0")  # In size alone.
    os.utime(image, ns=(1, 1))
    assert number_of_stores() == 3
    os.utime(raw / "masks" / f"{case_id}.png", ns=(1, 1))
    assert number_of_stores() == 4
    (raw / "classes.json").write_text('{"lesion": 255}')
    assert number_of_stores() == 5


def test_key_changes_with_size_part_limit_and_version(cache, monkeypatch):
    open_store(PHANTOM, "train", 16)
    open_store(PHANTOM, "train", 32)
    open_store(PHANTOM, "val", 16)
    open_store(DataConfig("phantom", limit=1), "train", 16)
    monkeypatch.setattr(store_module, "VERSION", 0)
    open_store(PHANTOM, "train", 16)
    assert len(list(cache.iterdir())) == 5


def test_mask_with_a_new_class_elsewhere_changes_the_key(tmp_path, cache):
    # Without classes.json the labels of one mask depend on the values of all.
    for part in ("train", "val", "test"):
        write_folder(tmp_path / "raw", part, 1, value=255)
    data = DataConfig("folder", str(tmp_path / "raw"))
    assert open_store(data, "train", 16).labels.max() == 1
    write_png(tmp_path / "raw/test/images/new.png", square_mask(12, 16))
    write_png(tmp_path / "raw/test/masks/new.png", square_mask(12, 16, value=128))
    assert open_store(data, "train", 16).labels.max() == 2


def test_failure_leaves_nothing(data, cache, tmp_path):
    case_id = open_store(data, "train", 16).case_ids[3]
    path = tmp_path / "raw" / "images" / f"{case_id}.png"
    path.write_bytes(path.read_bytes()[:-30])
    before = sorted(cache.iterdir())
    with pytest.raises(ValueError, match=f"{case_id}.png"):
        open_store(data, "train", 16)
    assert sorted(cache.iterdir()) == before


def test_store_is_not_visible_while_it_is_built(cache, monkeypatch):
    seen = []

    def read_and_look(*args):
        seen.extend(path.name for path in cache.iterdir() if path.name[0] != ".")
        return read_case(*args)

    monkeypatch.setattr("synergynet_tf.data.datasets.phantom.read_case", read_and_look)
    open_store(PHANTOM, "train", 16)
    assert seen == [] and len(list(cache.iterdir())) == 1


def flip_byte(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: os.truncate(folder / "images.bin", 100),
        lambda folder: os.truncate(folder / "labels.bin", 0),
        lambda folder: os.truncate(folder / "labels.bin", 5000),  # Too long.
        lambda folder: flip_byte(folder / "images.bin"),
        lambda folder: flip_byte(folder / "labels.bin"),
        lambda folder: (folder / "labels.bin").unlink(),
        lambda folder: (folder / "index.json").unlink(),
        lambda folder: (folder / "index.json").write_text("{"),
        lambda folder: (folder / "index.json").write_text("[]"),
        lambda folder: (folder / "index.json").write_text('{"shape": [8, 16, 16, 1]}'),
        lambda folder: (folder / "index.json").write_text(
            '{"shape": [8, 16, 16, 1], "case_ids": ["a"]}'
        ),
    ],
)
def test_damaged_store_is_built_again(damage, cache, capsys):
    whole = np.array(open_store(PHANTOM, "train", 16).images)
    (folder,) = cache.iterdir()
    damage(folder)
    capsys.readouterr()
    np.testing.assert_array_equal(open_store(PHANTOM, "train", 16).images, whole)
    assert f"{folder} is damaged" in capsys.readouterr().err
    assert list(cache.iterdir()) == [folder]


def test_builders_at_the_same_time(cache):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(open_store, PHANTOM, "train", 16) for _ in range(4)]
        stores = [future.result() for future in futures]
    for store in stores[1:]:
        np.testing.assert_array_equal(store.images, stores[0].images)
    assert len(list(cache.iterdir())) == 1


def test_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SYNERGYNET_CACHE", str(tmp_path / "file"))
    with pytest.raises(OSError, match=r"Cannot write .*file .*SYNERGYNET_CACHE"):
        open_store(PHANTOM, "train", 16)


def test_full_disk(cache, monkeypatch):
    def write(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store_module, "_write", write)
    with pytest.raises(OSError, match=rf"{cache} .No space .*SYNERGYNET_CACHE"):
        open_store(PHANTOM, "train", 16)
    assert list(cache.iterdir()) == []


def test_stores_of_two_modalities_are_two(data):
    gray = dataclasses.replace(data, modality="mri")
    first, second = (open_store(d, "val", 16).images for d in (data, gray))
    assert not np.array_equal(first, second)


BUILD = """
import sys, time
from synergynet_tf.config import DataConfig
from synergynet_tf.data import store
from synergynet_tf.data.datasets import phantom

def wait(*_):
    print("builds\\n", end="", flush=True)  # In one piece: threads print it.
    time.sleep(60)

phantom.read_case = wait
store.open_store(DataConfig("phantom", limit=2), "train", 64)
"""


@pytest.fixture
def builder(cache):
    """Another process, which is building a store."""
    root = pathlib.Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", BUILD], cwd=root, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "builds\n"
        yield process
        process.kill()


def test_what_a_killed_builder_left_is_removed(cache, builder):
    (left,) = cache.iterdir()
    assert left.name[0] == "."
    open_store(PHANTOM, "train", 16)
    assert left in cache.iterdir()  # It lives.
    builder.kill()
    builder.wait()
    open_store(PHANTOM, "val", 16)
    assert left not in cache.iterdir() and len(list(cache.iterdir())) == 2


@pytest.mark.parametrize("machine", ["other-1-", ""])  # Without one: of before.
def test_what_is_of_another_machine_has_a_day(cache, machine):
    left = cache / f".{'0' * 32}-{machine}a_b1"
    (left / "store").mkdir(parents=True)
    (left / "store" / "images.bin").touch()
    old = time.time() - 25 * 3600
    os.utime(left, (old, old))
    os.utime(left / "store", (old, old))
    open_store(PHANTOM, "train", 16)
    assert left.is_dir()  # Its file was written to just now.
    os.utime(left / "store" / "images.bin", (old, old))
    open_store(PHANTOM, "val", 16)
    assert not left.exists()


def test_what_is_no_store_stays_in_the_cache(cache):
    kept = [cache / ".hidden", cache / f"{'0' * 32}-a-b", cache / f".{'0' * 32}"]
    for folder in kept:
        folder.mkdir(parents=True)
    (cache / f".{'1' * 32}-{socket.gethostname()}-ab").symlink_to(kept[0])
    before = set(cache.iterdir())
    open_store(PHANTOM, "train", 16)
    assert before < set(cache.iterdir())


def test_without_locks_nothing_is_removed(cache, monkeypatch):
    left = cache / f".{'0' * 32}-{socket.gethostname()}-ab"
    left.mkdir(parents=True)

    def fail(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(store_module.fcntl, "flock", fail)
    open_store(PHANTOM, "train", 16)
    assert left.is_dir()
