"""Readers of weights: ours, pretrained ones, torch's, and checkpoints."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from typing import Any

import numpy as np

from benchmarks.hostile import samples
from benchmarks.hostile.samples import Reader
from synergynet_tf.config import ModelConfig

SIZE = 32
SMALL = ModelConfig("r50-unet", "efficientnetlite0", SIZE, encoder_weights="none")
VIT = dataclasses.replace(SMALL, name="transunet", vit_layers=1, vit_dim=64)


def read_torch(folder: pathlib.Path) -> Any:
    """Reads a state dict, as the conversion of Lite0 does."""
    from synergynet_tf.models.torch_file import read_tensors

    (path,) = folder.iterdir()
    try:
        return read_tensors(path)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _model(folder: pathlib.Path, real: pathlib.Path | None) -> pathlib.Path:
    from synergynet_tf.models import build_model
    from synergynet_tf.models.weights import save_weights

    save_weights(build_model(SMALL), folder / "best.weights.h5")
    return folder / "best.weights.h5"


def read_model(folder: pathlib.Path) -> Any:
    """Loads a run's weights."""
    from synergynet_tf.models.weights import load_weights

    return load_weights(SMALL, folder / "best.weights.h5").get_weights()


def _encoder(folder: pathlib.Path, real: pathlib.Path | None) -> pathlib.Path:
    import keras

    from synergynet_tf.models.efficientnet import efficientnetlite0

    image = keras.Input((SIZE, SIZE, 3))
    network = keras.Model(image, efficientnetlite0(image, "none"))
    network.save_weights(folder / "lite0.weights.h5")
    return folder / "lite0.weights.h5"


def read_encoder(folder: pathlib.Path) -> Any:
    """Loads an encoder's weights from a file."""
    import keras

    from synergynet_tf.models.encoders import encode

    image, path = keras.Input((SIZE, SIZE, 3)), folder / "lite0.weights.h5"
    features = encode(image, "efficientnetlite0", str(path))
    return keras.Model(image, features).get_weights()


@functools.cache
def _transformer() -> Any:
    from synergynet_tf.models import build_model

    return build_model(VIT)


def _vit(folder: pathlib.Path, real: pathlib.Path | None) -> pathlib.Path:
    from synergynet_tf.models import vit_weights

    arrays = {k: np.array(v) for k, v in vit_weights._variables(_transformer()).items()}
    positions = next(iter(arrays))  # The file has them as tokens, one for the class.
    arrays[positions] = np.zeros((1, 5, 64), np.float32)
    np.savez(folder / "vit.npz", allow_pickle=False, **arrays)
    return folder / "vit.npz"


def read_vit(folder: pathlib.Path) -> Any:
    """Loads a transformer's weights."""
    from synergynet_tf.models.vit_weights import load_vit_weights

    load_vit_weights(_transformer(), str(folder / "vit.npz"))
    return _transformer().get_weights()


@functools.cache
def _trained() -> Any:
    import keras

    image = keras.Input((4,))
    model = keras.Model(image, keras.layers.Dense(3, name="dense")(image))
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def _checkpoint(folder: pathlib.Path, real: pathlib.Path | None) -> pathlib.Path:
    from synergynet_tf.training import checkpoint

    checkpoint.save(_trained(), folder, 1, [{"epoch": 1, "loss": 0.5}])
    return next(folder.glob("*.npz"))


def read_checkpoint(folder: pathlib.Path) -> Any:
    """Continues a training."""
    from synergynet_tf.training import checkpoint

    return checkpoint.restore(_trained(), folder), _trained().get_weights()


READERS = {
    "torch .pth": Reader(samples.torch(zipped=True), "torch", read_torch),
    "torch .pth until 1.5": Reader(samples.torch(zipped=False), "", read_torch),
    "best.weights.h5": Reader(_model, "hdf5", read_model, slow=True),
    "encoder .weights.h5": Reader(_encoder, "hdf5", read_encoder, slow=True),
    "transformer .npz": Reader(_vit, "npz", read_vit),
    "checkpoint .npz": Reader(_checkpoint, "npz", read_checkpoint),
}
