"""Small models to export, and the cards of runs that might have trained them."""

import dataclasses

import keras
import numpy as np

from synergynet_tf import runs
from synergynet_tf.config import (
    DataConfig,
    ExperimentConfig,
    ModelConfig,
    TrainingConfig,
)
from synergynet_tf.export import card
from synergynet_tf.models import ENCODERS, build_model, quantizers
from tests.conftest import tiny_encoder
from tests.evaluation.squares import write_history
from tests.models import tiny

SIZE = 32
TINY = dataclasses.replace(tiny.TINY, backbone="tiny", hidden_dim=32, num_codes=64)


def tiny_model(monkeypatch, name, backbone="tiny"):
    """A method on a small encoder, whose codes lie where the features do."""
    monkeypatch.setitem(ENCODERS, "tiny", tiny_encoder)
    keras.utils.set_random_seed(0)
    model = build_model(dataclasses.replace(TINY, name=name, backbone=backbone))
    for layer in quantizers(model):
        features = keras.Model(model.input, layer.input)(images(16))
        vectors = np.asarray(features).reshape(-1, TINY.hidden_dim)
        layer.codebook.assign(vectors[: TINY.num_codes])
    return model


def images(count=8):
    """Returns noise as the network takes it, the same at each call."""
    size = (TINY.image_size, TINY.image_size, 3)
    return np.random.default_rng(1).random((count, *size), np.float32)


def small_model(classes):
    """A model with weights that training moves and weights that it does not."""
    keras.utils.set_random_seed(0)
    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(8, 3, padding="same")(image)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dropout(0.5)(keras.layers.ReLU()(x))
    return keras.Model(image, keras.layers.Conv2D(classes, 1)(x))


def make_card(folder, modality="rgb", classes=1, channels="", image_channels=None):
    """Returns the card of a run with that many logits; its folder is made."""
    config = ExperimentConfig(
        data=DataConfig(
            "phantom", split="official", modality=modality, channels=channels
        ),
        model=ModelConfig("r50-unet", image_size=SIZE, num_classes=classes),
        training=TrainingConfig(epochs=3),
    )
    names = [f"organ{number}" for number in range(1, max(2, classes))]
    runs.write_text(folder / "config.json", config.to_json())
    runs.write_json(folder / "classes.json", names)
    runs.write_text(folder / runs.BEST_WEIGHTS, "")
    write_history(folder, 3)
    if image_channels is not None:
        runs.write_json(folder / runs.CHANNELS, image_channels)
    return card.make_card(runs.Run(folder))


def random_pixels(*shape, dtype=np.uint8):
    """Returns noise, the same at each call."""
    top = np.iinfo(dtype).max
    return np.random.default_rng(0).integers(0, top, shape, dtype, endpoint=True)
