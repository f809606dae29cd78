"""Atrous spatial pyramid pooling (ASPP) of DeepLab."""

import keras
from keras import ops

from synergynet_tf.layers.conv import ConvBlock


@keras.saving.register_keras_serializable(package="synergynet_tf")
class AtrousPyramidPooling(keras.layers.Layer):
    """Atrous spatial pyramid pooling (ASPP): parallel dilated convolutions.

        output = dropout(project([1x1, 3x3 at each rate, image pooling]))

    Image pooling is the mean over all positions, a 1x1 convolution, and the same
    value everywhere. Each convolution has batch normalization and ReLU.

    The pooled branch normalizes one value an image and channel: in training with a
    batch of one image it is constant, and with two no more than a sign.

    Assumption: the dropout is 0.1, as in the authors' code (tensorflow/models,
    research/deeplab/model.py); neither paper names one. torchvision has 0.5.

    Args:
        filters: int. Channels of each branch and of the output, at least 1.
        rates: ints. Dilation of each 3x3 convolution, at least 1 each; the default is
            for features at stride 16.
        dropout: float in [0, 1). Share of the output dropped in training.
        **kwargs: Base layer arguments (`name`, `dtype`).

    Input shape: `(batch, height, width, channels)`.
    Output shape: `(batch, height, width, filters)`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
    >>> layer = AtrousPyramidPooling(filters=4, rates=(1, 2))
    >>> tuple(layer(keras.ops.ones((1, 7, 7, 16))).shape)
    (1, 7, 7, 4)

    Reference: Chen et al., arXiv:1706.05587v3, section 3.3.
    """

    def __init__(self, filters=256, rates=(6, 12, 18), dropout=0.1, **kwargs):
        if filters < 1:
            raise ValueError(
                f"`filters` must be at least 1. Received: filters={filters}"
            )
        if not rates or min(rates) < 1:
            raise ValueError(f"`rates` must be at least 1. Received: rates={rates}")
        if not 0 <= dropout < 1:
            raise ValueError(f"`dropout` must be in [0, 1). Received: {dropout}")
        super().__init__(**kwargs)
        self.filters = filters
        self.rates = tuple(rates)
        self.dropout = dropout
        self.branches = [
            self._block("point", 1),
            *(self._block(f"rate_{rate}", 3, rate) for rate in self.rates),
        ]
        self.pooled = self._block("pooled", 1)
        self.projection = self._block("projection", 1)
        self.drop = keras.layers.Dropout(dropout, dtype=self.dtype_policy, name="drop")

    def build(self, input_shape):
        for block in (*self.branches, self.pooled):
            block.build(input_shape)
        channels = self.filters * (len(self.branches) + 1)
        self.projection.build((*input_shape[:-1], channels))
        self.built = True

    def call(self, inputs, training=None):
        seen = [branch(inputs, training=training) for branch in self.branches]
        mean = ops.mean(inputs, axis=(1, 2), keepdims=True)
        pooled = self.pooled(mean, training=training)
        seen.append(ops.broadcast_to(pooled, ops.shape(seen[0])))
        x = self.projection(ops.concatenate(seen, axis=-1), training=training)
        return self.drop(x, training=training)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "rates": self.rates,
            "dropout": self.dropout,
        }

    def _block(self, name, kernel_size, rate=1):
        return ConvBlock(
            self.filters, kernel_size, rate, dtype=self.dtype_policy, name=name
        )
