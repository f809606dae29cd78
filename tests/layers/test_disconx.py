import keras
import numpy as np
import pytest

from synergynet_tf.layers import DisConX
from tests.checks import check_layer


@pytest.fixture
def features():
    draw = np.random.default_rng(0).normal
    return [draw(size=(2, 3, 4, 8)).astype("float32") for _ in range(2)]


def test_layer(features):
    # Kernel and bias of query, key, value and output.
    check_layer(DisConX, {"num_heads": 2}, features, weights=(8, 0))


def test_equals_the_formula(features):
    discrete, continuous = features
    layer = DisConX(num_heads=2)
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
    layer = DisConX(num_heads=2)
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
    with pytest.raises(ValueError, match="same shape"):
        DisConX(num_heads=2)(features[0], features[1][:, :2])


def test_attention_weights_are_those_that_are_used(features):
    layer = DisConX(num_heads=2)
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
