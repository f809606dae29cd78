"""Multi-head attention: tokens, position embedding, projections and scores."""

import math

import keras
import numpy as np
from keras import ops

# Largest learned temperature of cosine scores (Swin V2, CLIP).
MAX_TEMPERATURE = 100.0
# Keeps features that hardly vary, such as codes before the first step, and their
# gradient from being stretched by more than 32.
_EPSILON = 1e-3
_SHORTEST_SQUARE = 1e-12


class AttentionHeads(keras.layers.Layer):
    """Multi-head attention between feature maps, base of DisConX and Refinement.

    How scores become weights is left to the subclass. Not normalized, scores are
    those of the paper's eq. 2:

        q, k, v = W_q x, W_k y, W_v y            # a head each
        scores  = q . k / sqrt(channels / num_heads)
        output  = W_o (weights v)

    Normalized, every input and output stands on one scale, with `P` fixed positions:

        x, y    = center(x), center(y)
        q, k, v = W_q (x + P), W_k (y + P), W_v y
        scores  = temperature * q . k / (||q|| ||k||)
        output  = LN(W_o (weights v))

    `center` subtracts the mean token of the image and divides by the root of the mean
    square, over tokens and channels. The temperature is learned, one a head; it starts
    at `2.5 sqrt(channels / num_heads)`, so that scores of unrelated vectors have a
    standard deviation of 2.5, and is at most 100.

    Args:
        num_heads: int, at least 1.
        normalized: bool.
        **kwargs: Base layer arguments (`name`, `dtype`).

    Raises:
        ValueError: If `num_heads < 1`.

    Reference:
        Henry et al., 2020, Query-Key Normalization for Transformers, section 3,
        https://arxiv.org/abs/2010.04245.
        Liu et al., 2022, Swin Transformer V2, section 3.3,
        https://arxiv.org/abs/2111.09883: the temperature and its limit.
    """

    def __init__(self, num_heads, normalized=True, **kwargs):
        check_num_heads(num_heads)
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.normalized = normalized

    def build_heads(self, shape, equal_keys=False):
        """Creates the projections and the normalization.

        Args:
            shape: Shape of the input, `(batch, height, width, channels)`.
            equal_keys: bool. Whether the keys' projection starts as the queries'.

        Raises:
            ValueError: If `channels` is not known or not a multiple of `num_heads`,
                or, normalized, `height` or `width` is not known.
        """
        _, height, width, channels = shape
        per_head = head_dim(channels, self.num_heads)
        self.scale = per_head**-0.5
        # An initializer object draws the same whenever it is called.
        queries = glorot_uniform(channels)
        keys = queries if equal_keys else glorot_uniform(channels)
        self.query, self.key, self.value = (
            keras.layers.EinsumDense(
                "bnc,chd->bhnd",
                output_shape=(self.num_heads, None, per_head),
                bias_axes="hd",
                kernel_initializer=initializer,
                dtype=self.dtype_policy,
                name=name,
            )
            for name, initializer in (
                ("query", queries),
                ("key", keys),
                ("value", glorot_uniform(channels)),
            )
        )
        self.output_projection = keras.layers.EinsumDense(
            "bhnd,hdc->bnc",
            output_shape=(None, channels),
            bias_axes="c",
            kernel_initializer=glorot_uniform(channels),
            dtype=self.dtype_policy,
            name="output",
        )
        for projection in (self.query, self.key, self.value):
            projection.build((None, None, channels))
        self.output_projection.build((None, self.num_heads, None, per_head))
        if not self.normalized:
            return
        if height is None or width is None:
            raise ValueError(
                "Height and width of the input must be known, for its positions. "
                f"Received: input_shape={shape}"
            )
        # Positions are those of one grid.
        self.input_spec = keras.layers.InputSpec(shape=(None, height, width, channels))
        self.positions = sine_cosine_positions(height, width, channels)
        self.log_temperature = self.add_weight(
            name="log_temperature",
            shape=(self.num_heads,),
            initializer=keras.initializers.Constant(math.log(2.5 * per_head**0.5)),
            dtype="float32",
            autocast=False,
        )
        self.output_normalization = keras.layers.LayerNormalization(
            epsilon=_EPSILON, dtype=self.dtype_policy, name="output_normalization"
        )
        self.output_normalization.build((None, None, channels))

    def tokens(self, features):
        """Flattens features `(batch, height, width, channels)`, and normalizes."""
        tokens = to_tokens(features)
        return _center(tokens, self.compute_dtype) if self.normalized else tokens

    def compare(self, asking, asked):
        """Returns the scores of queries and keys: float32 `(batch, heads, n, n)`.

        In 16 bits many would be equal. Rows are of `asking`, columns of `asked`, both
        what `tokens` returns.
        """
        if self.normalized:
            places = ops.cast(self.positions, asking.dtype)
            asking, asked = asking + places, asked + places
        queries = ops.cast(self.query(asking), "float32")
        keys = ops.cast(self.key(asked), "float32")
        if self.normalized:
            limit = math.log(MAX_TEMPERATURE)
            temperature = ops.exp(ops.minimum(self.log_temperature, limit))
            queries = _unit(queries) * ops.reshape(temperature, (1, -1, 1, 1))
            keys = _unit(keys)
        else:
            queries = queries * self.scale
        return ops.matmul(queries, ops.transpose(keys, (0, 1, 3, 2)))

    def put_out(self, picked, shape):
        """Turns `(batch, heads, n, channels a head)` into features of `shape`."""
        output = self.output_projection(picked)
        if self.normalized:
            output = self.output_normalization(output)
        return ops.reshape(output, shape)

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "normalized": self.normalized,
        }


