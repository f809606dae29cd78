import keras
import numpy as np
import pytest
import scipy.special

from synergynet_tf.layers import LearnedPositions, TransformerBlock
from synergynet_tf.layers.transformer import gelu
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


def test_learned_positions(features):
    check_layer(LearnedPositions, {"dropout": 0.5}, [features], weights=(1, 0))


def test_each_position_has_its_own_vector(features):
    layer = LearnedPositions()
    layer.build(features.shape)
    embedding = np.arange(96, dtype="float32").reshape(3, 4, 8)
    layer.embedding.assign(embedding)
    result = keras.ops.convert_to_numpy(layer(features, training=False))
    np.testing.assert_array_equal(result, features + embedding)


def test_training_drops_out_the_sum(features):
    layer = LearnedPositions(dropout=0.25)
    kept = keras.ops.convert_to_numpy(layer(features, training=False))
    first, second = (
        keras.ops.convert_to_numpy(layer(features, training=True)) for _ in range(2)
    )
    # What is left is scaled by 1 / (1 - 0.25).
    left = first != 0
    np.testing.assert_allclose(first[left], kept[left] / 0.75, rtol=1e-5)
    # 192 values: 0.25 with a deviation of 0.03.
    assert (~left).mean() == pytest.approx(0.25, abs=0.12)
    assert np.any(first != second)


def test_learned_positions_refuse():
    with pytest.raises(ValueError, match="dropout=1"):
        LearnedPositions(dropout=1)
    with pytest.raises(ValueError, match="must be known"):
        LearnedPositions().build((None, None, 4, 8))


@keras.saving.register_keras_serializable(package="tests")
class Gelu(keras.layers.Layer):
    """Hands its input over in 16 bits, and adds a weight that shows the gradient."""

    def build(self, input_shape):
        self.offset = self.add_weight(shape=input_shape[1:], initializer="zeros")

    def call(self, inputs):
        return gelu(inputs + keras.ops.cast(self.offset, inputs.dtype))


@pytest.mark.parametrize(
    ("policy", "tolerance"),
    # Results, and a gradient's, are rounded once: to 24, 8 and 11 binary digits. The
    # input is exact in each.
    [("float32", 1e-6), ("mixed_bfloat16", 2**-8), ("mixed_float16", 2**-11)],
)
def test_gelu_value_and_gradient(policy, tolerance):
    x = np.linspace(-4, 4, 65, dtype="float32")[None]
    layer = Gelu(dtype=policy)
    image = keras.Input(x.shape[1:])
    model = keras.Model(
        image, keras.layers.Activation("linear", dtype="float32")(layer(image))
    )
    found = keras.ops.convert_to_numpy(model(x))
    z = x.astype("float64")
    np.testing.assert_allclose(
        found, z * scipy.special.ndtr(z), rtol=2 * tolerance, atol=tolerance / 8
    )

    # One step of rate 1 against the mean over 65 outputs, times 65, is the gradient.
    model.compile(keras.optimizers.SGD(65.0), loss=lambda y, pred: keras.ops.mean(pred))
    model.train_on_batch(x, np.zeros_like(x))
    gradient = -keras.ops.convert_to_numpy(layer.offset)
    density = np.exp(-0.5 * z[0] ** 2) / np.sqrt(2 * np.pi)
    expected = scipy.special.ndtr(z[0]) + z[0] * density
    np.testing.assert_allclose(gradient, expected, rtol=4 * tolerance, atol=tolerance)
