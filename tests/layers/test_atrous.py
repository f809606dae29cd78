import keras
import numpy as np
import pytest

from synergynet_tf.layers import AtrousConv2D
from tests.checks import check_layer


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(2, 5, 8, 6)).astype("float32")


def test_layer(features):
    arguments = {"filters": 3, "kernel_size": (3, 5), "dilation_rate": (2, 3)}
    check_layer(AtrousConv2D, arguments, [features], weights=(2, 0))


# The rates of 5 and 8 leave one row, then one column of the kernel.
@pytest.mark.parametrize("rate", [1, 2, 4, 5, 8, (3, 7)])
def test_equals_keras(features, rate):
    arguments = {"filters": 3, "kernel_size": 3, "dilation_rate": rate}
    layer = AtrousConv2D(**arguments)
    expected = keras.layers.Conv2D(**arguments, padding="same")
    expected.build(features.shape)
    layer.build(features.shape)
    layer.set_weights([w + 0.5 for w in expected.get_weights()])
    expected.set_weights(layer.get_weights())
    # The same sums in another order.
    np.testing.assert_allclose(layer(features), expected(features), atol=1e-5)


def test_refuses(features):
    with pytest.raises(ValueError, match="kernel_size=2"):
        AtrousConv2D(3, 2)
    with pytest.raises(ValueError, match="padding=valid"):
        AtrousConv2D(3, 3, padding="valid")
    with pytest.raises(ValueError, match=r"strides=\(2, 2\)"):
        AtrousConv2D(3, 3, strides=2)
    with pytest.raises(ValueError, match="groups=2"):
        AtrousConv2D(4, 3, groups=2)
    with pytest.raises(ValueError, match=r"must be known.*\(None, None, 8, 6\)"):
        AtrousConv2D(3, 3).build((None, None, 8, 6))
