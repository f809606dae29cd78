"""Gradients of depthwise convolutions in float32, where a CPU is slow in bfloat16.

TensorFlow's CPU kernels of these two gradients take 3 to 10 times as long in bfloat16
as in float32. What they add up is rounded less, too.
"""

import keras

from synergynet_tf.training import kernels


def widen_depthwise_gradients(model):
    """Lets depthwise convolutions in bfloat16 compute their gradients in float32.

    The output is the same. Layers with a bias, an activation or a dilation, for which
    the kernels are not made, are left as they are.

    Args:
        model: Built `keras.Model`, on the TensorFlow backend.
    """
    for layer in model._flatten_layers():
        if not isinstance(layer, keras.layers.DepthwiseConv2D):
            continue
        plain = not layer.use_bias and layer.activation is keras.activations.linear
        undilated = max(layer.dilation_rate) == 1
        if plain and undilated and layer.compute_dtype == "bfloat16":
            layer.call = _widened_call(layer)


def _widened_call(layer):
    """Returns the function that replaces the layer's `call`."""

    def call(inputs):
        return kernels.depthwise_convolution(
            inputs, layer.kernel, layer.strides, layer.padding
        )

    return call
