import time

import numpy as np
import pytest
import tensorflow as tf

from synergynet_tf.config import DataConfig
from synergynet_tf.data.batches import Batches
from synergynet_tf.data.pipeline import dataset
from synergynet_tf.data.store import open_store


@pytest.fixture
def batches(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNERGYNET_CACHE", str(tmp_path))
    store = open_store(DataConfig("phantom", limit=5), "train", 16)
    return Batches(store, 8, seed=2, training=True)


def assert_same(first, second):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_two_epochs_equal_the_batches_bit_for_bit(batches):
    served = list(dataset(batches, first_epoch=0, epochs=2))
    assert len(batches) == 2 and len(served) == 4
    for batches.epoch in range(2):
        for step in range(2):
            assert_same(batches[step], served[2 * batches.epoch + step])


@pytest.mark.parametrize("first_step", [0, 1])
def test_resumed_stream_is_the_rest_of_the_whole(batches, first_step):
    whole = list(dataset(batches, 0, 3))
    rest = list(dataset(batches, 2, 1, first_step))
    for a, b in zip(whole[4 + first_step :], rest, strict=True):
        assert_same(a, b)
    assert not np.array_equal(whole[0][0], rest[0][0])


def test_slow_batch_keeps_its_place(batches, monkeypatch):
    batch = batches.batch

    def slow_at_first(epoch, step, part, of):
        time.sleep(0.2 if epoch == 0 else 0)
        return batch(epoch, step, part, of)

    monkeypatch.setattr(batches, "batch", slow_at_first)
    for index, served in enumerate(dataset(batches, 0, 4)):
        assert_same(batch(*divmod(index, 2)), served)


def test_parts_of_a_batch_are_the_batch(batches):
    first, *middle = dataset(batches, 1, 1, parts=(0,), of=3)
    assert len(first[0]) == 2 and not middle[1:]
    rest = list(dataset(batches, 1, 1, parts=(1, 2), of=3))
    assert [len(images) for images, _ in rest] == [3, 3, 3, 3]
    joined = [np.concatenate(arrays) for arrays in zip(first, *rest[:2], strict=True)]
    assert_same(joined, batches.batch(1, 0))


def test_shapes_are_known_ahead(batches):
    images, labels = dataset(batches).element_spec
    assert images == tf.TensorSpec((8, 16, 16, 3), tf.float32)
    assert labels == tf.TensorSpec((8, 16, 16), tf.uint8)
    assert dataset(batches, epochs=3).cardinality() == 6
    images, _ = dataset(batches, parts=(0, 1), of=4).element_spec
    assert images.shape == (2, 16, 16, 3)
    images, _ = dataset(batches, parts=(0, 1), of=3).element_spec
    assert images.shape[0] is None


def test_validation_is_one_finite_epoch(batches):
    still = Batches(batches.store, 8, seed=0, training=False)
    served = list(dataset(still))
    assert [len(images) for images, _ in served] == [8, 8, 4]
    labels = np.concatenate([labels for _, labels in served])
    np.testing.assert_array_equal(labels, still.store.labels)
