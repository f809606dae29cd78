"""The convolution block that every bottleneck and decoder is made of."""

import keras

from synergynet_tf.layers.atrous import AtrousConv2D


@keras.saving.register_keras_serializable(package="synergynet_tf")
class ConvBlock(keras.layers.Layer):
    """Convolution, batch normalization, ReLU.

    Assumption: this is what the paper calls a convolution block (section 3); the
    order and the kernel are those of U-Net's descendants. The normalization has the
    momentum and epsilon that are the defaults of the paper's framework, PyTorch.

    Args:
        filters: int. Output channels, at least 1.
        kernel_size: int. Height and width of the kernel; 1 where DeepLabV3+ has it.
        dilation_rate: int. Distance of the kernel's neighbors, in positions.
        **kwargs: Base layer arguments (`name`, `dtype`).

    Input shape: `(batch, height, width, channels)`.
    Output shape: `(batch, height, width, filters)`.

    Raises:
        ValueError: If `filters < 1`.

    Example:
    >>> tuple(ConvBlock(filters=4)(keras.ops.ones((1, 7, 7, 16))).shape)
    (1, 7, 7, 4)
    """

    def __init__(self, filters, kernel_size=3, dilation_rate=1, **kwargs):
        if filters < 1:
            raise ValueError(
                f"`filters` must be at least 1. Received: filters={filters}"
            )
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.dilation_rate = dilation_rate
        convolution = keras.layers.Conv2D if dilation_rate == 1 else AtrousConv2D
        self.convolution = convolution(
            filters,
            kernel_size,
            padding="same",
            dilation_rate=dilation_rate,
            use_bias=False,
            kernel_initializer="he_normal",
            dtype=self.dtype_policy,
            name="convolution",
        )
        self.normalization = keras.layers.BatchNormalization(
            momentum=0.9,
            epsilon=1e-5,
            dtype=self.dtype_policy,
            name="normalization",
        )
        self.activation = keras.layers.ReLU(dtype=self.dtype_policy, name="activation")

    def build(self, input_shape):
        self.convolution.build(input_shape)
        self.normalization.build(self.convolution.compute_output_shape(input_shape))
        self.built = True

    def call(self, inputs, training=None):
        x = self.normalization(self.convolution(inputs), training=training)
        return self.activation(x)

    def compute_output_shape(self, input_shape):
        return self.convolution.compute_output_shape(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "dilation_rate": self.dilation_rate,
        }
