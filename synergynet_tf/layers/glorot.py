"""Glorot's range for projections that are split into heads."""

import keras


def glorot_uniform(channels):
    """Returns an initializer with Glorot's limit for a `channels` x `channels` matrix.

    Keras 3.12, the last for Python 3.10, takes the heads' split of such a matrix for
    a convolution's kernel, and would start it 6 times smaller at 12 heads.

    Args:
        channels: int. Of the input and, over all heads, of the output.

    Returns:
        `keras.initializers.RandomUniform`, whose values are its own.
    """
    limit = (3 / channels) ** 0.5
    return keras.initializers.RandomUniform(-limit, limit)
