import keras
import numpy as np
import pytest

from synergynet_tf.layers import AtrousPyramidPooling
from tests.checks import check_layer


@pytest.fixture
def features():
    # Four images: two would be normalized to a mere sign in the pooled branch.
    return np.random.default_rng(0).normal(size=(4, 5, 6, 8)).astype("float32")


def randomize(block):
    """Gives a block's normalization something to do; returns all its weights."""
    draw = np.random.default_rng(len(block.name))
    for weight in block.normalization.weights:
        weight.assign(draw.uniform(0.5, 1.5, weight.shape))
    return [keras.ops.convert_to_numpy(w).astype("float64") for w in block.weights]


def convolution_block(x, weights, rate=1):
    """Convolution, normalization, ReLU, one position of the kernel at a time."""
    kernel, scale, offset, mean, variance = weights
    reach = rate * (len(kernel) // 2)
    padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    height, width = x.shape[1:3]
    total = 0.0
    for row in range(len(kernel)):
        for column in range(len(kernel)):
            top, left = row * rate, column * rate
            window = padded[:, top : top + height, left : left + width]
            total = total + window @ kernel[row, column]
    return np.maximum(0, scale * (total - mean) / np.sqrt(variance + 1e-5) + offset)


def test_layer(features):
    # Five blocks (1x1, two rates, pooled, projection) of kernel, scale and offset.
    arguments = {"filters": 3, "rates": (1, 2), "dropout": 0.25}
    check_layer(AtrousPyramidPooling, arguments, [features], weights=(15, 10))


def test_equals_the_formula(features):
    layer = AtrousPyramidPooling(filters=3, rates=(2, 7))
    layer.build(features.shape)
    *branches, pooled, projection = (
        randomize(block) for block in (*layer.branches, layer.pooled, layer.projection)
    )
    x = features.astype("float64")
    seen = [
        convolution_block(x, weights, rate)
        for weights, rate in zip(branches, (1, 2, 7), strict=True)
    ]
    mean = x.mean(axis=(1, 2), keepdims=True)
    seen.append(np.tile(convolution_block(mean, pooled), (1, 5, 6, 1)))
    expected = convolution_block(np.concatenate(seen, axis=-1), projection)
    # float32 against float64.
    np.testing.assert_allclose(layer(features), expected, atol=1e-5)


def test_drops_its_output_in_training_alone(features):
    layer = AtrousPyramidPooling(filters=64, rates=(1,), dropout=0.5)
    layer.build(features.shape)
    layer.projection.normalization.beta.assign(np.full(64, 9.0))  # No ReLU is 0.
    dropped = keras.ops.convert_to_numpy(layer(features, training=True)) == 0
    # 7,680 values: five standard deviations are 0.03.
    assert dropped.mean() == pytest.approx(0.5, abs=0.03)
    assert not (keras.ops.convert_to_numpy(layer(features)) == 0).any()


def test_refuses():
    with pytest.raises(ValueError, match="filters=0"):
        AtrousPyramidPooling(filters=0)
    with pytest.raises(ValueError, match=r"rates=\(6, 0\)"):
        AtrousPyramidPooling(rates=(6, 0))
    with pytest.raises(ValueError, match=r"rates=\(\)"):
        AtrousPyramidPooling(rates=())
    with pytest.raises(ValueError, match=r"in \[0, 1\)"):
        AtrousPyramidPooling(dropout=1.0)
