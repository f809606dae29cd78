"""Codebook monitor: k-means start, restarts of dead codes, usage counts."""

import sys
import warnings

import keras
import numpy as np
from keras import ops

from synergynet_tf.metrics import codebook_usage
from synergynet_tf.models import quantizers
from synergynet_tf.training.checkpoint import sync
from synergynet_tf.training.replicas import from_chief

# Share of the codes that could be used, below which a codebook has collapsed.
_COLLAPSE = 0.05
# K-means: vectors for each code, and rounds of assignments.
_VECTORS_A_CODE = 4
_ROUNDS = 10


def start_codebooks(model, batches, seed):
    """Puts the codes of each `kmeans` codebook among the features of first batches.

    The untrained model sees the first batches of epoch 0, as many as have four vectors
    for each code, and is left as it was but for the codes. Centers start at vectors
    drawn without replacement. Where there are fewer different vectors than codes, the
    other codes stay where they are.

    Args:
        model: `keras.Model`, built.
        batches: `Batches` of the training.
        seed: int. Of the draw.
    """
    from scipy.cluster.vq import kmeans2  # Only this needs it.

    for layer in quantizers(model):
        if layer.initialization != "kmeans":
            continue
        vectors = _first_vectors(model, layer, batches)
        different = np.unique(vectors, axis=0)
        generator = np.random.default_rng(seed)
        size = min(layer.num_codes, len(different))
        centers = generator.choice(different, size, replace=False)
        with warnings.catch_warnings():
            # A center that lost its vectors stays, and may be restarted.
            warnings.filterwarnings("ignore", "One of the clusters is empty")
            codes, _ = kmeans2(vectors, centers, iter=_ROUNDS, minit="matrix")
        layer.set_codes(np.arange(size), from_chief(codes))


def _first_vectors(model, layer, batches):
    """Returns the vectors to quantize of the first batches: `(n, channels)`."""
    features = keras.Model(model.input, layer.input)
    # Training's mode, because averages of batch normalization are not there yet.
    variables = model.non_trainable_variables
    before = [np.array(ops.convert_to_numpy(variable)) for variable in variables]
    found = []
    for step in range(len(batches)):
        if sum(map(len, found)) >= _VECTORS_A_CODE * layer.num_codes:
            break
        images, _ = batches.batch(0, step)
        vectors = layer.to_compare(features(images, training=True))
        vectors = ops.convert_to_numpy(vectors)
        found.append(vectors.reshape(-1, vectors.shape[-1]))
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)
    return np.concatenate(found)


class CodebookMonitor(keras.callbacks.Callback):
    """Counts the codes used in each epoch, and moves those that are dead.

    It adds to the logs of an epoch, and with `val_` for the validation, where batch
    normalization and so the features differ:

        codes_used            codes with a use; the others of `num_codes` are dead
        perplexity            how evenly: `codes_used`, if all are used alike
        quantization_error    mean of ||z - e_k||^2 over vectors

    In training a code's uses count from when it was last moved; as moving keeps codes
    alive, it is the validation's number that tells what the model has learned. With
    several codebooks they are those of the least used one. A collapse of either is
    said aloud: under 5 % of the codes used, or of the vectors if those are fewer. Put
    it before the callbacks that read the logs.

    Dead codes are looked for after every `restart_every` steps, counted from the start
    of each epoch, or at the end of an epoch that has fewer, and for `first_batches`
    after the first step of training, which so initializes the codebook. A code is dead
    if no step since the last look in the same epoch used it.

    Args:
        seed: int. Seed of the draw of the vectors that dead codes move to.
        steps: int. Steps of an epoch.
        begun: Result of `state` from the epoch in which a run was stopped and which it
            continues, or `None`. The counts are variables of the model.
    """

    def __init__(self, seed, steps, begun=None):
        super().__init__()
        self.seed = seed
        self.steps = steps
        self.begun = begun

    def state(self):
        """Returns the state of the epoch, without variables, as JSON takes it."""
        seen = [counts.tolist() for counts in self.seen]
        counted = {"usage": self.usage, "vectors": self.vectors}
        return {"done": self.done, "seen": seen, **counted}

    def on_train_begin(self, logs=None):
        self.layers = quantizers(self.model)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        begun, self.begun = self.begun, None
        if begun:
            self.done, self.usage = begun["done"], begun["usage"]
            self.vectors = begun.get("vectors", {})  # Older runs have none.
            self.seen = [np.array(counts) for counts in begun["seen"]]
        else:
            self.done, self.usage, self.vectors = 0, {}, {}
            self._count_from_zero()

    def on_train_batch_end(self, batch, logs=None):
        # Not `batch`, which counts from where a stopped run goes on.
        self.done += 1
        for number, layer in enumerate(self.layers):
            if not self._is_due(layer, self.done):
                continue
            sync(self.model)
            counts = np.array(ops.convert_to_numpy(layer.counts))
            generator = np.random.default_rng([self.seed, self.epoch, self.done - 1])
            moved = layer.restart_dead_codes(counts - self.seen[number], generator)
            counts[moved] = 0
            layer.counts.assign(counts)
            self.seen[number] = counts

    def _is_due(self, layer, done):
        """Tells whether dead codes are looked for after `done` steps of this epoch."""
        if layer.initialization == "first_batches" and (self.epoch, done) == (0, 1):
            return True
        every = min(layer.restart_every, self.steps)
        return bool(every) and done % every == 0

    def on_test_begin(self, logs=None):
        if not self.usage:  # Otherwise the run was stopped after this.
            self._read_usage("")
        self._count_from_zero()

    def on_test_end(self, logs=None):
        self._read_usage("val_")

    def on_epoch_end(self, epoch, logs=None):
        logs.update(self.usage)
        if not self.layers:
            return
        fewest = min(layer.num_codes for layer in self.layers)
        for prefix, mode in (("", "training"), ("val_", "validation")):
            used = self.usage[f"{prefix}codes_used"]
            if used < _COLLAPSE * min(fewest, self.vectors.get(prefix, fewest)):
                print(
                    f"warning: the codebook has collapsed: {used} of {fewest} codes "
                    f"are used in {mode}",
                    file=sys.stderr,
                )

    def _count_from_zero(self):
        self.seen = [np.zeros(layer.num_codes) for layer in self.layers]
        for layer, zeros in zip(self.layers, self.seen, strict=True):
            layer.counts.assign(zeros)
            layer.errors.assign(np.zeros(2))

    def _read_usage(self, prefix):
        sync(self.model)
        found = []
        for layer in self.layers:
            squares, vectors = ops.convert_to_numpy(layer.errors).tolist()
            usage = codebook_usage(ops.convert_to_numpy(layer.counts))
            found.append((*usage, squares / max(vectors, 1), vectors))
        for *values, vectors in sorted(found)[:1]:
            self.vectors[prefix] = vectors
            names = ("codes_used", "perplexity", "quantization_error")
            self.usage |= {prefix + n: v for n, v in zip(names, values, strict=True)}
