"""What all layers with attention heads share: their checks and their start."""

import keras


def check_num_heads(num_heads):
    """Refuses fewer than one head.

    Raises:
        ValueError: If `num_heads < 1`.
    """
    if num_heads < 1:
        raise ValueError(
            f"`num_heads` must be at least 1. Received: num_heads={num_heads}"
        )


def head_dim(channels, num_heads):
    """Returns the channels of each head.

    Raises:
        ValueError: If `channels` is unknown or not a multiple of `num_heads`.
    """
    if channels is None or channels % num_heads:
        raise ValueError(
            "The channels must be a multiple of `num_heads`. Received: "
            f"channels={channels}, num_heads={num_heads}"
        )
    return channels // num_heads


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
