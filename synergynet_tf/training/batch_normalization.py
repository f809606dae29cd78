"""Batch normalization by TensorFlow's fused kernel: same numbers, faster.

Keras computes mean, variance and output in a dozen passes over float32 copies of the
features. The kernel makes a few over the features as they are, also in 16 bits, and
adds up in float32 all the same. Where devices share a batch, its statistics are those
of the whole batch.
"""

import keras

from synergynet_tf.training import distribution, kernels
from synergynet_tf.training.replicas import replica_sum


def fuse_normalizations(model):
    """Lets the batch normalizations of a model compute by the fused kernel.

    Weights, moving statistics and results stay Keras' own, but for rounding; so do
    the files that the model is saved in.

    Args:
        model: Built `keras.Model`, on the TensorFlow backend.
    """
    # Not `model.layers`: most are inside of a layer.
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.call = _fused_call(layer)


def _fused_call(layer):
    """Returns the function that replaces the layer's `call`."""

    def call(inputs, training=None, mask=None):
        statistics = layer.moving_mean, layer.moving_variance
        weights = layer.gamma, layer.beta
        if not (training and layer.trainable):
            return kernels.fused_normalization(
                inputs, *weights, statistics, layer.epsilon
            )[0]
        if distribution.num_devices() > 1:
            outputs, *batch = kernels.shared_normalization(
                inputs, *weights, layer.epsilon, replica_sum
            )
        else:
            outputs, *batch = kernels.fused_normalization(
                inputs, *weights, None, layer.epsilon
            )
        for moving, new in zip(statistics, batch, strict=True):
            moving.assign(layer.momentum * moving + (1.0 - layer.momentum) * new)
        return outputs

    return call
