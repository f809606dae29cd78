"""The quantizer's options, each against numbers of another construction."""

import keras
import numpy as np
import pytest

from synergynet_tf.config import VQ_CHOICES
from synergynet_tf.layers import VectorQuantizer
from synergynet_tf.layers.codebook import DECAY, SMOOTHING
from synergynet_tf.layers.quantizer import CHOICES


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(2, 3, 3, 6)).astype("float32")


def array(x):
    return keras.ops.convert_to_numpy(x)


def averaging(codebook):
    """Returns a layer of moving averages whose codes start at `codebook`."""
    codebook = np.array(codebook, "float32")
    layer = VectorQuantizer(num_codes=len(codebook), update="moving_average")
    layer.build((None, None, None, codebook.shape[1]))
    layer.set_codes(np.arange(len(codebook)), codebook)
    return layer


def pulled(layer, z, target):
    """Returns the gradient of `z` where the output is pulled to `target`.

    One step at rate 1 of weights that are the features themselves, without the
    quantizer's own loss, of `sum(target * output)`.
    """
    source = keras.Input(z.shape[1:])
    shift = keras.layers.EinsumDense("bhwc,c->bhwc", z.shape[1:])
    model = keras.Model(source, layer(shift(source)))
    shift.kernel.assign(np.ones(z.shape[-1]))
    model.compile(
        keras.optimizers.SGD(1.0),
        lambda true, pred: keras.ops.sum(true * pred, axis=-1),
    )
    model.fit(z, target, verbose=0, batch_size=len(z))
    # d loss / d scale_c = mean over positions of z_c times its gradient.
    return 1.0 - array(shift.kernel)


def test_config_offers_what_the_layer_takes():
    offered = {name: set(choices) for name, choices in VQ_CHOICES.items()}
    assert offered == {
        "vq_init": set(CHOICES["initialization"]),
        "vq_update": set(CHOICES["update"]),
        "vq_estimator": set(CHOICES["estimator"]),
        "vq_distance": set(CHOICES["distance"]),
        "vq_loss": set(CHOICES["loss"]),
    }


@pytest.mark.parametrize("update", CHOICES["update"])
def test_a_sum_over_channels_by_hand(update):
    z = np.array([[[[1.0, 0.0], [0.0, 3.0]]]], "float32")
    losses = {}
    for loss in CHOICES["loss"]:
        layer = VectorQuantizer(2, commitment_cost=0.5, update=update, loss=loss)
        layer.build(z.shape)
        layer.codebook.assign([[0.0, 0.0], [0.0, 1.0]])
        layer(z)
        losses[loss] = float(layer.losses[0])
    # Squared distances 1 and 4: their mean over vectors is 2.5; over channels, too,
    # half of it. The commitment's weight is 0.5; an average has no other term.
    weight = 1.5 if update == "gradient" else 0.5
    assert losses == {"sum": weight * 2.5, "mean": weight * 1.25}


def test_moving_average_equals_its_formula_in_float64(features):
    start = np.random.default_rng(1).normal(size=(5, 6))
    layer = averaging(start)
    codes, counts = start.copy(), np.ones(5)
    sums = codes * counts[:, None]
    for step in range(4):
        z = features * (1 + step)
        vectors = z.reshape(-1, 6).astype("float64")
        nearest = np.argmin(((vectors[:, None] - codes) ** 2).sum(-1), axis=1)
        output = array(layer(z, training=True)).reshape(-1, 6)
        # The step's output is that of the codes before it.
        np.testing.assert_allclose(output, codes[nearest], rtol=1e-4, atol=1e-5)
        chose = np.eye(5)[nearest]
        # The form of the paper's appendix, in numbers of vectors; all codes begin
        # with as many as a step has for each.
        per_code = len(vectors) / 5
        counts = DECAY * counts + (1 - DECAY) * chose.sum(0) / per_code
        sums = DECAY * sums + (1 - DECAY) * chose.T @ vectors / per_code
        codes = sums / counts[:, None]
        np.testing.assert_allclose(array(layer.codebook), codes, rtol=1e-4, atol=1e-5)


