"""DisConX: cross-attention, discrete queries to continuous keys and values."""

import keras
from keras import ops

from synergynet_tf.layers.heads import (
    AttentionHeads,
    glorot_uniform,
    head_dim,
    to_tokens,
)


@keras.saving.register_keras_serializable(package="synergynet_tf")
class DisConX(AttentionHeads):
    """Multi-head cross-attention from discrete to continuous features.

    For each head, with `s_ij` the score of a query of `z_dis` and a key of `z_con`,
    and `v` values of `z_con`, over all positions `j` (paper, section 2.1.3, eq. 2 to
    4, and section 2.2.1, eq. 5):

        z_dc_i = sum_j softmax_j(s_ij) v_j

    The heads are concatenated and projected back to the input's channels.
    `AttentionHeads` has the scores, projections and normalizations.

    Assumption: queries, keys and values are projections, as in eq. 2 to 4; eq. 5
    prints `z_dis` and `z_con` themselves.

    Assumption: normalized tokens with positions, cosine scores and a normalized
    output; the paper mentions none of them. Without, attention is uniform before and
    after training: scores have a standard deviation of 0.35, and what DisConX adds is
    one constant vector an image (docs/attention.md).

    Args:
        num_heads: int. `h_s`, at least 1.
        normalized: bool. Whether tokens, scores and outputs are normalized; `False`
            is the paper's letter, Keras' `MultiHeadAttention`.
        **kwargs: Base layer arguments (`name`, `dtype`).

    Input shape: two tensors `(batch, height, width, channels)`, discrete and
        continuous; `channels` must be a multiple of `num_heads`. Normalized, only
        `batch` may be unknown.
    Output shape: the discrete input's.

    Raises:
        ValueError: If `num_heads < 1`, the shapes differ, or `channels` is not a
            multiple of `num_heads`.

    Example:
    >>> discrete = continuous = keras.ops.ones((1, 7, 7, 16))
    >>> tuple(DisConX(num_heads=8)(discrete, continuous).shape)
    (1, 7, 7, 16)
    """

    def build(self, discrete_shape, continuous_shape):
        if tuple(discrete_shape[1:]) != tuple(continuous_shape[1:]):
            raise ValueError(
                "The two inputs must have the same shape. Received: "
                f"discrete {discrete_shape}, continuous {continuous_shape}"
            )
        if self.normalized:
            self.build_heads(discrete_shape)
        else:
            channels = discrete_shape[-1]
            self.attention = keras.layers.MultiHeadAttention(
                num_heads=self.num_heads,
                key_dim=head_dim(channels, self.num_heads),
                kernel_initializer=glorot_uniform(channels),
                dtype=self.dtype_policy,
                name="attention",
            )
            tokens = (None, None, channels)
            self.attention.build(tokens, tokens, tokens)
        self.built = True

    def call(self, discrete, continuous):
        if self.normalized:
            asked = self.tokens(continuous)
            weights = ops.softmax(self.compare(self.tokens(discrete), asked), axis=-1)
            values = self.value(asked)
            attended = ops.matmul(ops.cast(weights, values.dtype), values)
            return self.put_out(attended, ops.shape(discrete))
        keys = to_tokens(continuous)
        attended = self.attention(query=to_tokens(discrete), value=keys, key=keys)
        return ops.reshape(attended, ops.shape(discrete))

    def attention_weights(self, discrete, continuous):
        """Returns the attention of each token: `(batch, num_heads, tokens, tokens)`.

        Rows are discrete tokens, columns continuous ones; a row sums to 1.
        """
        if self.normalized:
            scores = self.compare(self.tokens(discrete), self.tokens(continuous))
            return ops.softmax(scores, axis=-1)
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
