import h5py
import keras
import numpy as np
import pytest

from synergynet_tf.layers import VectorQuantizer
from tests.checks import check_layer

ARGUMENTS = {
    "num_codes": 8,
    "commitment_cost": 0.5,
    "restart_every": 3,
    "initialization": "uniform",
    "estimator": "rotation",
    "distance": "cosine",
}


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(2, 3, 3, 6)).astype("float32")


def quantizer(codebook, **arguments):
    codebook = np.array(codebook, "float32")
    layer = VectorQuantizer(num_codes=len(codebook), **arguments)
    layer.build((None, None, None, codebook.shape[1]))
    layer.codebook.assign(codebook)
    return layer


def test_layer(features):
    check_layer(VectorQuantizer, ARGUMENTS, [features], weights=(1, 3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_codes": 1}, "num_codes=1"),
        ({"commitment_cost": -0.1}, "commitment_cost=-0.1"),
        ({"restart_every": -1}, "restart_every=-1"),
        ({"initialization": "zeros"}, "initialization='zeros'"),
        ({"update": "ema"}, "update='ema'"),
        ({"estimator": "gumbel"}, "estimator='gumbel'"),
        ({"distance": "manhattan"}, "distance='manhattan'"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        VectorQuantizer(**arguments)


def test_refuses_unknown_channels():
    with pytest.raises(ValueError, match="last dimension"):
        VectorQuantizer(num_codes=2).build((None, 4, 4, None))


def test_loss_by_hand():
    layer = quantizer([[0.0, 0.0], [9.0, 9.0]], commitment_cost=0.5)
    layer(np.array([[[[3.0, 1.0]]]], "float32"))
    # mean((3, 1)^2) = 5; codebook term 5 + commitment term 0.5 * 5.
    assert float(layer.losses[0]) == pytest.approx(7.5)


def test_output_is_the_code_and_ties_go_to_the_first():
    layer = quantizer([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    z = np.array([[[[2.0, 0.0], [0.0, 5.0], [-3.0, 0.0]]]], "float32")
    assert keras.ops.convert_to_numpy(layer.encode(z)).tolist() == [[[0, 0, 1]]]
    output = keras.ops.convert_to_numpy(layer(z))
    assert output.tolist() == [[[[1, 0], [1, 0], [-1, 0]]]]


def test_codes_equal_brute_force_in_float64(features):
    codebook = np.random.default_rng(1).normal(size=(8, 6))
    layer = quantizer(codebook)
    differences = features[..., None, :].astype("float64") - codebook
    expected = np.argmin(np.sum(differences**2, axis=-1), axis=-1)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(layer.encode(features)), expected
    )


def test_codes_are_right_far_from_the_origin():
    # Codes 0.5 apart at a distance of 10,000: in float32 the square of 1e4 has a
    # step of 8, so the plain expansion of the distance cannot tell them apart.
    codes = 1e4 + np.array([[0.0], [0.5], [1.0], [1.5]])
    layer = quantizer(codes)
    z = np.array([1e4 + 0.1, 1e4 + 0.6, 1e4 + 1.1, 1e4 + 1.4]).reshape(1, 2, 2, 1)
    assert keras.ops.convert_to_numpy(layer.encode(z)).ravel().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_codes_do_not_depend_on_the_policy(policy, features):
    codebook = np.random.default_rng(1).normal(size=(8, 6))
    mixed = quantizer(codebook, dtype=policy)
    # What arrives is rounded to 16 bits; what is done with it is not.
    rounded = keras.ops.cast(features, mixed.compute_dtype)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(mixed.encode(rounded)),
        keras.ops.convert_to_numpy(
            quantizer(codebook).encode(keras.ops.cast(rounded, "float32"))
        ),
    )


def test_gradient_goes_straight_through(features):
    # With beta = 0 only the straight-through estimator can move the dense.
    image = keras.Input(features.shape[1:])
    dense = keras.layers.Dense(6)
    layer = VectorQuantizer(num_codes=8, commitment_cost=0.0)
    model = keras.Model(image, layer(dense(image)))
    model.compile("sgd", "mse")
    before = keras.ops.convert_to_numpy(dense.kernel)
    model.fit(features, np.ones_like(features), verbose=0)
    assert np.any(before != keras.ops.convert_to_numpy(dense.kernel))


@pytest.mark.parametrize("estimator", ["straight_through", "rotation"])
def test_gradient_of_the_codebook_by_hand(estimator):
    codes = [[0.0, 0.0], [9.0, 9.0]]
    layer = quantizer(codes, commitment_cost=0.25, estimator=estimator)
    image = keras.Input((1, 1, 2))
    model = keras.Model(image, layer(image))
    # The output's own loss must not reach the codebook.
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.fit(np.array([[[[3.0, 1.0]]]]), np.full((1, 1, 1, 2), 7.0), verbose=0)
    # d/de mean((z - e)^2) = 2 (e - z) / 2 channels = (-3, -1).
    expected = [[3.0, 1.0], [9.0, 9.0]]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer.codebook), expected)


def test_inference_counts_only_where_asked(features):
    layer = VectorQuantizer(num_codes=8)
    layer(features, training=False)
    assert float(keras.ops.sum(layer.counts)) == float(layer.errors[1]) == 0
    layer(features, training=True)
    assert float(keras.ops.sum(layer.counts)) == 18
    layer.count_in_inference = True
    layer(features, training=False)
    # Twice the uses of the 18 features.
    once = np.bincount(keras.ops.convert_to_numpy(layer.encode(features)).ravel())
    counts = keras.ops.convert_to_numpy(layer.counts)
    np.testing.assert_array_equal(counts[: once.size], 2 * once)
    assert counts.sum() == float(layer.errors[1]) == 36


def test_restart_moves_dead_codes_to_recent_features(features):
    layer = quantizer(np.full((8, 6), 100.0) + np.arange(8)[:, None], restart_every=1)
    layer(features, training=True)
    uses = np.array([0, 0, 0, 0, 0, 0, 18, 0])
    moved = layer.restart_dead_codes(uses, np.random.default_rng(0))
    assert moved.tolist() == [0, 1, 2, 3, 4, 5, 7]
    codebook = keras.ops.convert_to_numpy(layer.codebook)
    np.testing.assert_array_equal(codebook[6], np.full(6, 106.0))
    tokens = {tuple(token) for token in features.reshape(-1, 6).tolist()}
    assert all(tuple(code) in tokens for code in codebook[uses == 0].tolist())
    assert len(np.unique(codebook, axis=0)) == 8


def test_restart_moves_no_two_codes_to_one_feature():
    layer = quantizer(np.arange(5.0)[:, None] + 100, restart_every=1)
    layer(np.array([1.0, 2.0, 1.0]).reshape(1, 1, 3, 1), training=True)
    moved = layer.restart_dead_codes(np.zeros(5), np.random.default_rng(0))
    # Two different features for five dead codes.
    assert moved.tolist() == [0, 1]
    codebook = keras.ops.convert_to_numpy(layer.codebook).ravel().tolist()
    assert sorted(codebook) == [1.0, 2.0, 102.0, 103.0, 104.0]


def test_no_candidates_are_kept_without_use(features):
    layer = VectorQuantizer(num_codes=8, restart_every=0)
    layer(features, training=True)
    assert keras.ops.convert_to_numpy(layer.candidates).any()
    layer = VectorQuantizer(num_codes=8, restart_every=0, initialization="uniform")
    layer(features, training=True)
    assert not keras.ops.convert_to_numpy(layer.candidates).any()


def test_quantization_error_by_hand():
    layer = quantizer([[0.0, 0.0], [9.0, 9.0]])
    z = np.array([[[[3.0, 1.0], [9.0, 7.0], [1.0, 0.0]]]], "float32")
    layer(z, training=True)
    # 9 + 1, 4 and 1, of three vectors.
    assert keras.ops.convert_to_numpy(layer.errors).tolist() == [15, 3]


def test_weights_files_have_the_layout_of_before(features, tmp_path):
    image = keras.Input(features.shape[1:])
    layer = VectorQuantizer(num_codes=8, name="quantizer")
    model = keras.Model(image, layer(image))
    layer(features, training=True)
    path = tmp_path / "a.weights.h5"
    model.save_weights(path)
    with h5py.File(path) as file:
        found = {k: v[()] for k, v in file["layers/vector_quantizer/vars"].items()}
    expected = (layer.codebook, layer.candidates, layer.counts)
    assert set(found) == {"0", "1", "2"}
    for number, weight in enumerate(expected):
        np.testing.assert_array_equal(
            found[str(number)], keras.ops.convert_to_numpy(weight)
        )


def test_weights_of_another_update_are_refused(features):
    layer = VectorQuantizer(num_codes=8, name="quantizer")
    layer(features)
    averaged = dict.fromkeys("01234", np.zeros((8, 6)))
    with pytest.raises(ValueError, match="quantizer has 3 weights, the file 5"):
        layer.load_own_variables(averaged)
