import keras
import numpy as np
import pytest

from synergynet_tf.layers import StochasticDepth
from tests.checks import check_layer


@pytest.fixture
def features():
    return np.ones((400, 2, 3, 4), "float32")


def test_layer(features):
    check_layer(StochasticDepth, {"rate": 0.25}, [features], weights=(0, 0))


def test_whole_images_are_dropped(features):
    keras.utils.set_random_seed(0)
    layer = StochasticDepth(0.25)
    output = keras.ops.convert_to_numpy(layer(features, training=True))
    # What is kept is 1 / (1 - 0.25) times itself.
    assert set(np.unique(output.round(4))) == {0, np.float32(1.3333)}
    kept = output.reshape(400, -1) > 0
    assert (kept.all(axis=1) | ~kept.any(axis=1)).all()
    # 4 standard deviations of 400 draws.
    assert np.mean(kept) == pytest.approx(0.75, abs=0.09)
    again = keras.ops.convert_to_numpy(layer(features, training=True))
    assert (output != again).any()


def test_inference_and_rate_zero_change_nothing(features):
    layers = ((StochasticDepth(0.25), False), (StochasticDepth(0.0), True))
    for layer, training in layers:
        output = layer(features, training=training)
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(output), features)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_refuses(rate):
    with pytest.raises(ValueError, match=f"rate={rate}"):
        StochasticDepth(rate)
