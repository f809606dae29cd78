"""DisConX: discrete queries look at continuous keys and values."""

import keras
from keras import ops

from synergynet_tf.layers.heads import check_num_heads, glorot_uniform, head_dim
from synergynet_tf.layers.tokens import to_tokens


@keras.saving.register_keras_serializable(package="synergynet_tf")
class DisConX(keras.layers.Layer):
    """Multi-head cross-attention from discrete to continuous features.

    For each head, with `q` a projection of `z_dis`, `k` and `v` of `z_con`, over all
    positions `j` (paper, section 2.1.3, eq. 2 to 4, and section 2.2.1, eq. 5):

        z_dc_i = sum_j softmax_j(q_i . k_j / sqrt(channels / num_heads)) v_j

    The heads are concatenated and projected back to the input's channels.

    Assumption: queries, keys and values are projections, as in eq. 2 to 4; eq. 5
    prints `z_dis` and `z_con` themselves.

    Assumption: no positions are added to queries or keys, and no normalization
    stands before them; the paper mentions neither.

    Args:
        num_heads: int. `h_s`, at least 1.
        **kwargs: Base layer arguments (`name`, `dtype`).

    Input shape: two tensors `(batch, height, width, channels)`, discrete and
        continuous; `channels` must be a multiple of `num_heads`.
    Output shape: the discrete input's.

    Raises:
        ValueError: If `num_heads < 1`, the shapes differ, or `channels` is not a
            multiple of `num_heads`.

    Example:
    >>> discrete = continuous = keras.ops.ones((1, 7, 7, 16))
    >>> tuple(DisConX(num_heads=8)(discrete, continuous).shape)
    (1, 7, 7, 16)
    """

    def __init__(self, num_heads, **kwargs):
        check_num_heads(num_heads)
        super().__init__(**kwargs)
        self.num_heads = num_heads

    def build(self, discrete_shape, continuous_shape):
        channels = discrete_shape[-1]
        if tuple(discrete_shape[1:]) != tuple(continuous_shape[1:]):
            raise ValueError(
                "The two inputs must have the same shape. Received: "
                f"discrete {discrete_shape}, continuous {continuous_shape}"
            )
        key_dim = head_dim(channels, self.num_heads)
        self.attention = keras.layers.MultiHeadAttention(
            num_heads=self.num_heads,
            key_dim=key_dim,
            kernel_initializer=glorot_uniform(channels),
            dtype=self.dtype_policy,
            name="attention",
        )
        tokens = (None, None, channels)
        self.attention.build(tokens, tokens, tokens)
        self.built = True

    def call(self, discrete, continuous):
        keys = to_tokens(continuous)
        attended = self.attention(query=to_tokens(discrete), value=keys, key=keys)
        return ops.reshape(attended, ops.shape(discrete))

    def attention_weights(self, discrete, continuous):
        """Returns what each token looks at: `(batch, num_heads, tokens, tokens)`.

        Rows are discrete tokens, columns continuous ones; a row sums to 1.
        """
        keys = to_tokens(continuous)
        _, weights = self.attention(
            query=to_tokens(discrete),
            value=keys,
            key=keys,
            return_attention_scores=True,
        )
        return weights

    def compute_output_shape(self, discrete_shape, continuous_shape):
        return discrete_shape

    def get_config(self):
        return {**super().get_config(), "num_heads": self.num_heads}