def test_smoothing_by_hand():
    layer = averaging([[1.0, 0.0], [0.0, 1.0]])
    tiny = SMOOTHING / DECAY
    layer.shares.assign([2.0, tiny])
    layer.sums.assign([[2.0, 0.0], [0.0, tiny]])
    layer(np.array([[[[1.0, 0.0]]]], "float32"), training=True)
    # The second code keeps a share as large as what smoothing adds to it: it is
    # divided by twice its share.
    np.testing.assert_allclose(
        array(layer.codebook), [[1.0, 0.0], [0.0, 0.5]], rtol=1e-5
    )


def test_a_code_that_was_never_used_stays_finite():
    layer = averaging([[1.0, 0.0], [0.0, 1.0]])
    layer.shares.assign([1.0, 0.0])
    layer.sums.assign([[1.0, 0.0], [0.0, 0.0]])
    layer(np.array([[[[1.0, 0.0]]]], "float32"), training=True)
    np.testing.assert_allclose(array(layer.codebook)[1], [0.0, 0.0])


def test_moving_averages_begin_as_the_codes(features):
    layer = VectorQuantizer(num_codes=8, update="moving_average")
    before = array(layer(features, training=False))
    assert before.any()
    np.testing.assert_allclose(
        array(layer.sums) / array(layer.shares)[:, None], array(layer.codebook)
    )


def test_no_optimizer_and_no_inference_moves_averaged_codes(features):
    image = keras.Input(features.shape[1:])
    layer = VectorQuantizer(
        num_codes=8, commitment_cost=0.5, update="moving_average", name="quantizer"
    )
    dense = keras.layers.Dense(6)
    model = keras.Model(image, layer(dense(image)))
    assert not any("quantizer" in w.path for w in model.trainable_weights)
    before = array(layer.codebook)
    model(features, training=False)
    np.testing.assert_array_equal(array(layer.codebook), before)
    # Only the commitment is left of the loss.
    z = array(dense(features))
    squares = np.mean((z - before[array(layer.encode(z))]) ** 2)
    layer(z)
    assert float(layer.losses[0]) == pytest.approx(0.5 * squares, rel=1e-5)


def test_restart_resets_share_and_sum_together():
    layer = averaging(np.arange(4.0)[:, None] + 100)
    layer(np.array([1.0, 2.0, 1.0, 2.0]).reshape(1, 2, 2, 1), training=True)
    share = array(layer.shares)[0]
    moved = layer.restart_dead_codes(np.array([4, 0, 0, 0]), np.random.default_rng(0))
    assert moved.tolist() == [1, 2]  # Two different features for three dead codes.
    codes, shares, sums = map(array, (layer.codebook, layer.shares, layer.sums))
    assert sorted(codes[[1, 2], 0]) == [1.0, 2.0]
    assert shares[[1, 2]].tolist() == [0.25, 0.25]
    np.testing.assert_allclose(sums[[1, 2], 0], codes[[1, 2], 0] / 4)
    # The others are as they were: 0.99 of 1/4, and the used one 0.01 more.
    assert shares[0] == share == pytest.approx(0.2575)
    assert shares[3] == pytest.approx(0.2475)


def rotation_in_float64(z, code, gradient):
    """The transposed rotation of two Householder reflections, times the lengths."""
    u, v = z / np.linalg.norm(z), code / np.linalg.norm(code)

    def reflection(normal):
        normal = normal / np.linalg.norm(normal)
        return np.eye(len(normal)) - 2 * np.outer(normal, normal)

    # First the mirror that swaps u and -u, then the one that brings -u to v.
    turn = reflection(u + v) @ reflection(u)
    np.testing.assert_allclose(turn @ u, v, atol=1e-12)
    np.testing.assert_allclose(turn @ turn.T, np.eye(len(u)), atol=1e-12)
    return np.linalg.norm(code) / np.linalg.norm(z) * turn.T @ gradient


