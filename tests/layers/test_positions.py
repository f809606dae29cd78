import keras
import numpy as np
import pytest

from synergynet_tf.layers import LearnedPositions
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
