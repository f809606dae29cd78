"""Atrous (dilated) convolution."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="synergynet_tf")
class AtrousConv2D(keras.layers.Conv2D):
    """Atrous (dilated) convolution, one position of the kernel at a time.

        output[p] = sum_k W[k] . input[p + rate * k],  zero beyond the map

    Keras' own is the same, but on TensorFlow it splits the map into `rate^2` padded
    ones: at rate 18 on 8x8 positions, a training step takes 200 times as long. Here a
    position of the kernel costs no more than the positions that it sees.

    Args:
        filters: int. Output channels.
        kernel_size: int or pair. Odd.
        padding: `same`.
        **kwargs: Arguments of `keras.layers.Conv2D` without strides or groups.

    Input shape: `(batch, height, width, channels)`, height and width known.
    Output shape: `(batch, height, width, filters)`.

    Raises:
        ValueError: If the kernel is even, it strides, has groups, is not padded to the
            same size, or height and width are unknown.

    Example:
    >>> layer = AtrousConv2D(filters=4, kernel_size=3, dilation_rate=6)
    >>> tuple(layer(keras.ops.ones((1, 7, 7, 16))).shape)
    (1, 7, 7, 4)
    """

    def __init__(self, filters, kernel_size, padding="same", **kwargs):
        super().__init__(filters, kernel_size, padding=padding, **kwargs)
        odd = all(size % 2 for size in self.kernel_size)
        if not odd or padding != "same" or (*self.strides, self.groups) != (1, 1, 1):
            raise ValueError(
                "The kernel must be odd, with `same` padding and without strides or "
                f"groups. Received: kernel_size={kernel_size}, padding={padding}, "
                f"strides={self.strides}, groups={self.groups}"
            )

    def build(self, input_shape):
        if None in input_shape[1:3]:
            raise ValueError(
                f"Height and width must be known. Received: input_shape={input_shape}"
            )
        super().build(input_shape)

    def seen_ranges(self, axis, size):
        """Yields the kernel's positions on an axis, and the range that each sees."""
        rate, length = self.dilation_rate[axis], self.kernel_size[axis]
        for position in range(length):
            shift = rate * (position - length // 2)
            if abs(shift) < size:
                yield position, (max(0, shift), size + min(0, shift))

    def convolution_op(self, inputs, kernel):
        height, width = inputs.shape[1:3]
        total = 0.0
        for row, (top, bottom) in self.seen_ranges(0, height):
            for column, (left, right) in self.seen_ranges(1, width):
                seen = inputs[:, top:bottom, left:right]
                # The outputs at the other end see zeros.
                margins = (0, 0), (height - bottom, top), (width - right, left), (0, 0)
                total += ops.pad(ops.matmul(seen, kernel[row, column]), margins)
        return total
