"""Vector quantization layer: the paper's Quantizer (section 2.1.2)."""

import keras
import numpy as np
from keras import ops

from synergynet_tf.layers import codebook

# Choices of each option; `config.VQ_CHOICES` offers the same.
CHOICES = {
    "initialization": ("uniform", "first_batches", "kmeans"),
    "update": ("gradient", "moving_average"),
    "estimator": tuple(codebook.ESTIMATORS),
    "distance": ("euclidean", "cosine"),
    "loss": ("mean", "sum"),
}


@keras.saving.register_keras_serializable(package="synergynet_tf")
class VectorQuantizer(keras.layers.Layer):
    """Vector quantization: replaces each feature vector by its nearest code.

    For a vector `z` and a codebook `E` of `K` rows (paper, section 2.1.2):

        k      = argmin_j ||z - e_j||^2            # ties go to the first
        output = e_k                               # gradient by `estimator`
        loss   = mean((sg[z] - e_k)^2) + beta * mean((z - sg[e_k])^2)

    `sg` is stop-gradient. The loss is added with `add_loss`, in training and in
    inference, so that validation curves show it too. Distances are taken in float32
    whatever the dtype policy.

    With the update `moving_average` the loss's first term goes, and each code is an
    exponential moving average (EMA) of its vectors, with a decay of 0.99 a step.

    With the distance `cosine`, `z` and the codes are first divided by their lengths
    (ViT-VQGAN, section 3.2): all above holds on the unit sphere, and so is the output.

    Every training step adds to the uses of each code (`counts`), to the quantization
    error (`errors`: the sum of ||z - e_k||^2, and the number of vectors), and keeps
    some of its vectors (`candidates`); `restart_dead_codes` moves unused codes there.
    When to look, when to count from zero, and the initializations but `uniform` are
    the training's business (`training.codebook`).

    Devices that share a batch compute with the whole of it: `replica_sum` adds up
    tensors, in any nested structure, over the devices, `replica_join` puts their parts
    one after the other; `training.replicas` sets both. Here they return what they get.

    Assumption: by default the loss is a mean over vectors and channels; the paper
    prints the squared norm of one vector, a sum over channels, under which the encoder
    shrinks its features to a tenth (docs/codebook.md).

    Args:
        num_codes: int. Codebook size `K`, at least 2.
        commitment_cost: float. `beta`, at least 0. The paper's printed loss has no
            stop-gradient, which equals 1.0.
        restart_every: int. Training steps between two searches for dead codes; 0
            never searches.
        initialization: `uniform` in [-1/K, 1/K], as in PyTorch ports of VQ-VAE;
            `first_batches`, where unused codes move to vectors of the first step; or
            `kmeans` of the first batches'.
        update: `gradient`, or `moving_average`, which no optimizer touches.
        estimator: Estimator of the gradient of `z`: `straight_through` or `rotation`.
        distance: `euclidean` or `cosine`.
        loss: `mean` over vectors and channels, or the mean over vectors of the `sum`
            over channels, which is `channels` times as much.
        **kwargs: Base layer arguments (`name`, `dtype`).

    Input shape: `(batch, height, width, channels)`.
    Output shape: the input's.

    Raises:
        ValueError: If `num_codes < 2`, `commitment_cost < 0`, `restart_every < 0`,
            one of the words is unknown, or the channel dimension is not known when
            the layer is built.

    Example:
    >>> layer = VectorQuantizer(num_codes=8)
    >>> tuple(layer(keras.ops.ones((1, 7, 7, 16))).shape)
    (1, 7, 7, 16)

    Reference:
        van den Oord et al., 2017, Neural Discrete Representation Learning,
        section 3 and appendix A.1, https://arxiv.org/abs/1711.00937v2.
        Yu et al., 2021, Vector-Quantized Image Modeling with Improved VQGAN,
        section 3.2, https://arxiv.org/abs/2110.04627.
    """

    def __init__(
        self,
        num_codes=1024,
        commitment_cost=0.25,
        restart_every=25,
        initialization="first_batches",
        update="gradient",
        estimator="straight_through",
        distance="euclidean",
        loss="mean",
        **kwargs,
    ):
        for name, value, least in (
            ("num_codes", num_codes, 2),
            ("commitment_cost", commitment_cost, 0),
            ("restart_every", restart_every, 0),
        ):
            if value < least:
                raise ValueError(
                    f"`{name}` must be at least {least}. Received: {name}={value}"
                )
        options = {
            "initialization": initialization,
            "update": update,
            "estimator": estimator,
            "distance": distance,
            "loss": loss,
        }
        for name, choices in CHOICES.items():
            value = options[name]
            if value not in choices:
                raise ValueError(
                    f"`{name}` must be one of {', '.join(choices)}. "
                    f"Received: {name}={value!r}"
                )
        super().__init__(**kwargs)
        self.num_codes = num_codes
        self.commitment_cost = commitment_cost
        self.restart_every = restart_every
        self.initialization = initialization
        self.update = update
        self.estimator = estimator
        self.distance = distance
        self.loss = loss
        # Counting writes a variable, which an exported graph must never do: in
        # inference it happens only where `fit` asks for it.
        self.count_in_inference = False
        self.replica_sum = self.replica_join = lambda x: x

    def build(self, input_shape):
        channels = input_shape[-1]
        if channels is None:
            raise ValueError(
                "The last dimension of the input must be known. "
                f"Received: input_shape={input_shape}"
            )
        table, averages = (self.num_codes, channels), self.update == "moving_average"
        limit = 1.0 / self.num_codes
        # An initializer draws the same each time: `sums` starts as codebook / K.
        uniform = keras.initializers.RandomUniform(-limit, limit)
        self.codebook = self._weight("codebook", table, uniform, trainable=not averages)
        self.candidates = self._weight("candidates", table)
        self.counts = self._weight("counts", (self.num_codes,))
        self.errors = self._weight("errors", (2,))
        if averages:
            self.shares = self._weight(
                "shares",
                (self.num_codes,),
                keras.initializers.Constant(1.0 / self.num_codes),
            )
            self.sums = self._weight(
                "sums",
                table,
                lambda shape, dtype: uniform(shape, dtype) / self.num_codes,
            )
        self.built = True

    def _weight(self, name, shape, initializer="zeros", trainable=False):
        """Adds a weight that is float32 under every policy."""
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            trainable=trainable,
            dtype="float32",
            autocast=False,
        )

    def encode(self, inputs):
        """Returns the index of the nearest code: int32 `(batch, height, width)`."""
        return self._nearest(self.to_compare(inputs))

    def to_compare(self, x):
        """Returns vectors as they are compared: float32, for `cosine` of length 1."""
        x = ops.cast(x, "float32")
        return codebook.unit(x) if self.distance == "cosine" else x

    def call(self, inputs, training=None):
        sg = ops.stop_gradient
        z = self.to_compare(inputs)
        k = self._nearest(sg(z))
        e_k = self.to_compare(ops.take(self.codebook, k, axis=0))

        loss = self.commitment_cost * self._squared_norm(z - sg(e_k))
        if self.update == "gradient":
            loss = self._squared_norm(sg(z) - e_k) + loss
        self.add_loss(loss)

        if training or self.count_in_inference:
            self._observe(sg(z), k, sg(e_k), training)
        output = codebook.ESTIMATORS[self.estimator](z, e_k)
        return ops.cast(output, self.compute_dtype)

    def _nearest(self, z):
        return codebook.nearest_code(z, self.to_compare(self.codebook))

    def _squared_norm(self, x):
        """Returns `||x||^2` by `loss`, a mean over the vectors of all devices."""
        values = ops.cast(ops.size(x), "float32")
        if self.loss == "sum":
            values = values / x.shape[-1]
        total, values = self.replica_sum((ops.sum(ops.square(x)), values))
        return total / values

    def _observe(self, z, k, e_k, training):
        """Counts uses and errors, and in training keeps vectors that move the codes.

        Args:
            z: float32 `(batch, height, width, channels)`.
            k: int32 `(batch, height, width)`.
            e_k: float32, of `z`'s shape.
            training: bool.
        """
        vectors, k = ops.reshape(z, (-1, z.shape[-1])), ops.reshape(k, (-1,))
        uses = ops.segment_sum(ops.ones_like(k, dtype="float32"), k, self.num_codes)
        squares = ops.sum(ops.square(z - e_k))
        uses, squares = self.replica_sum((uses, squares))
        self.counts.assign_add(uses)
        self.errors.assign_add(ops.stack([squares, ops.sum(uses)]))
        if training and (self.restart_every or self.initialization == "first_batches"):
            batch = self.replica_join(vectors)
            self.candidates.assign(codebook.evenly_spaced(batch, self.num_codes))
        if training and self.update == "moving_average":
            totals = self.replica_sum(ops.segment_sum(vectors, k, self.num_codes))
            codes = codebook.ema_update(self.shares, self.sums, uses, totals)
            self.codebook.assign(codes)

    def set_codes(self, numbers, vectors):
        """Sets codes to vectors, where a moving average starts anew.

        Args:
            numbers: int array `(n,)`: indices of the codes.
            vectors: float array `(n, channels)`: new vectors of these codes.
        """
        changes = [(self.codebook, vectors)]
        if self.update == "moving_average":
            weight = 1.0 / self.num_codes
            changes += [(self.shares, weight), (self.sums, vectors * weight)]
        for variable, values in changes:
            array = np.array(ops.convert_to_numpy(variable))
            array[numbers] = values
            variable.assign(array)

    def restart_dead_codes(self, uses, generator):
        """Moves codes without a use to vectors of the last training step.

        No two go to the same vector. A batch with fewer vectors leaves the rest for the
        next time.

        Args:
            uses: float array `(num_codes,)`: recent number of uses of each code.
            generator: `numpy.random.Generator` that pairs codes and vectors.

        Returns:
            int array: the indices of the codes that were moved.
        """
        candidates = ops.convert_to_numpy(self.candidates)
        moved, vectors = codebook.restarts(uses, candidates, generator)
        self.set_codes(moved, vectors)
        return moved

    def save_own_variables(self, store):
        for number, weight in enumerate(self._lasting_weights()):
            store[str(number)] = weight

    def load_own_variables(self, store):
        weights = self._lasting_weights()
        if len(store.keys()) != len(weights):
            raise ValueError(
                f"{self.name} has {len(weights)} weights, the file {len(store.keys())}"
            )
        for number, weight in enumerate(weights):
            weight.assign(store[str(number)])

    def _lasting_weights(self):
        """Lists the weights to save: not `errors`, so that old files still fit."""
        return [weight for weight in self.weights if weight is not self.errors]

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "num_codes": self.num_codes,
            "commitment_cost": self.commitment_cost,
            "restart_every": self.restart_every,
            "initialization": self.initialization,
            "update": self.update,
            "estimator": self.estimator,
            "distance": self.distance,
            "loss": self.loss,
        }
