"""The Quantizer: continuous features to the nearest entries of a codebook."""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="synergynet_tf")
class VectorQuantizer(keras.layers.Layer):
    """Replaces each feature vector by its nearest codebook entry.

    For a vector `z` and a codebook `E` of `K` rows (paper, section 2.1.2):

        k      = argmin_j ||z - e_j||^2            # ties go to the first
        output = e_k                               # gradient copied straight to z
        loss   = mean((sg[z] - e_k)^2) + beta * mean((z - sg[e_k])^2)

    `sg` is stop-gradient. The loss is added with `add_loss`, in training and in
    inference, so that validation curves show it too. Distances are taken in float32
    whatever the dtype policy, and from the codebook's mean: far from the origin, or
    in 16 bits, the expanded square loses the digits that decide.

    Every training step adds to the uses of each code (`counts`) and keeps some of
    its vectors (`candidates`); `restart_dead_codes` moves unused codes there. When
    to look, and when to count from zero, is the training's business
    (`training.codebook.CodebookCare`).

    Assumption: the loss is a mean over vectors and channels; the paper prints the
    squared norm of one vector.

    Args:
        num_codes: int. Codebook size `K`, at least 2.
        commitment_cost: float. `beta`, at least 0. The paper's printed loss has no
            stop-gradient, which equals 1.0.
        restart_every: int. Training steps between two searches for dead codes; 0
            never searches.
        **kwargs: Base layer arguments (`name`, `dtype`).

    Input shape: `(batch, height, width, channels)`.
    Output shape: the input's.

    Raises:
        ValueError: If `num_codes < 2`, `commitment_cost < 0`, `restart_every < 0`,
            or the channel dimension is not known when the layer is built.

    Example:
    >>> layer = VectorQuantizer(num_codes=8)
    >>> tuple(layer(keras.ops.ones((1, 7, 7, 16))).shape)
    (1, 7, 7, 16)

    Reference:
        van den Oord et al., 2017, Neural Discrete Representation Learning,
        section 3, https://arxiv.org/abs/1711.00937v2.
    """

    def __init__(
        self, num_codes=1024, commitment_cost=0.25, restart_every=25, **kwargs
    ):
        if num_codes < 2:
            raise ValueError(
                f"`num_codes` must be at least 2. Received: num_codes={num_codes}"
            )
        if commitment_cost < 0:
            raise ValueError(
                "`commitment_cost` must be at least 0. "
                f"Received: commitment_cost={commitment_cost}"
            )
        if restart_every < 0:
            raise ValueError(
                "`restart_every` must be at least 0. "
                f"Received: restart_every={restart_every}"
            )
        super().__init__(**kwargs)
        self.num_codes = num_codes
        self.commitment_cost = commitment_cost
        self.restart_every = restart_every
        # Counting writes a variable, which an exported graph must never do: in
        # inference it happens only where `fit` asks for it.
        self.count_in_inference = False

    def build(self, input_shape):
        channels = input_shape[-1]
        if channels is None:
            raise ValueError(
                "The last dimension of the input must be known. "
                f"Received: input_shape={input_shape}"
            )
        limit = 1.0 / self.num_codes
        self.codebook = self.add_weight(
            name="codebook",
            shape=(self.num_codes, channels),
            initializer=keras.initializers.RandomUniform(-limit, limit),
            dtype="float32",
            autocast=False,
        )
        self.candidates = self.add_weight(
            name="candidates",
            shape=(self.num_codes, channels),
            initializer="zeros",
            trainable=False,
            dtype="float32",
            autocast=False,
            aggregation="only_first_replica",
        )
        self.counts = self.add_weight(
            name="counts",
            shape=(self.num_codes,),
            initializer="zeros",
            trainable=False,
            dtype="float32",
            autocast=False,
            aggregation="sum",
        )
        self.built = True

    def encode(self, inputs):
        """Returns the index of the nearest code: int32 `(batch, height, width)`."""
        center = ops.mean(self.codebook, axis=0)
        codes = ops.convert_to_tensor(self.codebook) - center
        z = ops.cast(inputs, "float32") - center
        # ||z||^2 is the same for every code and cannot change which is nearest.
        nearness = ops.matmul(z, ops.transpose(codes)) - 0.5 * ops.sum(
            ops.square(codes), axis=-1
        )
        # Not `argmax`, whose lowering TFLite and ONNX refuse.
        return ops.squeeze(ops.top_k(nearness, 1)[1], axis=-1)

    def call(self, inputs, training=None):
        z = ops.cast(inputs, "float32")
        indices = self.encode(ops.stop_gradient(z))
        codes = ops.take(self.codebook, indices, axis=0)
        codebook_loss = ops.mean(ops.square(ops.stop_gradient(z) - codes))
        commitment = ops.mean(ops.square(z - ops.stop_gradient(codes)))
        self.add_loss(codebook_loss + self.commitment_cost * commitment)
        if training or self.count_in_inference:
            flat = ops.reshape(indices, (-1,))
            uses = ops.ones_like(flat, dtype="float32")
            self.counts.assign_add(ops.segment_sum(uses, flat, self.num_codes))
        if training and self.restart_every:
            self.candidates.assign(_spread(ops.stop_gradient(z), self.num_codes))
        return ops.cast(_straight_through(z, codes), self.compute_dtype)

    def restart_dead_codes(self, uses, generator):
        """Moves codes without a use to vectors of the last training step.

        No two go to the same vector: of equal codes the first takes all. A batch
        with fewer vectors leaves the rest for the next time.

        Args:
            uses: float array `(num_codes,)`: how often each code was used lately.
            generator: `numpy.random.Generator` that pairs codes and vectors.

        Returns:
            int array: the indices of the codes that were moved.
        """
        vectors = np.unique(ops.convert_to_numpy(self.candidates), axis=0)
        chosen = generator.permutation(len(vectors))
        moved = (uses == 0).nonzero()[0][: len(vectors)]
        codebook = np.array(ops.convert_to_numpy(self.codebook))
        codebook[moved] = vectors[chosen[: moved.size]]
        self.codebook.assign(codebook)
        return moved

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "num_codes": self.num_codes,
            "commitment_cost": self.commitment_cost,
            "restart_every": self.restart_every,
        }


@ops.custom_gradient
def _straight_through(z, codes):
    """Returns `codes`; hands the gradient to `z` unchanged and none to `codes`."""

    def grad(*args, upstream=None):
        upstream = args[0] if upstream is None else upstream
        return upstream, ops.zeros_like(upstream)

    return codes, grad


def _spread(z, count):
    """Picks `count` vectors of `z`, evenly spaced: `(count, channels)`."""
    vectors = ops.reshape(z, (-1, z.shape[-1]))
    total = ops.shape(vectors)[0]
    return ops.take(vectors, ops.arange(count) * total // count, axis=0)
