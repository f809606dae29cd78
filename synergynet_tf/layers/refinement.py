"""Refinement: hard attention, each element to its most similar one."""

import keras
from keras import ops

from synergynet_tf.layers.heads import AttentionHeads

# Far below any score, of which the temperature allows 100 at most.
_OUT_OF_REACH = 1e9


@keras.saving.register_keras_serializable(package="synergynet_tf")
class HardAttentionRefinement(AttentionHeads):
    """Multi-head hard self-attention: the weights are exactly one-hot.

    For each head, with `s_ij` the score of the query of element `i` of the fused
    features `z_f` and the key of element `j`, and `v` their values (paper, section
    2.2.2, eq. 6 and 7):

        A_ij  = 1 if j is the first to reach max_j s_ij, else 0
        z_ref = sum_j A_ij v_j

    The heads are concatenated and projected back to the input's channels. The
    residual `z_f + z_ref` is left to the model. `AttentionHeads` has the scores,
    projections and normalizations.

    An arg-max has no gradient. In training the gradient goes through the softmax
    of the same scores (straight-through), else queries and keys would never learn.

    Assumption: the straight-through softmax; the paper does not say how its indicator
    function is trained.

    Assumption: queries, keys and values are projections, as in eq. 2 to 4; eq. 6 and
    7 print `z_f` itself.

    Assumption: normalized, an element never picks itself, where there is another:
    "any other element" (section 2.2.2). And keys begin as queries, so that the first
    pick is the most similar element, not whichever has the longest key.

    Args:
        num_heads: int. `h_h`, at least 1.
        normalized: bool. Whether tokens, scores and outputs are normalized, and the
            own position is left out; `False` is the paper's letter.
        **kwargs: Base layer arguments (`name`, `dtype`).

    Input shape: `(batch, height, width, channels)`; `channels` must be a multiple of
        `num_heads`. Normalized, only `batch` may be unknown.
    Output shape: the input's.

    Raises:
        ValueError: If `num_heads < 1` or `channels` is not a multiple of it.

    Example:
    >>> layer = HardAttentionRefinement(num_heads=2)
    >>> tuple(layer(keras.ops.ones((1, 7, 7, 16))).shape)
    (1, 7, 7, 16)
    """

    def build(self, fused_shape):
        self.build_heads(fused_shape, equal_keys=self.normalized)
        self.built = True

    def attention(self, fused):
        """Returns the one-hot weights: `(batch, num_heads, tokens, tokens)`."""
        scores = self._scores(self.tokens(fused))
        winners = ops.squeeze(_first_max(scores), axis=-1)
        return ops.one_hot(winners, scores.shape[-1], dtype=self.compute_dtype)

    def call(self, fused, training=None):
        tokens = self.tokens(fused)
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
        return self.put_out(picked, ops.shape(fused))

    def compute_output_shape(self, fused_shape):
        return fused_shape

    def _scores(self, tokens):
        scores = self.compare(tokens, tokens)
        count = scores.shape[-1]
        if not self.normalized or count == 1:
            return scores
        return scores - _OUT_OF_REACH * ops.eye(count)


def _first_max(scores):
    """Returns the last axis' first maximum, as an index of length 1.

    Not `argmax`, whose lowering TFLite and ONNX refuse.
    """
    return ops.top_k(scores, 1)[1]
