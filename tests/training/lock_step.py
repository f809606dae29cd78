"""Trains on one device and on replicas from the same state at every step.

A program, because the CPU can be divided into devices only before TensorFlow uses it:
`python -m tests.training.lock_step DEVICES STEPS` takes a config as JSON and prints
what came of every step. Left to themselves the two curves would part: rounding decides
the nearest code, the winner of the hard attention and the sign before a ReLU wherever
candidates are close, and each such flip makes a different step.
"""

import functools
import json
import sys

import keras
import numpy as np

from synergynet_tf.config import ExperimentConfig
from synergynet_tf.data import pipeline
from synergynet_tf.data.batches import Batches
from synergynet_tf.data.store import open_store
from synergynet_tf.models import ENCODERS, quantizers
from synergynet_tf.training import distribution, replicas
from synergynet_tf.training.codebook import CodebookMonitor
from synergynet_tf.training.fit import compiled_model
from tests.conftest import tiny_encoder


class Trainee:
    """A model that makes one step after the other."""

    def __init__(self, config, steps):
        self.model = compiled_model(config, 1000)
        self.care = CodebookMonitor(config.training.seed, steps)
        self.care.set_model(self.model)
        self.care.on_train_begin()
        self.care.on_epoch_begin(0)
        (self.quantizer,) = quantizers(self.model)
        self.run = replicas.replicated(self.model.train_step)

    @property
    def state(self):
        return [*self.model.variables, *self.model.optimizer.variables]

    def step(self, number, batch):
        """Returns the loss, what it changed, the counts and the codes that moved."""
        before = [np.array(variable) for variable in self.model.trainable_variables]
        counts = np.array(self.quantizer.counts)
        self.model.reset_metrics()
        self.run(batch)
        self.counts = np.array(self.quantizer.counts) - counts
        after = [np.array(variable) for variable in self.model.trainable_variables]
        self.change = np.concatenate(
            [(b - a).ravel() for a, b in zip(before, after, strict=True)]
        )
        self.statistics = np.concatenate(
            [
                np.ravel(v)
                for v in self.model.non_trainable_variables
                if "moving" in v.path
            ]
        )
        self.loss = float(self.model.get_metrics_result()["loss"])
        codes = np.array(self.quantizer.codebook)
        self.care.on_train_batch_end(number)
        moved = np.array(self.quantizer.codebook) != codes
        self.moved = np.flatnonzero(moved.any(axis=1)).tolist()
        self.places = np.array(self.quantizer.codebook)[self.moved]


def main(devices, steps):
    config = ExperimentConfig.from_json(sys.stdin.read())
    ENCODERS["tiny"] = tiny_encoder
    store = open_store(config.data, "train", config.model.image_size)
    batches = Batches(store, config.training.batch_size, 0, training=True)
    epochs = 1 + steps // len(batches)
    rows = []
    with distribution.scope("mirrored", " ".join(map(str, range(devices)))):
        many = Trainee(config, steps)
        parts = iter(
            replicas.divided(functools.partial(pipeline.dataset, batches, 0, epochs))
        )
    one = Trainee(config, steps)
    wholes = iter(pipeline.dataset(batches, 0, epochs))
    for number in range(steps):
        for a, b in zip(one.state, many.state, strict=True):
            b.assign(np.array(a))
        one.step(number, next(wholes))
        many.step(number, next(parts))
        rows.append(
            {
                "losses": (one.loss, many.loss),
                "change": distance(one.change, many.change),
                "statistics": distance(one.statistics, many.statistics),
                "other_codes": float(np.abs(one.counts - many.counts).sum() / 2),
                "moved": (one.moved, many.moved),
                "places": distance(one.places, many.places)
                if one.moved == many.moved
                else None,
            }
        )
    copies = [getattr(v.value, "values", ()) for v in many.state]
    unequal = [
        variable.path
        for variable, values in zip(many.state, copies, strict=True)
        if any(np.any(np.array(v) != np.array(values[0])) for v in values)
    ]
    sizes = sorted({len(values) for values in copies})
    print(json.dumps({"steps": rows, "unequal": unequal, "copies": sizes}))


def distance(a, b):
    """Returns `|a - b| / |a|`."""
    return float(np.linalg.norm(a - b) / max(np.linalg.norm(a), 1e-30))


if __name__ == "__main__":
    keras.config.disable_traceback_filtering()
    main(*map(int, sys.argv[1:]))
