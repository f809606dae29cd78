"""Weights files: how a run's best weights are written and read."""

import dataclasses
import pathlib

import keras

from synergynet_tf import runs
from synergynet_tf.models.segmenter import build_model


def save_weights(model, path):
    """Writes the weights of `model` to `path` (`*.weights.h5`), whole or not at all.

    Only the layers' weights: a compiled model's optimizer would double the file.
    """
    bare = keras.Model(model.inputs, model.outputs, name=model.name)
    with runs.atomic_file(path) as temporary:
        bare.save_weights(temporary)


def load_run_model(run):
    """Rebuilds a run's model in float32, with its best weights.

    Args:
        run: Folder of the run.

    Returns:
        `keras.Model`, as `build_model` returns it. It computes in float32 whatever
        the run's training precision, so that scores and exports do not depend on it.

    Raises:
        FileNotFoundError: If the folder lacks its config or weights.
        ValueError: If they are damaged or do not belong together.
    """
    config = runs.read_config(run)
    path = runs.require_weights(run)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        model = build_model(dataclasses.replace(config.model, encoder_weights="none"))
    finally:
        keras.config.set_dtype_policy(before)
    try:
        model.load_weights(path)
    except Exception as error:
        # h5py and Keras raise half a dozen kinds for a damaged or foreign file.
        raise ValueError(
            f"{pathlib.Path(path)} cannot be loaded into {config.model.name}: "
            f"{error}. It is damaged or from another version; train the run again "
            "with --force."
        ) from error
    return model
