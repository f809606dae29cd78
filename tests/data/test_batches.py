import functools
import operator

import numpy as np
import pytest

from synergynet_tf.data.batches import Batches
from synergynet_tf.data.store import Store


def numbered_store(count, channels=1, size=8):
    """Returns a store whose image `i` is `i / 32` throughout, all foreground."""
    values = np.arange(count, dtype=np.float16) / 32
    images = np.tile(values[:, None, None, None], (1, size, size, channels))
    labels = np.ones((count, size, size), np.uint8)
    return Store(images, labels, tuple(map(str, range(count))))


def numbers(batch):
    """Returns which images of a numbered store are in a batch."""
    return [round(32 * float(image.max())) for image in batch[0]]


def epoch_of(batches, epoch):
    return [numbers(batches.batch(epoch, step)) for step in range(len(batches))]


def test_validation_is_in_order_with_a_short_last_batch():
    batches = Batches(numbered_store(5), 2, seed=0, training=False)
    assert epoch_of(batches, 0) == epoch_of(batches, 7) == [[0, 1], [2, 3], [4]]


def test_training_drops_the_rest_and_shuffles():
    batches = Batches(numbered_store(21), 4, seed=0, training=True)
    assert len(batches) == 5
    order = functools.reduce(operator.iadd, epoch_of(batches, 0), [])
    assert len(set(order)) == 20 and order != sorted(order)


def test_fewer_images_than_a_batch_are_one_batch():
    batches = Batches(numbered_store(3), 8, seed=0, training=True)
    assert len(batches) == 1 and sorted(numbers(batches.batch(0, 0))) == [0, 1, 2]


def test_order_is_that_of_the_seed_and_the_epoch():
    batches = Batches(numbered_store(16), 4, seed=5, training=True)
    order = np.random.default_rng([5, 3]).permutation(16)
    assert functools.reduce(operator.iadd, epoch_of(batches, 3), []) == order.tolist()
    other = Batches(numbered_store(16), 4, seed=6, training=True)
    assert epoch_of(batches, 0) != epoch_of(batches, 1) != epoch_of(other, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_and_types(channels):
    batches = Batches(numbered_store(4, channels), 2, seed=0, training=True)
    images, labels = batches.batch(0, 1)
    assert (images.shape, images.dtype) == ((2, 8, 8, 3), np.float32)
    assert (labels.shape, labels.dtype) == ((2, 8, 8), np.uint8)


def test_indexing_serves_the_epoch_that_is_set():
    batches = Batches(numbered_store(12), 4, seed=1, training=True)
    batches.epoch = 3
    for step in range(3):
        for a, b in zip(batches[step], batches.batch(3, step), strict=True):
            np.testing.assert_array_equal(a, b)
    assert numbers(batches[0]) != numbers(batches.batch(2, 0))
    batches.first_step = 2
    for step, served in enumerate((2, 0, 1)):
        assert numbers(batches[step]) == numbers(batches.batch(3, served))


def test_augmentation_differs_between_images_and_epochs():
    one = np.random.default_rng(0).random((1, 16, 16, 1)).astype(np.float16)
    images = np.repeat(one, 8, axis=0)
    store = Store(images, np.ones((8, 16, 16), np.uint8), tuple("abcdefgh"))
    batches = Batches(store, 8, seed=0, training=True)
    assert len({image.tobytes() for image in batches.batch(0, 0)[0]}) > 3
    still = Batches(store, 8, seed=0, training=False)
    np.testing.assert_array_equal(still.batch(0, 0)[0][..., :1], images)
    alone = Store(one, np.ones((1, 16, 16), np.uint8), ("a",))
    batches = Batches(alone, 1, seed=0, training=True)
    assert len({batches.batch(epoch, 0)[0].tobytes() for epoch in range(8)}) > 3


def test_serving_does_not_change_the_store():
    store = numbered_store(4)
    images, labels = Batches(store, 4, seed=0, training=False)[0]
    images[:], labels[:] = 9, 9
    assert store.images.max() < 1 and store.labels.max() == 1


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="`batch_size` must be at least 1"):
        Batches(numbered_store(4), 0, seed=0, training=True)
    with pytest.raises(ValueError, match="`store` must hold at least 1 image"):
        Batches(numbered_store(0), 2, seed=0, training=True)
    with pytest.raises(IndexError, match="Step 2 of an epoch of 2"):
        Batches(numbered_store(4), 2, seed=0, training=False).batch(0, 2)


def test_iterating_ends():
    batches = Batches(numbered_store(5), 2, seed=0, training=False)
    assert [numbers(batch) for batch in batches] == [[0, 1], [2, 3], [4]]
