"""Small models for pages: what a browser and `predict` are to agree on."""

import dataclasses

import keras
import numpy as np

from synergynet_tf import runs
from synergynet_tf.config import DataConfig, ExperimentConfig, TrainingConfig
from synergynet_tf.export import card, tflite
from synergynet_tf.export.exported_model import find_exported
from synergynet_tf.models import build_model, quantizers
from tests.conftest import tiny_encoder
from tests.evaluation.squares import write_history
from tests.models import tiny

NUM_CODES = 16


def write_run(folder, names, values=None, channels=None, **data):
    """Writes a run's folder without its model; returns its card."""
    config = ExperimentConfig(
        data=DataConfig("phantom", split="official", **data),
        model=dataclasses.replace(
            tiny.TINY,
            name="synergynet-8s2h",
            num_codes=NUM_CODES,
            num_classes=1 if len(names) == 1 else 1 + len(names),
        ),
        training=TrainingConfig(epochs=3),
    )
    runs.write_text(folder / "config.json", config.to_json())
    runs.write_json(folder / "classes.json", names)
    runs.write_text(folder / runs.BEST_WEIGHTS, "")
    write_history(folder, 3)
    if values:
        table = dict(zip(names, values, strict=True))
        runs.write_json(folder / "labels.json", table)
    if channels:
        runs.write_json(folder / runs.CHANNELS, channels)
    return card.make_card(runs.Run(folder))


def export(folder, monkeypatch, names, kind="float16", **settings):
    """Exports a tiny model with random weights, whose codes lie where features do."""
    from synergynet_tf.models import ENCODERS

    folder.mkdir(exist_ok=True)
    made = write_run(folder / "run", names, **settings)
    monkeypatch.setitem(ENCODERS, "tiny", tiny_encoder)
    keras.utils.set_random_seed(3)
    config = runs.Run(folder / "run").config.model
    model = build_model(dataclasses.replace(config, backbone="tiny"))
    images = np.random.default_rng(1).random((32, 32, 32, 3), np.float32)
    for layer in quantizers(model):
        features = keras.Model(model.input, layer.input)(images)
        vectors = np.asarray(features).reshape(-1, config.hidden_dim)
        layer.codebook.assign(vectors[:NUM_CODES])
    # Every class is to appear: logits around 0, and well apart.
    head = model.layers[-1]
    kernel, bias = head.get_weights()
    logits = np.asarray(keras.Model(model.input, model.output)(images))
    head.set_weights([40 * kernel, bias - 40 * np.median(logits, axis=(0, 1, 2))])
    file = folder / "model.tflite"
    tflite.save(model, kind, (), made, file)
    return find_exported(file)
