"""What every layer must satisfy, called by each layer's test."""

import inspect

import keras
import numpy as np


def check_layer(cls, arguments, inputs, weights):
    """Builds, calls, trains and saves a layer.

    Args:
        cls: The layer's class.
        arguments: Its constructor's arguments, every one away from its default.
        inputs: Arrays that the layer is called with.
        weights: Expected numbers of trainable and other weights.
    """
    check_config(cls, arguments)
    layer = cls(**arguments)
    symbolic = [keras.Input(x.shape[1:]) for x in inputs]
    outputs = layer(*symbolic)
    counts = (len(layer.trainable_weights), len(layer.non_trainable_weights))
    assert counts == weights

    result = keras.ops.convert_to_numpy(layer(*inputs))
    assert result.shape == (len(inputs[0]), *outputs.shape[1:])
    assert np.isfinite(result).all()
    shapes = [x.shape for x in inputs]
    assert tuple(layer.compute_output_shape(*shapes)) == result.shape

    model = keras.Model(symbolic, outputs)
    if layer.trainable_weights:
        check_learns(model, inputs, np.ones(result.shape, "float32"))

    for policy in ("mixed_bfloat16", "mixed_float16"):
        mixed = cls(**arguments, dtype=policy)
        output = mixed(*(x.astype("float32") for x in inputs))
        assert keras.backend.standardize_dtype(output.dtype) == mixed.compute_dtype
        assert all(w.dtype == "float32" for w in mixed.weights)


def check_config(cls, arguments):
    """Every argument survives `get_config`, and the class is registered."""
    layer = cls(**arguments)
    config = layer.get_config()
    names = set(inspect.signature(cls.__init__).parameters)
    assert names - {"self", "kwargs", "args"} <= set(config)
    assert arguments.items() <= config.items()
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(layer)
    )
    assert type(again) is cls
    assert again.get_config() == config


def check_learns(model, inputs, targets):
    """One step of training moves every trainable weight, but not a key's bias.

    That one adds the same to all scores of a query, and their softmax stays.
    """
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = [keras.ops.convert_to_numpy(w) for w in model.trainable_weights]
    model.fit(inputs, targets, verbose=0)
    for weight, old in zip(model.trainable_weights, before, strict=True):
        if not weight.path.endswith("key/bias"):
            assert np.any(keras.ops.convert_to_numpy(weight) != old), weight.path
