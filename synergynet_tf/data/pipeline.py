"""tf.data pipeline of the batches: made in parallel, prefetched, in order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from synergynet_tf.data.batches import Batches


def dataset(
    batches: Batches,
    first_epoch: int = 0,
    epochs: int = 1,
    first_step: int = 0,
    parts: Sequence[int] = (0,),
    of: int = 1,
) -> tf.data.Dataset:
    """Chains epochs of `batches` into one stream, bit for bit and in their order.

    Args:
        batches: Batches to serve; their `epoch` is neither read nor changed.
        first_epoch: The first epoch to serve, from 0.
        epochs: Number of epochs, at least 1.
        first_step: The first step of the first epoch to serve, from 0.
        parts: Indices of the parts of each batch to serve, one after the other.
        of: Number of parts of a batch.

    Returns:
        `(epochs * len(batches) - first_step) * len(parts)` pairs of images float32
        `(batch, S, S, 3)` and labels uint8 `(batch, S, S)`. Pass `steps_per_epoch` to
        `fit`.
    """
    steps = len(batches)
    num_images, size = batches.store.labels.shape[:2]
    part_size, rest = divmod(min(batches.batch_size, num_images), of)
    known = part_size if batches.training and not rest else None

    def load(index: np.int64) -> tuple[np.ndarray, np.ndarray]:
        number, part = divmod(int(index), len(parts))
        epoch, step = divmod(number, steps)
        return batches.batch(epoch, step, parts[part], of)

    def load_tensors(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images, labels = tf.numpy_function(load, [index], (tf.float32, tf.uint8))
        return (
            tf.ensure_shape(images, (known, size, size, 3)),
            tf.ensure_shape(labels, (known, size, size)),
        )

    first, end = first_epoch * steps + first_step, (first_epoch + epochs) * steps
    stream = tf.data.Dataset.range(first * len(parts), end * len(parts))
    stream = stream.map(load_tensors, tf.data.AUTOTUNE, deterministic=True)
    return stream.prefetch(tf.data.AUTOTUNE)
