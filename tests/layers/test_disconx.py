import keras
import numpy as np
import pytest

from synergynet_tf.layers import DisConX
from tests.checks import check_layer
from tests.layers.normalized import (
    away_from_the_start,
    normalized_output,
    normalized_scores,
)


@pytest.fixture
def features():
    draw = np.random.default_rng(0).normal
    return [draw(size=(2, 3, 4, 8)).astype("float32") for _ in range(2)]


PAPER = {"num_heads": 2, "normalized": False}


@pytest.mark.parametrize(("normalized", "weights"), [(True, 11), (False, 8)])
def test_layer(normalized, weights, features):
    # Kernel and bias of query, key, value and output; normalized, temperatures, and
    # the scale and offset of the output.
    arguments = {"num_heads": 2, "normalized": normalized}
    check_layer(DisConX, arguments, features, weights=(weights, 0))


def test_normalized_equals_the_formula(features):
    discrete, continuous = features
    layer = DisConX(num_heads=2)
    layer.build(discrete.shape, continuous.shape)
    away_from_the_start(layer)
    expected, weights = in_numpy(layer, discrete, continuous)
    result = keras.ops.convert_to_numpy(layer(discrete, continuous))
    # float32 against float64.
    np.testing.assert_allclose(result, expected, atol=2e-5)
    found = keras.ops.convert_to_numpy(layer.attention_weights(discrete, continuous))
    np.testing.assert_allclose(found, weights, atol=1e-5)


def in_numpy(layer, discrete, continuous):
    """Computes the normalized output and its weights, independently, in float64."""
    scores, v = normalized_scores(layer, discrete, continuous)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return normalized_output(layer, weights @ v, discrete.shape), weights


def test_features_of_another_scale_or_with_a_constant_give_the_same(features):
    discrete, continuous = features
    layer = DisConX(num_heads=2)
    plain = layer(100 * discrete, 100 * continuous)
    moved = layer(700 * discrete + 5, 200 * continuous - 300)
    # The norm's epsilon of 0.001 stands beside squares of 10,000 and more.
    np.testing.assert_allclose(plain, moved, atol=2e-4)


def test_without_content_attention_knows_the_place(features):
    layer = DisConX(num_heads=2)
    layer(*features)
    flat = np.ones_like(features[0])
    weights = keras.ops.convert_to_numpy(layer.attention_weights(flat, flat))
    # Tokens are equal, so that positions alone decide, alike in both images.
    np.testing.assert_allclose(weights[0], weights[1], atol=1e-6)
    assert weights.std(axis=2).max() > 0.01


def test_temperatures_are_capped(features):
    layer = DisConX(num_heads=2)
    layer(*features)
    at_cap = []
    for temperature in (100.0, 1e6):
        layer.log_temperature.assign(np.log([temperature] * 2))
        at_cap.append(layer.attention_weights(*features))
    np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, at_cap))


def test_equals_the_formula(features):
    discrete, continuous = features
    layer = DisConX(**PAPER)
    result = keras.ops.convert_to_numpy(layer(discrete, continuous))

    attention = layer.attention
    names = ("query_dense", "key_dense", "value_dense", "output_dense")
    (wq, bq), (wk, bk), (wv, bv), (wo, bo) = (
        [keras.ops.convert_to_numpy(w) for w in getattr(attention, f"_{name}").weights]
        for name in names
    )
    d, c = (x.reshape(2, 12, 8).astype("float64") for x in features)
    expected = np.zeros((2, 12, 8))
    for head in range(2):
        q = d @ wq[:, head] + bq[head]
        k = c @ wk[:, head] + bk[head]
        v = c @ wv[:, head] + bv[head]
        scores = np.exp(q @ k.transpose(0, 2, 1) / np.sqrt(4))
        soft = scores / scores.sum(axis=-1, keepdims=True)
        expected += soft @ v @ wo[head]
    expected = (expected + bo).reshape(discrete.shape)
    # float32 against float64.
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_queries_are_discrete_and_values_continuous(features):
    discrete, continuous = features
    layer = DisConX(**PAPER)
    # With one and the same key everywhere, the queries cannot matter.
    flat = np.broadcast_to(continuous[:, :1, :1], continuous.shape).copy()
    first, second = layer(discrete, flat), layer(discrete[::-1].copy(), flat)
    np.testing.assert_allclose(first, second, atol=1e-5)
    assert np.abs(layer(discrete, continuous) - layer(discrete, flat)).max() > 1e-3


def test_refuses(features):
    with pytest.raises(ValueError, match="num_heads=0"):
        DisConX(num_heads=0)
    with pytest.raises(ValueError, match="channels=8, num_heads=3"):
        DisConX(num_heads=3)(*features)
    with pytest.raises(ValueError, match="channels=None, num_heads=2"):
        DisConX(num_heads=2).build((None, 4, 4, None), (None, 4, 4, None))
    with pytest.raises(ValueError, match="Height and width"):
        DisConX(num_heads=2).build((None, None, 4, 8), (None, None, 4, 8))
    with pytest.raises(ValueError, match="same shape"):
        DisConX(num_heads=2)(features[0], features[1][:, :2])


def test_attention_weights_are_those_that_are_used(features):
    layer = DisConX(**PAPER)
    output = layer(*features)
    weights = keras.ops.convert_to_numpy(layer.attention_weights(*features))
    assert weights.shape == (2, 2, 12, 12)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-5)
    kernel, bias = layer.attention._value_dense.weights
    values = np.einsum("bnc,chd->bhnd", features[1].reshape(2, 12, 8), kernel)
    values += keras.ops.convert_to_numpy(bias)[:, None]
    kernel, bias = layer.attention._output_dense.weights
    expected = np.einsum("bhnd,hdc->bnc", weights @ values, kernel)
    expected = (expected + keras.ops.convert_to_numpy(bias)).reshape(output.shape)
    np.testing.assert_allclose(output, expected, atol=1e-5)
