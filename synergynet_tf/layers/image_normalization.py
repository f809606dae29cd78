"""Image normalization of the ResNets in `keras.applications`."""

import keras
from keras import ops

# Mean of ImageNet's blue, green and red in [0, 255]; `keras.applications`,
# imagenet_utils, mode "caffe".
_MEAN_BGR = (103.939, 116.779, 123.68)


@keras.saving.register_keras_serializable(package="synergynet_tf")
class CaffeNormalization(keras.layers.Layer):
    """ImageNet normalization, `caffe` mode: RGB in [0, 1] to mean-free BGR.

        output = 255 * BGR - (103.939, 116.779, 123.68)

    Input shape: `(batch, height, width, 3)`, RGB in [0, 1].
    Output shape: the input's; BGR, mean-free, in about [-124, 152].

    Raises:
        ValueError: If the input has not 3 channels.

    Example:
    >>> CaffeNormalization()(keras.ops.zeros((1, 1, 1, 3))).shape[-1]
    3
    """

    def build(self, input_shape):
        if input_shape[-1] != 3:
            raise ValueError(
                f"The input must have 3 channels. Received: input_shape={input_shape}"
            )
        self.built = True

    def call(self, inputs):
        mean = ops.convert_to_tensor(_MEAN_BGR, dtype=self.compute_dtype)
        return 255.0 * ops.flip(inputs, axis=-1) - mean

    def compute_output_shape(self, input_shape):
        return input_shape