def test_rotation_equals_householder_matrices(features):
    codes = np.random.default_rng(1).normal(size=(8, 6)).astype("float32")
    layer = VectorQuantizer(8, commitment_cost=0.0, estimator="rotation")
    layer.build((None, None, None, 6))
    layer.codebook.assign(codes)
    target = np.random.default_rng(2).normal(size=features.shape).astype("float32")
    chosen = codes[array(layer.encode(features))].astype("float64")
    expected = np.zeros(6)
    for z, code, gradient in zip(
        *(x.reshape(-1, 6).astype("float64") for x in (features, chosen, target)),
        strict=True,
    ):
        expected += z * rotation_in_float64(z, code, gradient) / 18
    # The output is the code itself, whatever the estimator.
    np.testing.assert_array_equal(array(layer(features)), chosen.astype("float32"))
    np.testing.assert_allclose(pulled(layer, features, target), expected, rtol=2e-3)


def test_rotation_of_the_zero_vector_goes_straight_through():
    layer = VectorQuantizer(2, commitment_cost=0.0, estimator="rotation")
    image = keras.Input((1, 1, 2))
    bias = keras.layers.EinsumDense("bhwc,c->bhwc", (1, 1, 2), bias_axes="c")
    model = keras.Model(image, layer(bias(image)))
    layer.codebook.assign([[3.0, 0.0], [9.0, 9.0]])
    model.compile(
        keras.optimizers.SGD(1.0), lambda true, pred: keras.ops.sum(true * pred, -1)
    )
    model.fit(np.zeros((1, 1, 1, 2)), np.array([[[[5.0, 7.0]]]]), verbose=0)
    np.testing.assert_allclose(array(bias.bias), [-5.0, -7.0])


def test_cosine_by_hand():
    layer = VectorQuantizer(2, commitment_cost=0.5, distance="cosine")
    layer.build((None, None, None, 2))
    layer.codebook.assign([[1.0, 0.0], [6.0, 8.0]])
    z = np.array([[[[0.3, 0.3], [50.0, 1.0]]]], "float32")
    # (0.3, 0.3) is nearer to (1, 0), and has the smaller angle to (6, 8).
    assert array(layer.encode(z)).tolist() == [[[1, 0]]]
    np.testing.assert_allclose(array(layer(z)), [[[[0.6, 0.8], [1.0, 0.0]]]], rtol=1e-6)
    # Squared distances of unit vectors, 2 - 2 cos: mean over 2 vectors, 2 channels.
    cosines = np.array([(0.6 + 0.8) / np.sqrt(2), 50 / np.hypot(50, 1)])
    expected = (1 + 0.5) * (2 - 2 * cosines).sum() / 4
    assert float(layer.losses[0]) == pytest.approx(expected, rel=1e-4)
    # The zero vector has no angle; it is not stretched, and nothing becomes nan.
    assert np.isfinite(array(layer(np.zeros((1, 1, 1, 2))))).all()


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("distance", CHOICES["distance"])
@pytest.mark.parametrize("estimator", CHOICES["estimator"])
@pytest.mark.parametrize("update", CHOICES["update"])
def test_every_combination_trains_a_step_and_is_saved(
    update, estimator, distance, policy, features, tmp_path
):
    arguments = {"update": update, "estimator": estimator, "distance": distance}
    image = keras.Input(features.shape[1:])
    dense = keras.layers.Dense(6)
    layer = VectorQuantizer(num_codes=8, dtype=policy, name="quantizer", **arguments)
    model = keras.Model(image, layer(dense(image)))
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    before = [array(w) for w in (dense.kernel, layer.codebook)]
    model.fit(features, np.ones_like(features), verbose=0)
    for weight, old in zip((dense.kernel, layer.codebook), before, strict=True):
        assert np.isfinite(array(weight)).all()
        assert np.any(array(weight) != old)
    assert all(weight.dtype == "float32" for weight in layer.weights)
    expected = array(keras.ops.cast(model(features), "float32"))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        array(keras.ops.cast(again(features), "float32")), expected
    )
