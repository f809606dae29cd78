"""Stochastic depth: drops residual branches in training."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="synergynet_tf")
class StochasticDepth(keras.layers.Layer):
    """Stochastic depth: drops the residual of random images in training.

        output = input * b / (1 - rate),  b = 0 with probability rate, else 1

    for each image; in inference the input.

    Args:
        rate: float in [0, 1). Share of the images.
        **kwargs: Base layer arguments (`name`, `dtype`).

    Input shape: `(batch, height, width, channels)`.
    Output shape: the input's.

    Raises:
        ValueError: If `rate` is not in [0, 1).

    Example:
    >>> tuple(StochasticDepth(rate=0.2)(keras.ops.ones((1, 7, 7, 16))).shape)
    (1, 7, 7, 16)

    Reference:
        Huang et al., 2016, Deep Networks with Stochastic Depth, section 3,
        https://arxiv.org/abs/1603.09382v3. EfficientNet scales what is kept, in
        training; there it is scaled in inference.
    """

    def __init__(self, rate, **kwargs):
        if not 0 <= rate < 1:
            raise ValueError(f"`rate` must be in [0, 1). Received: rate={rate}")
        super().__init__(**kwargs)
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, inputs, training=None):
        if not training or not self.rate:
            return inputs
        return keras.random.dropout(
            inputs,
            self.rate,
            noise_shape=(ops.shape(inputs)[0], 1, 1, 1),
            seed=self.seed_generator,
        )

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}
