import keras
import numpy as np
import pytest

from synergynet_tf.training.depthwise_convolution import widen_depthwise_gradients
from synergynet_tf.training.fit import compiled_model

if keras.backend.backend() != "tensorflow":
    pytest.skip("the kernels are TensorFlow's", allow_module_level=True)

import tensorflow as tf


def gradients(dtype, widened, images, upstream, **arguments):
    """Output, and the gradients of the images and the kernel, as float32."""
    layer = keras.layers.DepthwiseConv2D(
        3,
        use_bias=False,
        dtype=f"mixed_{dtype}" if dtype != "float32" else dtype,
        **arguments,
    )
    image = keras.Input(images.shape[1:])
    model = keras.Model(image, layer(image))
    kernel = np.random.default_rng(2).integers(-8, 9, layer.kernel.shape) / 8
    layer.set_weights([kernel])
    if widened:
        widen_depthwise_gradients(model)

    @tf.function
    def compute(images, upstream):
        with tf.GradientTape() as tape:
            tape.watch(images)
            output = model(images)
        kernel = layer.kernel.value
        return output, *tape.gradient(output, [images, kernel], upstream)

    images = tf.cast(images, dtype)
    found = compute(images, tf.cast(upstream, dtype))
    return [tf.cast(value, "float32").numpy() for value in found]


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_gradients_are_those_of_float32(strides, padding):
    random = np.random.default_rng(1)
    # Eighths up to 4 are exact in bfloat16, and so are sums of a few of their products
    # in float32: what differs is the last rounding to bfloat16.
    images = random.integers(-32, 33, (2, 9, 8, 4)) / 8
    arguments = {"strides": strides, "padding": padding}
    shape = keras.layers.DepthwiseConv2D(3, **arguments).compute_output_shape(
        images.shape
    )
    upstream = random.integers(-8, 9, shape) / 8
    exact = gradients("float32", False, images, upstream, **arguments)
    found = gradients("bfloat16", True, images, upstream, **arguments)
    for one, other in zip(exact, found, strict=True):
        rounded = tf.cast(tf.cast(one, "bfloat16"), "float32").numpy()
        np.testing.assert_array_equal(rounded, other)


def test_the_output_is_that_of_keras():
    random = np.random.default_rng(3)
    images = random.normal(size=(2, 8, 8, 4))
    upstream = random.normal(size=(2, 8, 8, 4))
    plain = gradients("bfloat16", False, images, upstream, padding="same")
    found = gradients("bfloat16", True, images, upstream, padding="same")
    np.testing.assert_array_equal(plain[0], found[0])


@pytest.mark.parametrize(
    "arguments",
    [{"use_bias": True}, {"activation": "relu"}, {"dilation_rate": 2}],
)
def test_what_the_kernel_does_not_compute_is_left_to_keras(arguments):
    arguments = {"use_bias": False, "dtype": "mixed_bfloat16", **arguments}
    layer = keras.layers.DepthwiseConv2D(3, **arguments)
    image = keras.Input((8, 8, 4))
    model = keras.Model(image, layer(image))
    widen_depthwise_gradients(model)
    assert "call" not in vars(layer)


@pytest.mark.parametrize(("precision", "widened"), [("bfloat16", 11), ("float32", 0)])
def test_training_on_a_cpu_uses_them_in_bfloat16(tiny, precision, widened):
    config = tiny.replace(backbone="efficientnetlite0", precision=precision)
    layers = compiled_model(config, steps=1)._flatten_layers()
    depthwise = [x for x in layers if isinstance(x, keras.layers.DepthwiseConv2D)]
    assert len(depthwise) == 11
    if keras.distribution.list_devices("gpu"):
        widened = 0
    assert sum("call" in vars(layer) for layer in depthwise) == widened
