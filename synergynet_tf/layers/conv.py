"""Convolution block of bottlenecks and decoders."""

import keras

from synergynet_tf.layers.atrous import AtrousConv2D
from synergynet_tf.layers.upsampled_conv import UpsampledConv2D


@keras.saving.register_keras_serializable(package="synergynet_tf")
class ConvBlock(keras.layers.Layer):
    """Convolution block: convolution, batch normalization, ReLU.

    Assumption: this is what the paper calls a convolution block (section 3); the
    order and the kernel are those of U-Net's descendants. The normalization has the
    momentum and epsilon that are the defaults of the paper's framework, PyTorch.

    Args:
        filters: int. Output channels, at least 1.
        kernel_size: int. Height and width of the kernel; 1 where DeepLabV3+ has it.
        dilation_rate: int. Distance of the kernel's neighbors, in positions.
        upsampling: int. How many times the input is enlarged first, bilinearly; at
            least 1. More than 1 takes a 3x3 kernel that is not dilated.
        **kwargs: Base layer arguments (`name`, `dtype`).

    Call arguments:
        inputs: `(batch, height, width, channels)`.
        skip: `None`, or what joins the enlarged input,
            `(batch, upsampling * height, upsampling * width, any)`.

    Output shape: `(batch, upsampling * height, upsampling * width, filters)`.

    Raises:
        ValueError: If `filters` or `upsampling` is below 1, upsampling comes with
            another kernel, or a skip without upsampling.

    Example:
    >>> tuple(ConvBlock(filters=4)(keras.ops.ones((1, 7, 7, 16))).shape)
    (1, 7, 7, 4)
    """

    def __init__(self, filters, kernel_size=3, dilation_rate=1, upsampling=1, **kwargs):
        if filters < 1 or upsampling < 1:
            raise ValueError(
                "`filters` and `upsampling` must be at least 1. Received: "
                f"filters={filters}, upsampling={upsampling}"
            )
        if upsampling > 1 and (kernel_size, dilation_rate) != (3, 1):
            raise ValueError(
                "Upsampling takes a 3x3 kernel that is not dilated. Received: "
                f"kernel_size={kernel_size}, dilation_rate={dilation_rate}"
            )
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.dilation_rate = dilation_rate
        self.upsampling = upsampling
        self.convolution = self._make_convolution()
        self.normalization = keras.layers.BatchNormalization(
            momentum=0.9,
            epsilon=1e-5,
            dtype=self.dtype_policy,
            name="normalization",
        )
        self.activation = keras.layers.ReLU(dtype=self.dtype_policy, name="activation")

    def build(self, inputs_shape, skip_shape=None):
        shapes = self._given(inputs_shape, skip_shape)
        self.convolution.build(*shapes)
        self.normalization.build(self.convolution.compute_output_shape(*shapes))
        self.built = True

    def call(self, inputs, skip=None, training=None):
        x = self.convolution(*self._given(inputs, skip))
        return self.activation(self.normalization(x, training=training))

    def compute_output_shape(self, inputs_shape, skip_shape=None):
        return self.convolution.compute_output_shape(
            *self._given(inputs_shape, skip_shape)
        )

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "dilation_rate": self.dilation_rate,
            "upsampling": self.upsampling,
        }

    def _make_convolution(self):
        shared = {"dtype": self.dtype_policy, "name": "convolution"}
        if self.upsampling > 1:
            return UpsampledConv2D(self.filters, self.upsampling, **shared)
        layer = keras.layers.Conv2D if self.dilation_rate == 1 else AtrousConv2D
        return layer(
            self.filters,
            self.kernel_size,
            padding="same",
            dilation_rate=self.dilation_rate,
            use_bias=False,
            kernel_initializer="he_normal",
            **shared,
        )

    def _given(self, inputs, skip):
        """Returns the convolution's arguments, or their shapes."""
        if skip is None:
            return (inputs,)
        if self.upsampling == 1:
            raise ValueError("A skip joins an upsampled input. Received: upsampling=1")
        return (inputs, skip)
