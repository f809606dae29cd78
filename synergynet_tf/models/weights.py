"""Weights files: writing and checked loading."""

import dataclasses

import keras

from synergynet_tf.models.pretrained import load
from synergynet_tf.models.segmenter import build_model


def save_weights(model, path):
    """Writes the weights of `model` to `path`, `*.weights.h5`.

    Only the layers' weights: a compiled model's optimizer would double the file.
    """
    bare = keras.Model(model.inputs, model.outputs, name=model.name)
    bare.save_weights(path)


def load_weights(config, path):
    """Builds a model in float32 with the weights of a file.

    Args:
        config: `ModelConfig`.
        path: A file that `save_weights` wrote.

    Returns:
        `keras.Model`, as `build_model` returns it. It computes in float32 whatever
        the dtype policy, so that scores and exports do not depend on the precision
        of the training.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If the file is damaged or holds the weights of another model.
    """
    config = dataclasses.replace(config, encoder_weights="none", vit_weights="none")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        model = build_model(config)
    finally:
        keras.config.set_dtype_policy(before)
    try:
        load(model, path)
    except ValueError as error:
        raise ValueError(
            f"{path} cannot be loaded into {config.name}: {error}. It is damaged or of "
            "another model or version: put the right file back, or train the run again "
            "with --force."
        ) from error
    return model
