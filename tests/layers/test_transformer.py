import keras
import numpy as np
import pytest
import scipy.special

from synergynet_tf.layers import TransformerBlock
from tests.checks import check_layer


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(2, 3, 4, 8)).astype("float32")


def test_layer(features):
    # Scale and offset of two normalizations, kernel and bias of query, key, value,
    # output and the perceptron's two layers.
    arguments = {"num_heads": 2, "dropout": 0.5}
    check_layer(TransformerBlock, arguments, [features], weights=(16, 0))


def normalized(x, scale, offset):
    deviation = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-6)
    return (x - x.mean(axis=-1, keepdims=True)) / deviation * scale + offset


def block_by_hand(x, arrays):
    """ViT's block in float64.

    Args:
        x: `(batch, tokens, channels)`.
        arrays: The 16 arrays in the order of ViT's equations, query, key and value
            `(channels, heads, head_dim)`.
    """
    s1, o1, wq, bq, wk, bk, wv, bv, wo, bo, s2, o2, w1, b1, w2, b2 = arrays
    n = normalized(x, s1, o1)
    attended = np.zeros_like(x)
    for head in range(wq.shape[1]):
        q = n @ wq[:, head] + bq[head]
        k = n @ wk[:, head] + bk[head]
        v = n @ wv[:, head] + bv[head]
        scores = q @ k.transpose(0, 2, 1) / np.sqrt(wq.shape[2])
        attended += scipy.special.softmax(scores, axis=-1) @ v @ wo[head]
    x = x + attended + bo
    hidden = normalized(x, s2, o2) @ w1 + b1
    hidden = hidden * 0.5 * (1 + scipy.special.erf(hidden / np.sqrt(2)))
    return x + hidden @ w2 + b2


def test_equals_the_formula(features):
    layer = TransformerBlock(num_heads=2)
    layer.build(features.shape)
    draw = np.random.default_rng(1).normal
    arrays = [draw(0, 0.5, weight.shape) for weight in layer.weights]
    layer.set_weights(arrays)
    result = keras.ops.convert_to_numpy(layer(features, training=False))
    tokens = features.reshape(2, 12, 8).astype("float64")
    expected = block_by_hand(tokens, arrays).reshape(features.shape)
    # float32 against float64.
    np.testing.assert_allclose(result, expected, atol=1e-4)


def test_dropout_is_for_training_and_new_each_time(features):
    layer = TransformerBlock(num_heads=2)
    first, second = (layer(features, training=True) for _ in range(2))
    assert np.any(
        keras.ops.convert_to_numpy(first) != keras.ops.convert_to_numpy(second)
    )
    still = layer(features, training=False)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(still),
        keras.ops.convert_to_numpy(layer(features, training=False)),
    )
    without = TransformerBlock(num_heads=2, dropout=0.0)
    without.build(features.shape)
    without.set_weights(layer.get_weights())
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(without(features, training=True)),
        keras.ops.convert_to_numpy(still),
    )


def test_refuses(features):
    with pytest.raises(ValueError, match="num_heads=0"):
        TransformerBlock(num_heads=0)
    with pytest.raises(ValueError, match="dropout=1"):
        TransformerBlock(num_heads=2, dropout=1.0)
    with pytest.raises(ValueError, match="channels=8, num_heads=3"):
        TransformerBlock(num_heads=3)(features)
    with pytest.raises(ValueError, match="channels=None, num_heads=2"):
        TransformerBlock(num_heads=2).build((None, 4, 4, None))
