"""What the training does for a codebook, besides the steps."""

import json

import keras
import numpy as np
import pytest

from synergynet_tf.layers import VectorQuantizer
from synergynet_tf.training.codebook import CodebookMonitor, start_codebooks

VECTORS = np.array([[0.0, 0.0], [0.2, 0.0], [4.0, 4.0], [4.2, 4.0], [9.0, 0.0]])


class StubBatches:
    """Serves 2 x 2 images whose pixels are the vectors, in an order of their own."""

    def __init__(self, count=9):
        self.count = count
        self.served = []

    def __len__(self):
        return self.count

    def batch(self, epoch, step):
        self.served.append((epoch, step))
        chosen = np.random.default_rng(step).permutation(len(VECTORS))[:4]
        return VECTORS[chosen].reshape(1, 2, 2, 2).astype("float32"), None


def quantized(**arguments):
    """A model that normalizes its images, without moving them, and quantizes."""
    image = keras.Input((2, 2, 2))
    normalization = keras.layers.BatchNormalization(epsilon=0.0, name="normalization")
    layer = VectorQuantizer(name="quantizer", **arguments)
    return keras.Model(image, layer(normalization(image)))


def codes(model):
    return keras.ops.convert_to_numpy(model.get_layer("quantizer").codebook)


def test_kmeans_finds_the_middle_of_what_is_there():
    image = keras.Input((2, 2, 2))
    layer = VectorQuantizer(3, initialization="kmeans", update="moving_average")
    model = keras.Model(image, layer(image))
    start_codebooks(model, StubBatches(), seed=0)
    found = keras.ops.convert_to_numpy(layer.codebook)
    found = found[np.argsort(found.sum(axis=1))]
    # Two close pairs, whose members come about as often, and one vector alone.
    np.testing.assert_allclose(found, [[0.1, 0], [4.1, 4], [9, 0]], atol=0.1)
    # The moving averages begin there, too.
    averages = 3 * keras.ops.convert_to_numpy(layer.sums)
    np.testing.assert_allclose(np.sort(averages.sum(axis=1)), found.sum(axis=1), 1e-5)


def test_kmeans_depends_on_the_seed_alone_and_leaves_the_model_as_it_was():
    found = []
    for seed in (0, 0, 1):
        model = quantized(num_codes=4, initialization="kmeans")
        before = [keras.ops.convert_to_numpy(w) for w in model.non_trainable_variables]
        batches = StubBatches()
        start_codebooks(model, batches, seed)
        # Four vectors for each of four codes: four batches of four, of epoch 0.
        assert batches.served == [(0, step) for step in range(4)]
        for weight, old in zip(model.non_trainable_variables, before, strict=True):
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), old)
        found.append(codes(model))
    np.testing.assert_array_equal(found[0], found[1])
    assert np.any(found[0] != found[2])


def test_kmeans_sees_what_training_sees():
    # Normalized by the batch: no code is where the images' own values are.
    model = quantized(num_codes=4, initialization="kmeans")
    start_codebooks(model, StubBatches(), seed=0)
    assert 0.1 < np.abs(codes(model)).max() < 2.0


def test_codes_for_which_there_are_no_vectors_stay():
    image = keras.Input((2, 2, 2))
    layer = VectorQuantizer(8, initialization="kmeans")
    model = keras.Model(image, layer(image))
    before = keras.ops.convert_to_numpy(layer.codebook)
    start_codebooks(model, StubBatches(count=8), seed=0)
    after = keras.ops.convert_to_numpy(layer.codebook)
    np.testing.assert_allclose(
        after[:5][np.lexsort(after[:5].T)], VECTORS[np.lexsort(VECTORS.T)]
    )
    np.testing.assert_array_equal(after[5:], before[5:])
    assert np.any(after[:5] != before[:5])


