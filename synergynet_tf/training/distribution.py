"""Devices: the one place of training that knows TensorFlow."""

import contextlib
from typing import NamedTuple

import keras


def scope(strategy):
    """Returns the context in which the model is built and compiled.

    Args:
        strategy: `none` for one device, `mirrored` for all GPUs of the machine.

    Raises:
        ValueError: If the backend is not TensorFlow and `strategy` is `mirrored`.
    """
    if strategy == "none":
        return contextlib.nullcontext()
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "--strategy mirrored needs the TensorFlow backend. Received: "
            f"KERAS_BACKEND={keras.backend.backend()}; pass --strategy none."
        )
    import tensorflow as tf

    return tf.distribute.MirroredStrategy().scope()


def num_devices():
    """Returns how many devices share a batch in the current scope."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


class Hardware(NamedTuple):
    """What trains.

    Attributes:
        kind: `cpu`, `gpu` or `tpu`.
        capability: CUDA's compute capability, `(8, 0)`; that of the least able, if
            there are several GPUs. `None` if it is no such GPU.
    """

    kind: str
    capability: tuple[int, int] | None = None


def hardware(strategy):
    """Returns what the backend trains on, with `strategy`: a `Hardware`."""
    if keras.backend.backend() == "jax":
        import jax

        devices = jax.local_devices()
        kind = devices[0].platform
        found = [getattr(device, "compute_capability", "") for device in devices]
    else:
        import tensorflow as tf

        if tf.config.list_physical_devices("TPU"):
            return Hardware("tpu")
        devices = tf.config.list_physical_devices("GPU")
        kind = "gpu" if devices else "cpu"
        details = map(tf.config.experimental.get_device_details, devices)
        found = [detail.get("compute_capability") for detail in details]
    if kind != "gpu":
        return Hardware(kind)
    if strategy == "none":
        found = found[:1]
    known = [_capability(value) for value in found]
    return Hardware("gpu", None if None in known else min(known))


def _capability(value):
    """Reads TensorFlow's `(8, 0)` or JAX's `"8.0"`; `None` for what is not CUDA's."""
    parts = value.split(".") if isinstance(value, str) else value or ()
    try:
        major, minor = map(int, parts)
    except ValueError:
        return None
    return major, minor


def check_batch_size(batch_size):
    """Refuses a batch that the devices of the current scope cannot share evenly.

    Raises:
        ValueError: If `batch_size` is not a multiple of the number of devices.
    """
    devices = num_devices()
    if batch_size % devices:
        raise ValueError(
            f"--batch-size must be a multiple of {devices}, the number of devices, "
            f"under --strategy mirrored. Received: {batch_size}"
        )


def validation_batch_size(num_images, batch_size):
    """Returns the least batch size that leaves no device without an image.

    A device that gets nothing of a short last batch fails.

    Args:
        num_images: int. Images to validate on.
        batch_size: int. The least size to return; a multiple of the devices.

    Raises:
        ValueError: If there are fewer images than devices.
    """
    devices = num_devices()
    if num_images < devices:
        raise ValueError(
            f"{num_images} validation images are too few for {devices} devices; pass "
            "--strategy none or add images"
        )
    while 0 < num_images % batch_size < devices:
        batch_size += devices
    return batch_size


def fused_normalization(x, scale, offset, statistics, epsilon):
    """Normalizes each channel, on the TensorFlow backend.

    Args:
        x: `(batch, height, width, channels)`, float32 or 16 bits.
        scale: float32 `(channels,)`, or `None` for ones.
        offset: float32 `(channels,)`, or `None` for zeros.
        statistics: Mean and variance to use, float32 `(channels,)` both; `None` for
            those of `x`.
        epsilon: float. Added to the variance.

    Returns:
        The normalized `x`, and the mean and variance that were used, float32
        `(channels,)`; the variance is the biased one.
    """
    import tensorflow as tf

    channels = x.shape[-1]
    mean, variance = statistics or ([], [])
    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=tf.ones(channels) if scale is None else tf.convert_to_tensor(scale),
        offset=tf.zeros(channels) if offset is None else tf.convert_to_tensor(offset),
        mean=tf.convert_to_tensor(mean, "float32"),
        variance=tf.convert_to_tensor(variance, "float32"),
        epsilon=epsilon,
        is_training=statistics is None,
    )
    if statistics is None:
        # The kernel returns the unbiased one, which torch keeps and Keras does not.
        values = tf.cast(tf.size(x) / channels, "float32")
        variance *= (values - 1.0) / values
    return y, mean, variance


def momentum_step(variable, velocity, gradient, learning_rate, momentum):
    """Moves a weight as `keras.optimizers.SGD` does, in one pass, on TensorFlow.

        velocity = momentum * velocity - learning_rate * gradient
        variable = variable + velocity

    Args:
        variable: float32 `tf.Variable`.
        velocity: `keras.Variable` of its shape.
        gradient: Tensor of its shape.
        learning_rate: Scalar.
        momentum: float.
    """
    import tensorflow as tf

    tf.raw_ops.ResourceApplyKerasMomentum(
        var=variable.handle,
        accum=velocity.value.handle,
        lr=tf.cast(learning_rate, variable.dtype),
        grad=gradient,
        momentum=momentum,
    )
