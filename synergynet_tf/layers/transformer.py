"""Vision transformer (ViT): learned position embedding and transformer block."""

import math

import keras
from keras import backend, ops

from synergynet_tf.layers.heads import (
    check_num_heads,
    glorot_uniform,
    head_dim,
    to_tokens,
)


@keras.saving.register_keras_serializable(package="synergynet_tf")
class LearnedPositions(keras.layers.Layer):
    """Learned position embedding, added to a grid of features; then dropout.

    Args:
        dropout: float in [0, 1). Share of the sums set to 0 in training; 0.1 is
            TransUNet's.
        **kwargs: Base layer arguments (`name`, `dtype`).

    Input shape: `(batch, height, width, channels)`, of which only `batch` may be
        unknown.
    Output shape: the input's.

    Raises:
        ValueError: If `dropout` is not in [0, 1), or the input's height, width or
            channels are not known when the layer is built.

    Example:
    >>> tuple(LearnedPositions()(keras.ops.ones((1, 7, 7, 16))).shape)
    (1, 7, 7, 16)

    Reference:
        Dosovitskiy et al., 2021, An Image is Worth 16x16 Words, section 3.1, eq. 1,
        https://arxiv.org/abs/2010.11929v2.
    """

    def __init__(self, dropout=0.1, **kwargs):
        if not 0 <= dropout < 1:
            raise ValueError(
                f"`dropout` must be in [0, 1). Received: dropout={dropout}"
            )
        super().__init__(**kwargs)
        self.dropout = dropout

    def build(self, input_shape):
        if None in input_shape[1:]:
            raise ValueError(
                "Height, width and channels of the input must be known. "
                f"Received: input_shape={input_shape}"
            )
        self.input_spec = keras.layers.InputSpec(shape=(None, *input_shape[1:]))
        self.embedding = self.add_weight(
            name="embedding",
            shape=input_shape[1:],
            initializer=keras.initializers.RandomNormal(stddev=0.02),
        )
        self.seed_generator = keras.random.SeedGenerator()
        self.built = True

    def call(self, inputs, training=None):
        x = inputs + ops.convert_to_tensor(self.embedding)
        if training and self.dropout:
            x = keras.random.dropout(x, self.dropout, seed=self.seed_generator)
        return x

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "dropout": self.dropout}


@keras.saving.register_keras_serializable(package="synergynet_tf")
class TransformerBlock(keras.layers.Layer):
    """Transformer block: self-attention over a grid, then an MLP at each position.

    With `LN` a layer normalization (epsilon 1e-6) and `MSA` multi-head softmax
    attention:

        x      = input + MSA(LN(input))
        output = x + W_2 GELU(W_1 LN(x) + b_1) + b_2        # 4 * channels between

    In training the perceptron's hidden and last values are dropped out, the
    attention's weights never, as in TransUNet. `GELU` is the exact one.

    Args:
        num_heads: int, at least 1.
        dropout: float in [0, 1). Share of values dropped out; 0.1 is TransUNet's.
        **kwargs: Base layer arguments (`name`, `dtype`).

    Input shape: `(batch, height, width, channels)`; `channels` must be a multiple of
        `num_heads`.
    Output shape: the input's.

    Raises:
        ValueError: If `num_heads < 1`, `dropout` is not in [0, 1), or `channels` is
            not a multiple of `num_heads`.

    Example:
    >>> tuple(TransformerBlock(num_heads=2)(keras.ops.ones((1, 7, 7, 16))).shape)
    (1, 7, 7, 16)

    Reference:
        Dosovitskiy et al., 2021, An Image is Worth 16x16 Words, section 3.1, eq. 2
        and 3, https://arxiv.org/abs/2010.11929v2.
    """

    def __init__(self, num_heads, dropout=0.1, **kwargs):
        check_num_heads(num_heads)
        if not 0 <= dropout < 1:
            raise ValueError(
                f"`dropout` must be in [0, 1). Received: dropout={dropout}"
            )
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.dropout = dropout

    def build(self, input_shape):
        channels = input_shape[-1]
        key_dim = head_dim(channels, self.num_heads)
        policy = self.dtype_policy
        self.attention_normalization = keras.layers.LayerNormalization(
            epsilon=1e-6, dtype=policy, name="attention_normalization"
        )
        self.attention = keras.layers.MultiHeadAttention(
            num_heads=self.num_heads,
            key_dim=key_dim,
            kernel_initializer=glorot_uniform(channels),
            dtype=policy,
            name="attention",
        )
        self.perceptron_normalization = keras.layers.LayerNormalization(
            epsilon=1e-6, dtype=policy, name="perceptron_normalization"
        )
        self.hidden = keras.layers.Dense(4 * channels, dtype=policy, name="hidden")
        self.output_projection = keras.layers.Dense(
            channels, dtype=policy, name="output"
        )
        self.seed_generator = keras.random.SeedGenerator()

        shape = (None, None, channels)
        self.attention_normalization.build(shape)
        self.attention.build(shape, shape, shape)
        self.perceptron_normalization.build(shape)
        self.hidden.build(shape)
        self.output_projection.build((None, None, 4 * channels))
        self.built = True

    def call(self, inputs, training=None):
        x = to_tokens(inputs)
        normalized = self.attention_normalization(x)
        x = x + self.attention(query=normalized, value=normalized)
        hidden = self.hidden(self.perceptron_normalization(x))
        hidden = self._drop(gelu(hidden), training)
        x = x + self._drop(self.output_projection(hidden), training)
        return ops.reshape(x, ops.shape(inputs))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "dropout": self.dropout,
        }

    def _drop(self, x, training):
        if training and self.dropout:
            return keras.random.dropout(x, self.dropout, seed=self.seed_generator)
        return x


def gelu(x):
    """GELU: `x Phi(x)`, where `Phi` is the normal distribution.

    In 16 bits it is computed in float32. The derivative is then not left to the
    framework, whose steps in 16 bits took half of a transformer block's training step
    on a CPU: with the density `phi`, and from `x` alone,

        gelu'(x) = Phi(x) + x phi(x)

    Args:
        x: Tensor of any shape, float32 or 16 bits.

    Reference:
        Hendrycks and Gimpel, 2016, Gaussian Error Linear Units, section 2,
        https://arxiv.org/abs/1606.08415v5.
    """
    if backend.standardize_dtype(x.dtype) == "float32":
        return ops.gelu(x, approximate=False)
    return _gelu_of_16_bits(x)


@ops.custom_gradient
def _gelu_of_16_bits(x):
    def grad(*args, upstream=None):
        upstream = args[0] if upstream is None else upstream
        z = ops.cast(x, "float32")
        # Twice the derivative: its halves share the last product.
        twice = 1.0 + ops.erf(z * math.sqrt(0.5))
        twice = twice + z * (math.sqrt(2.0 / math.pi) * ops.exp(-0.5 * z * z))
        return ops.cast(0.5 * ops.cast(upstream, "float32") * twice, x.dtype)

    result = ops.gelu(ops.cast(x, "float32"), approximate=False)
    return ops.cast(result, x.dtype), grad
