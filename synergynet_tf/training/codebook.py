"""Care for the codebooks: a model trains with codes that live, and says how many."""

import sys

import keras
import numpy as np
from keras import ops

from synergynet_tf.metrics import codebook_usage
from synergynet_tf.models import quantizers

# Under this share of used codes a codebook has collapsed.
_COLLAPSE = 0.05


class CodebookCare(keras.callbacks.Callback):
    """Counts the codes used in each epoch, and moves those that are dead.

    It adds `codes_used` and `perplexity` to the logs of an epoch, and the same with
    `val_` for the validation, where batch normalization and so the features differ.
    In training a code's uses count from when it was last moved; as moving keeps codes
    alive, it is the validation's number that tells what the model has learned. With
    several codebooks they are those of the least used one. A collapse of either is
    said aloud. Put it before the callbacks that read the logs.

    Dead codes are looked for after the first step of training, which so initializes
    the codebook from the first batch, and then after every `restart_every` steps of
    an epoch, or at its end if that comes first. A code is dead if no step since the
    last look in the same epoch used it.

    Args:
        seed: int. Of the draw of the vectors that dead codes move to.
    """

    def __init__(self, seed):
        super().__init__()
        self.seed = seed

    def on_train_begin(self, logs=None):
        self.layers = quantizers(self.model)
        self.steps = self.params["steps"]

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self.usage = {}
        self._count_from_zero()

    def on_train_batch_end(self, batch, logs=None):
        done = batch + 1
        for number, layer in enumerate(self.layers):
            if not layer.restart_every:
                continue
            first = self.epoch == 0 and done == 1
            if not first and done % min(layer.restart_every, self.steps):
                continue
            _sync(self.model)
            counts = np.array(ops.convert_to_numpy(layer.counts))
            generator = np.random.default_rng([self.seed, self.epoch, batch])
            moved = layer.restart_dead_codes(counts - self.seen[number], generator)
            counts[moved] = 0
            layer.counts.assign(counts)
            self.seen[number] = counts

    def on_test_begin(self, logs=None):
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
            if used < _COLLAPSE * fewest:
                print(
                    f"warning: the codebook has collapsed: {used} of {fewest} codes "
                    f"are used in {mode}",
                    file=sys.stderr,
                )

    def _count_from_zero(self):
        self.seen = [np.zeros(layer.num_codes) for layer in self.layers]
        for layer, zeros in zip(self.layers, self.seen, strict=True):
            layer.counts.assign(zeros)

    def _read_usage(self, prefix):
        _sync(self.model)
        counts = [ops.convert_to_numpy(layer.counts) for layer in self.layers]
        for codes_used, perplexity in sorted(map(codebook_usage, counts))[:1]:
            self.usage[f"{prefix}codes_used"] = codes_used
            self.usage[f"{prefix}perplexity"] = perplexity


def _sync(model):
    """Brings the model's variables up to date; only JAX keeps them elsewhere."""
    if keras.backend.backend() == "jax":
        model.jax_state_sync()
