"""Checkpoints: everything that continues a run exactly, in one file.

    checkpoints/epoch_0007.npz              after 7 epochs
                epoch_0007_step_000120.npz  after 120 more steps

Each holds every variable of model and optimizer, and a log, and ends in the SHA-256 of
the rest. The last two are kept: should the newest be damaged, the one before it
continues.
"""

import json
import math
import pathlib
import re
import sys
import zipfile
import zlib

import keras
import numpy as np
from keras import ops

from synergynet_tf import runs
from synergynet_tf.training.averaged_weights import trained

_KEPT = 2
_LOG = "log"
# Errors that NumPy raises for a file that is cut, empty or altered.
_DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


def save(model, folder, epoch, log, step=0):
    """Writes the state after `epoch` epochs and removes files that are too old.

    Args:
        model: Compiled `keras.Model` whose optimizer is built.
        folder: Folder of the checkpoints.
        epoch: int. Number of finished epochs.
        log: Further data to keep; anything that JSON takes.
        step: int. Number of finished steps of the next epoch.
    """
    sync(model)
    with trained(model):
        arrays = {
            key: np.array(ops.convert_to_numpy(v))
            for key, v in _variables(model).items()
        }
    name = f"epoch_{epoch:04d}" + (f"_step_{step:06d}" if step else "")
    with runs.atomic_file(pathlib.Path(folder, f"{name}.npz")) as temporary:
        np.savez(temporary, **{_LOG: np.array(json.dumps(log))}, **arrays)
        runs.seal(temporary)
    for old in _files(folder)[:-_KEPT]:
        old.unlink()


def restore(model, folder):
    """Continues from the newest checkpoint that can be read.

    Args:
        model: Model as for `save`, of the same config.
        folder: Folder of the checkpoints.

    Returns:
        The log of the checkpoint, or `None` if there is no checkpoint.

    Raises:
        ValueError: If there are checkpoints and none can be used.
    """
    variables = _variables(model)
    files = _files(folder)
    for path in reversed(files):
        try:
            log, arrays = _read(path, variables)
        except _DAMAGED as error:
            print(f"{path} cannot be used ({error})", file=sys.stderr)
            continue
        for key, array in arrays.items():
            variables[key].assign(array)
        return log
    if files:
        raise ValueError(
            f"No checkpoint in {folder} can be used. Train the run again with --force."
        )
    return None


def sync(model):
    """Brings the model's variables up to date; only JAX keeps them elsewhere."""
    if keras.backend.backend() == "jax":
        model.jax_state_sync()


def size(model):
    """Returns the bytes of a checkpoint, without its log and its table."""
    return sum(math.prod(v.shape) * 4 for v in _variables(model).values())


def _read(path, variables):
    """Reads a file whole before anything is assigned."""
    runs.check_seal(path)
    with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
        if set(file.files) != {_LOG, *variables}:
            raise ValueError("it is of another model")
        log = json.loads(str(file[_LOG]))
        arrays = {key: file[key] for key in variables}
    for key, array in arrays.items():
        if array.shape != tuple(variables[key].shape):
            raise ValueError(f"{key} has the shape {array.shape}")
    return log, arrays


def _variables(model):
    """Names every variable that the next step depends on, in a fixed order.

    Numbers that Keras appends to a name are left out: they depend on what else the
    process has built. `/` separates folders in a zip file, hence the `:`.
    """
    groups = {
        "model": model.trainable_variables + model.non_trainable_variables,
        "optimizer": model.optimizer.variables,
    }
    return {
        f"{group}:{number:04d}:{_plain(variable.path)}": variable
        for group, variables in groups.items()
        for number, variable in enumerate(variables)
    }


def _plain(path):
    return re.sub(r"_\d+(?=/|$)", "", path).replace("/", ":")


def _files(folder):
    def numbers(path):
        return [int(number) for number in re.findall(r"\d+", path.stem)]

    return sorted(pathlib.Path(folder).glob("epoch_*.npz"), key=numbers)
