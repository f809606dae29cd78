import keras
import numpy as np
import pytest

from synergynet_tf.layers import UpsampledConv2D
from synergynet_tf.layers.upsampled_conv import moved_upsampling
from tests.checks import check_layer


@pytest.fixture
def maps():
    """A coarse map, and the skip of twice its size."""
    rng = np.random.default_rng(0)
    shapes = (2, 3, 5, 6), (2, 6, 10, 4)
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def in_the_usual_order(kernel, coarse, skip=None, factor=2):
    """Upsamples, joins, convolves: by Keras' own."""
    x = keras.layers.UpSampling2D(factor, interpolation="bilinear")(coarse)
    if skip is not None:
        x = keras.ops.concatenate([x, skip], axis=-1)
    return keras.ops.conv(x, kernel, padding="same")


def test_layer(maps):
    check_layer(UpsampledConv2D, {"filters": 7, "factor": 2}, maps, weights=(1, 0))


def test_layer_without_a_skip(maps):
    check_layer(UpsampledConv2D, {"filters": 7, "factor": 3}, maps[:1], weights=(1, 0))


@pytest.mark.parametrize("naive_order", [False, True])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_equals_the_usual_order(maps, factor, naive_order):
    layer = UpsampledConv2D(7, factor)
    layer.naive_order = naive_order
    result = layer(maps[0])
    expected = in_the_usual_order(layer.kernel, maps[0], factor=factor)
    np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("naive_order", [False, True])
def test_equals_the_usual_order_beside_a_skip(maps, naive_order):
    layer = UpsampledConv2D(7)
    layer.naive_order = naive_order
    result = layer(*maps)
    expected = in_the_usual_order(layer.kernel, *maps)
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_upsampling_by_hand():
    middle = moved_upsampling(size=2, factor=2)[:, 1::3]
    np.testing.assert_array_equal(middle, [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])


def test_moves_by_hand():
    # One coarse position: the upsampled ones are equal, and zero lies beside them.
    moved = moved_upsampling(size=1, factor=2)
    np.testing.assert_array_equal(moved, [[0, 1, 1], [1, 1, 0]])


def test_starts_like_a_convolution(maps):
    layer = UpsampledConv2D(filters=500)
    layer.build(maps[0].shape, maps[1].shape)
    assert layer.kernel.shape == (3, 3, 10, 500)
    deviation = np.std(np.asarray(layer.kernel))
    assert deviation == pytest.approx((2 / (9 * 10)) ** 0.5, rel=0.02)


def test_refuses(maps):
    with pytest.raises(ValueError, match="filters=0, factor=2"):
        UpsampledConv2D(0)
    with pytest.raises(ValueError, match="filters=1, factor=1"):
        UpsampledConv2D(1, factor=1)
    with pytest.raises(ValueError, match=r"must be known.*\(None, None, 5, 6\)"):
        UpsampledConv2D(1).build((None, None, 5, 6))
    with pytest.raises(ValueError, match=r"4 times .* skip \(2, 6, 10, 4\)"):
        UpsampledConv2D(1, factor=4)(*maps)