def _center(tokens, dtype):
    """Subtracts an image's mean token, and divides by the root of the mean square."""
    tokens = ops.cast(tokens, "float32")
    tokens = tokens - ops.mean(tokens, axis=1, keepdims=True)
    squares = ops.mean(ops.square(tokens), axis=(1, 2), keepdims=True)
    return ops.cast(tokens * ops.rsqrt(squares + _EPSILON), dtype)


def _unit(x):
    squares = ops.sum(ops.square(x), axis=-1, keepdims=True)
    return x * ops.rsqrt(ops.maximum(squares, _SHORTEST_SQUARE))


def to_tokens(features):
    """Flattens `(batch, height, width, channels)` to `(batch, tokens, channels)`."""
    batch, height, width, channels = ops.shape(features)
    return ops.reshape(features, (batch, height * width, channels))


def sine_cosine_positions(height, width, channels):
    """Returns the fixed 2-D sine-cosine position embedding of a grid.

    The first half of the channels tells the row, the second the column, each by sines
    and cosines of `place / 10000^(i / n)`, `i` from 0 to `n - 1`, where `n` is a
    quarter of the channels (rounded up; what is too many is cut off). Values are
    scaled by `sqrt(2)`, so that their mean square is 1.

    Args:
        height: int. Rows of the grid.
        width: int. Columns of the grid.
        channels: int.

    Returns:
        float32 array `(height * width, channels)`, row by row.

    Reference:
        Vaswani et al., 2017, Attention Is All You Need, section 3.5,
        https://arxiv.org/abs/1706.03762: of one axis.
        Dosovitskiy et al., 2021, https://arxiv.org/abs/2010.11929v2, appendix D.4:
        half of the channels for each of two.
    """
    count = -(-channels // 4)
    frequencies = 10000.0 ** -(np.arange(count) / count)
    places = np.indices((height, width)).reshape(2, -1, 1)
    angles = places * frequencies
    parts = [f(axis) for axis in angles for f in (np.sin, np.cos)]
    embedding = np.sqrt(2.0) * np.concatenate(parts, axis=-1)
    return embedding[:, :channels].astype("float32")


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