@pytest.mark.parametrize("initialization", ["uniform", "first_batches"])
def test_others_are_not_touched(initialization):
    model = quantized(num_codes=4, initialization=initialization)
    before, batches = codes(model), StubBatches()
    start_codebooks(model, batches, seed=0)
    np.testing.assert_array_equal(codes(model), before)
    assert batches.served == []


@pytest.mark.parametrize(
    ("initialization", "restart_every", "looks"),
    [
        ("first_batches", 3, [(0, 1), (0, 3), (0, 6), (1, 3), (1, 6)]),
        ("first_batches", 0, [(0, 1)]),
        ("first_batches", 99, [(0, 1), (0, 7), (1, 7)]),  # At an epoch's end.
        ("uniform", 3, [(0, 3), (0, 6), (1, 3), (1, 6)]),
        ("kmeans", 0, []),
    ],
)
def test_when_dead_codes_are_looked_for(
    initialization, restart_every, looks, monkeypatch
):
    model = quantized(
        num_codes=4, initialization=initialization, restart_every=restart_every
    )
    found = []
    monitor = CodebookMonitor(seed=0, steps=7)
    monkeypatch.setattr(
        VectorQuantizer,
        "restart_dead_codes",
        lambda *_: found.append((monitor.epoch, monitor.done)) or np.zeros(0, int),
    )
    monitor.set_model(model)
    monitor.on_train_begin()
    for epoch in range(2):
        monitor.on_epoch_begin(epoch)
        for batch in range(7):
            monitor.on_train_batch_end(batch)
    assert found == looks


def test_the_error_of_an_epoch_is_a_mean_over_its_vectors():
    image = keras.Input((2, 2, 2))
    layer = VectorQuantizer(2, restart_every=0, initialization="uniform")
    model = keras.Model(image, layer(image))
    layer.codebook.assign([[0.0, 0.0], [9.0, 0.0]])
    monitor = CodebookMonitor(seed=0, steps=2)
    monitor.set_model(model)
    monitor.on_train_begin()
    monitor.on_epoch_begin(0)
    for number, z in ((1, [0.0, 2.0]), (3, [9.0, 1.0])):
        model(np.full((number, 2, 2, 2), z), training=True)
    monitor.on_test_begin()
    monitor.on_test_end()
    # 4 vectors at a squared distance of 4, 12 at 1; nothing in the validation.
    assert monitor.usage["quantization_error"] == (4 * 4 + 12 * 1) / 16
    assert monitor.usage["codes_used"] == 2
    assert (
        monitor.usage["val_codes_used"] == monitor.usage["val_quantization_error"] == 0
    )


@pytest.mark.parametrize(
    ("number", "used", "said"),
    # 5 and 15 images of 4 vectors, and 5 % of 20 and of 60 are 1 and 3.
    [(5, 1, False), (15, 1, True), (15, 3, False), (0, 0, False)],
)
def test_few_vectors_cannot_use_many_codes(number, used, said, capsys):
    image = keras.Input((2, 2, 2))
    layer = VectorQuantizer(1024, restart_every=0)
    model = keras.Model(image, layer(image))
    places = np.arange(2048.0).reshape(1024, 2)
    layer.codebook.assign(places)
    monitor = CodebookMonitor(seed=0, steps=1)
    monitor.set_model(model)
    monitor.on_train_begin()
    monitor.on_epoch_begin(0)
    monitor.on_test_begin()
    if number:
        vectors = places[np.arange(number * 4) % used].reshape(number, 2, 2, 2)
        model(vectors, training=True)
    monitor.on_test_end()
    # A run that was stopped here knows it still.
    stopped = CodebookMonitor(
        seed=0, steps=1, begun=json.loads(json.dumps(monitor.state()))
    )
    for one in (monitor, stopped):
        one.set_model(model)
        one.on_train_begin()
    stopped.on_epoch_begin(0)
    for one in (monitor, stopped):
        one.on_epoch_end(0, {})
        assert ("1 of 1024 codes" in capsys.readouterr().err) is said
