"""Replica synchronization: sums over devices, so that they train as one."""

import functools
import json
import threading
import zlib

import numpy as np

from synergynet_tf.models import quantizers
from synergynet_tf.training import distribution


def share_batches(model, loss):
    """Lets the replicas of a model compute with the whole of a batch.

    Loss, codebook and counts are then those of one device, on every replica. Batch
    normalization sees to itself (`training.normalization`).

    Args:
        model: Built `keras.Model`, in the scope of a `tf.distribute` strategy.
        loss: `SegmentationLoss` that it is compiled with.
    """
    loss.replica_sum = replica_sum
    for quantizer in quantizers(model):
        quantizer.replica_sum = replica_sum
        quantizer.replica_join = replica_join
        # Keras has one list a layer, to which the threads of all replicas would add.
        quantizer._losses = _ListOfThread()


class _ListOfThread(threading.local):
    """Keras' operations on the list of a layer's losses, for each thread apart."""

    def __init__(self):
        self.items = []
        self.append, self.extend = self.items.append, self.items.extend
        self.clear = self.items.clear

    def __getitem__(self, index):
        return self.items[index]


def require_same(value, rule):
    """Waits for the other processes, and refuses if their value is another.

    Args:
        value: Value to compare, anything that JSON takes.
        rule: string. Rule that the error states.

    Raises:
        ValueError: If one process has another value; raised in every process.
    """
    digest = zlib.crc32(json.dumps(value).encode())
    if len(np.unique(_everywhere(digest))) > 1:
        raise ValueError(f"--strategy multiworker: {rule}")


def from_chief(array):
    """Returns the first process's array, in every process.

    Args:
        array: float array, of the same shape everywhere: what each process computes for
            itself, its machine may round in its own way.
    """
    return _everywhere(array)[0].astype(array.dtype)


def largest(numbers):
    """Returns the largest of each number over all processes: list of int."""
    return _everywhere(numbers).max(axis=0).astype(int).tolist()


def _everywhere(values):
    """Returns the values of all processes, one after the other, a replica each."""
    values = np.asarray(values, "float64")
    if not distribution.has_replicas():
        return values[None]
    tf = distribution.tensorflow()

    strategy = tf.distribute.get_strategy()
    if strategy.cluster_resolver is None:
        return values[None]
    joined = _join_function(strategy)(tf.constant(values[None]))
    return strategy.experimental_local_results(joined)[0].numpy()


@functools.cache
def _join_function(strategy):
    """Returns the function that joins a tensor over the replicas; made once, traced."""
    tf = distribution.tensorflow()

    def join(x):
        # A copy on the replica's device: what is on none is not joined.
        return strategy.run(lambda: replica_join(tf.identity(x)))

    return tf.function(join)


def replica_sum(x):
    """Sums tensors over the replicas, also in their gradients: one collective.

    Args:
        x: Tensor, or any nested structure of them, of the same shapes on each replica.
    """
    tf = distribution.tensorflow()

    replica = tf.distribute.get_replica_context()
    # Keras also calls a layer outside of replicas, to learn its shapes.
    return replica.all_reduce("SUM", x) if replica else x


def replica_join(x):
    """Puts the replicas' tensors one after the other, along the first axis."""
    tf = distribution.tensorflow()

    replica = tf.distribute.get_replica_context()
    if replica is None:
        return x
    return tf.ensure_shape(replica.all_gather(x, axis=0), (None, *x.shape[1:]))


def divided(make):
    """Returns a stream of batches, of which every replica gets its part.

    Args:
        make: Function that returns the `tf.data.Dataset` of the given parts of each
            batch, one after the other: `make(parts=, of=)`, where `parts` is a `range`
            of the numbers below `of`.
    """
    tf = distribution.tensorflow()

    def make_local(context):
        of = context.num_replicas_in_sync
        local = of // context.num_input_pipelines
        first = context.input_pipeline_id * local
        return make(parts=range(first, first + local), of=of)

    return tf.distribute.get_strategy().distribute_datasets_from_function(make_local)


def replicated(step):
    """Returns a function that takes a batch of `divided` and calls `step` on each part.

    Args:
        step: Function of a replica's part of a batch; what it returns is dropped.
    """
    tf = distribution.tensorflow()

    strategy = tf.distribute.get_strategy()

    @tf.function(reduce_retracing=True)
    def run(batch):
        strategy.run(step, args=(batch,))

    return run
