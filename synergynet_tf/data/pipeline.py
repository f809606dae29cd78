"""The same batches as a tf.data pipeline: made in parallel, ahead of the model."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from synergynet_tf.data.batches import Batches


def dataset(
    batches: Batches, first_epoch: int = 0, epochs: int = 1, first_step: int = 0
) -> tf.data.Dataset:
    """Chains epochs of `batches` into one stream, bit for bit and in their order.

    Args:
        batches: What to serve; its `epoch` is neither read nor changed.
        first_epoch: The first epoch to serve, from 0.
        epochs: Number of epochs, at least 1.
        first_step: The first step of the first epoch to serve, from 0.

    Returns:
        `epochs * len(batches) - first_step` pairs of images float32
        `(batch, S, S, 3)` and labels uint8 `(batch, S, S)`. Pass `steps_per_epoch` to
        `fit`.
    """
    steps = len(batches)
    num_images, size = batches.store.labels.shape[:2]
    batch_size = min(batches.batch_size, num_images) if batches.training else None

    def load(index: np.int64) -> tuple[np.ndarray, np.ndarray]:
        epoch, step = divmod(int(index), steps)
        return batches.batch(epoch, step)

    def load_tensors(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images, labels = tf.numpy_function(load, [index], (tf.float32, tf.uint8))
        return (
            tf.ensure_shape(images, (batch_size, size, size, 3)),
            tf.ensure_shape(labels, (batch_size, size, size)),
        )

    first, end = first_epoch * steps + first_step, (first_epoch + epochs) * steps
    stream = tf.data.Dataset.range(first, end)
    stream = stream.map(load_tensors, tf.data.AUTOTUNE, deterministic=True)
    return stream.prefetch(tf.data.AUTOTUNE)
