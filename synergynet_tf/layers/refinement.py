"""The Refinement module: each element takes over its most similar element."""

import keras
from keras import ops

from synergynet_tf.layers.heads import check_num_heads, glorot_uniform, head_dim
from synergynet_tf.layers.tokens import to_tokens


@keras.saving.register_keras_serializable(package="synergynet_tf")
class HardAttentionRefinement(keras.layers.Layer):
    """Multi-head self-attention whose weights are exactly one-hot.

    For each head, with `q`, `k` and `v` projections of the fused features `z_f`
    (paper, section 2.2.2, eq. 6 and 7):

        A_ij  = 1 if j is the first to reach max_j (q_i . k_j), else 0
        z_ref = sum_j A_ij v_j

    The heads are concatenated and projected back to the input's channels. The
    residual `z_f + z_ref` is left to the model.

    An arg-max has no gradient. In training the gradient goes through the softmax
    of the same scores (straight-through), else queries and keys would never learn.

    Assumption: the straight-through softmax, scaled by `sqrt(channels / num_heads)`;
    the paper does not say how its indicator function is trained.

    Assumption: queries, keys and values are projections, as in eq. 2 to 4; eq. 6 and
    7 print `z_f` itself.

    Args:
        num_heads: int. `h_h`, at least 1.
        **kwargs: Base layer arguments (`name`, `dtype`).

    Input shape: `(batch, height, width, channels)`; `channels` must be a multiple of
        `num_heads`.
    Output shape: the input's.

    Raises:
        ValueError: If `num_heads < 1` or `channels` is not a multiple of it.

    Example:
    >>> layer = HardAttentionRefinement(num_heads=2)
    >>> tuple(layer(keras.ops.ones((1, 7, 7, 16))).shape)
    (1, 7, 7, 16)
    """

    def __init__(self, num_heads, **kwargs):
        check_num_heads(num_heads)
        super().__init__(**kwargs)
        self.num_heads = num_heads

    def build(self, fused_shape):
        channels = fused_shape[-1]
        per_head = head_dim(channels, self.num_heads)
        self.scale = per_head**-0.5
        self.query, self.key, self.value = (
            keras.layers.EinsumDense(
                "bnc,chd->bhnd",
                output_shape=(self.num_heads, None, per_head),
                bias_axes="hd",
                kernel_initializer=glorot_uniform(channels),
                dtype=self.dtype_policy,
                name=name,
            )
            for name in ("query", "key", "value")
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
        self.built = True

    def attention(self, fused):
        """Returns the one-hot weights: `(batch, num_heads, tokens, tokens)`."""
        scores = self._scores(to_tokens(fused))
        winners = ops.squeeze(_first_max(scores), axis=-1)
        return ops.one_hot(winners, scores.shape[-1], dtype=self.compute_dtype)

    def call(self, fused, training=None):
        tokens = to_tokens(fused)
        scores = self._scores(tokens)
        values = self.value(tokens)
        winners = _first_max(scores)
        if training:
            soft = ops.softmax(scores, axis=-1)
            hard = ops.one_hot(
                ops.squeeze(winners, axis=-1), scores.shape[-1], dtype=soft.dtype
            )
            # The bracket is exactly zero: the forward pass stays one-hot.
            weights = hard + (soft - ops.stop_gradient(soft))
            picked = ops.matmul(ops.cast(weights, values.dtype), values)
        else:
            picked = ops.take_along_axis(values, winners, axis=2)
        return ops.reshape(self.output_projection(picked), ops.shape(fused))

    def compute_output_shape(self, fused_shape):
        return fused_shape

    def get_config(self):
        return {**super().get_config(), "num_heads": self.num_heads}

    def _scores(self, tokens):
        """Returns float32 scores: in 16 bits many are equal, and the first wins."""
        queries = ops.cast(self.query(tokens), "float32") * self.scale
        keys = ops.cast(self.key(tokens), "float32")
        return ops.matmul(queries, ops.transpose(keys, (0, 1, 3, 2)))


def _first_max(scores):
    """Returns the last axis' first maximum, as an index of length 1.

    Not `argmax`, whose lowering TFLite and ONNX refuse.
    """
    return ops.top_k(scores, 1)[1]
