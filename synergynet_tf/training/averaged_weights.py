"""EMA of the weights: validated and saved instead of the raw ones."""

import contextlib

import keras
from keras import ops


class ValidateAverage(keras.callbacks.Callback):
    """Validates with the average of the weights, if the optimizer keeps one.

    Put it before the callbacks that save a checkpoint: these are served by `trained`.
    """

    def on_test_begin(self, logs=None):
        _exchange(self.model)

    def on_test_end(self, logs=None):
        _exchange(self.model)


@contextlib.contextmanager
def averaged(model):
    """Gives a model the average of its weights for the time of the block.

    Args:
        model: Compiled `keras.Model`; stays as it is if there is no average.
    """
    _exchange(model)
    try:
        yield
    finally:
        _exchange(model)


@contextlib.contextmanager
def trained(model):
    """Gives a model its own weights for the time of the block, also in validation."""
    exchanged = getattr(_optimizer(model), "exchanged", False)
    with averaged(model) if exchanged else contextlib.nullcontext():
        yield


def _exchange(model):
    """Swaps weights and averages."""
    optimizer = _optimizer(model)
    averages = getattr(optimizer, "averages", ())
    if not averages:
        return
    if keras.backend.backend() == "jax":
        model.jax_state_sync()
    for weight, average in zip(model.trainable_variables, averages, strict=True):
        before = ops.convert_to_numpy(weight).copy()
        weight.assign(ops.convert_to_numpy(average))
        average.assign(before)
    optimizer.exchanged = not getattr(optimizer, "exchanged", False)


def _optimizer(model):
    """Returns the optimizer of the weights: for float16, the scaler's inner one."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)
