"""Batch normalization folding: into the convolutions of an inference model."""

import collections
import itertools

import keras
from keras import ops

from synergynet_tf.layers import ConvBlock


def fold_normalizations(model):
    """Folds each batch normalization behind a convolution into the convolution.

    In inference it multiplies and shifts every channel by what training left:

        normalization(conv(x)) = s conv(x) + t
        s = gamma / sqrt(variance + epsilon),  t = beta - s mean

    The kernel takes `s`, and the bias, or else an addition, takes `t`. Outputs stay
    equal up to rounding.

    Args:
        model: Built `keras.Model`; is changed, and must not be trained or saved after.
    """
    for convolution, normalization in _pairs(model):
        scale, shift = _scale_and_shift(normalization)
        kernel = convolution.kernel
        # A depthwise kernel has its output channels on two axes.
        depthwise = isinstance(convolution, keras.layers.DepthwiseConv2D)
        channels = kernel.shape[2:] if depthwise else kernel.shape[3:]
        kernel.assign(kernel * ops.reshape(scale, channels))
        if getattr(convolution, "bias", None) is None:
            normalization.call = _shifted_by(shift)
        else:
            convolution.bias.assign(convolution.bias * scale + shift)
            normalization.call = _unchanged


def _pairs(model):
    """Yields convolutions, and the normalization that alone reads each."""
    for layer in model._flatten_layers():
        if isinstance(layer, ConvBlock):
            yield layer.convolution, layer.normalization
        elif isinstance(layer, keras.Model):
            yield from _pairs_of_graph(layer)


def _pairs_of_graph(graph):
    # Not the layers' own nodes: a layer may be in other graphs, too.
    nodes = list(itertools.chain.from_iterable(graph._nodes_by_depth.values()))
    calls = collections.Counter(node.operation for node in nodes)
    read = [tensor for node in nodes for tensor in node.input_tensors]
    readers = collections.Counter(map(id, read + list(graph.outputs)))
    for node in nodes:
        if not isinstance(node.operation, keras.layers.BatchNormalization):
            continue
        (features,) = node.input_tensors
        before = features._keras_history.operation
        once = calls[node.operation] == calls[before] == readers[id(features)] == 1
        kinds = keras.layers.Conv2D, keras.layers.DepthwiseConv2D
        if once and isinstance(before, kinds):
            if before.activation is keras.activations.linear:
                yield before, node.operation


def _scale_and_shift(layer):
    """Returns `s` and `t` of a batch normalization, float32 `(channels,)` both."""
    scale = ops.rsqrt(layer.moving_variance + layer.epsilon)
    if layer.scale:
        scale = scale * layer.gamma
    shift = -layer.moving_mean * scale
    return scale, shift + layer.beta if layer.center else shift


def _shifted_by(shift):
    shift = ops.convert_to_numpy(shift)

    def call(inputs, training=None, mask=None):
        return inputs + ops.cast(shift, inputs.dtype)

    return call


def _unchanged(inputs, training=None, mask=None):
    return inputs
