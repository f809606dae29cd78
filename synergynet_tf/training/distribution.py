"""Devices: the one place of training that knows TensorFlow."""

import contextlib

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
