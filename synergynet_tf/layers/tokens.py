"""How attention reads a grid: row by row, as a sequence of tokens."""

from keras import ops


def to_tokens(features):
    """Flattens `(batch, height, width, channels)` to `(batch, tokens, channels)`."""
    batch, height, width, channels = ops.shape(features)
    return ops.reshape(features, (batch, height * width, channels))
