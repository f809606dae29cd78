import keras
import numpy as np
import pytest

from synergynet_tf.layers import LearnedPositions
from synergynet_tf.layers.positions import sine_cosine_positions
from tests.checks import check_layer


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(2, 3, 4, 8)).astype("float32")


def test_layer(features):
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


def test_refuses():
    with pytest.raises(ValueError, match="dropout=1"):
        LearnedPositions(dropout=1)
    with pytest.raises(ValueError, match="must be known"):
        LearnedPositions().build((None, None, 4, 8))


@pytest.mark.parametrize("grid", [(1, 1), (3, 5), (14, 14), (40, 2)])
@pytest.mark.parametrize("channels", [4, 6, 16, 512])
def test_sines_and_cosines_of_any_grid(grid, channels):
    positions = sine_cosine_positions(*grid, channels)
    assert positions.shape == (grid[0] * grid[1], channels)
    assert positions.dtype == np.float32
    # A sine and its cosine: sin^2 + cos^2 = 1, times 2, of two channels.
    if channels % 4 == 0:
        np.testing.assert_allclose((positions**2).mean(axis=1), 1, rtol=1e-5)
    assert len(np.unique(positions.round(4), axis=0)) == len(positions)


def test_sines_and_cosines_by_hand():
    positions = sine_cosine_positions(2, 3, 8)
    # Row 1, column 2; frequencies 1 and 1 / 10000^(1/2).
    row = [f(x) for f in (np.sin, np.cos) for x in (1, 0.01)]
    column = [f(x) for f in (np.sin, np.cos) for x in (2, 0.02)]
    expected = np.sqrt(2) * np.array(row + column)
    np.testing.assert_allclose(positions[5], expected, rtol=1e-6)
