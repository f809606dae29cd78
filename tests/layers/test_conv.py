import numpy as np
import pytest

from synergynet_tf.layers import ConvBlock
from tests.checks import check_layer


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(2, 3, 4, 8)).astype("float32")


def test_layer(features):
    # Kernel, scale and offset; moving mean and variance.
    arguments = {"filters": 5, "kernel_size": 1, "dilation_rate": 2}
    check_layer(ConvBlock, arguments, [features], weights=(3, 2))


def test_is_a_rectified_3x3_convolution(features):
    block = ConvBlock(filters=1)
    block.build(features.shape)
    kernel = np.zeros((3, 3, 8, 1), "float32")
    kernel[0, 1, 2] = 1.0  # The neighbor above, channel 2.
    block.convolution.kernel.assign(kernel)
    result = np.asarray(block(features, training=False))[..., 0]
    above = np.pad(features[:, :-1, :, 2], ((0, 0), (1, 0), (0, 0)))
    # Moving mean 0 and variance 1, epsilon 1e-5.
    np.testing.assert_allclose(result, np.maximum(above, 0), atol=1e-4)


def test_refuses():
    with pytest.raises(ValueError, match="filters=0"):
        ConvBlock(filters=0)
