"""A run whose scores are known by hand: white squares found by a threshold."""

import json
import pathlib

import cv2
import keras
import numpy as np

from synergynet_tf import runs
from synergynet_tf.config import (
    DataConfig,
    ExperimentConfig,
    ModelConfig,
    TrainingConfig,
)
from synergynet_tf.evaluation.cases import find_cases
from synergynet_tf.evaluation.evaluate import evaluate_run
from synergynet_tf.evaluation.label_files import label_files

SIZE = 32
# Rows and columns of the white square, and of the reference's.
CASES = {
    "half": ((8, 8), (8, 16)),
    "missed": ((0, 0), (4, 4)),
    "nothing": ((0, 0), (0, 0)),
    "perfect": ((8, 8), (8, 8)),
}


def square(rows, columns):
    """Returns a black picture with a white square in its corner."""
    pixels = np.zeros((SIZE, SIZE), np.uint8)
    pixels[:rows, :columns] = 255
    return pixels


def write_data(root):
    """Writes the cases as a folder dataset: all for testing, two to train on."""
    root = pathlib.Path(root)
    for part, names in (("test", CASES), ("train", ("half", "perfect"))):
        for folder in ("images", "masks"):
            (root / part / folder).mkdir(parents=True)
        for name in names:
            image, mask = CASES[name]
            cv2.imwrite(str(root / part / "images" / f"{name}.png"), square(*image))
            cv2.imwrite(str(root / part / "masks" / f"{name}.png"), square(*mask))
    (root / "classes.json").write_text(json.dumps({"square": 255}))
    return root


def write_history(run, epochs):
    row = {"loss": 0.5, "val_loss": 0.6, "dsc": 0.8, "val_dsc": 0.7}
    rows = [{"epoch": epoch + 1, **row} for epoch in range(epochs)]
    runs.write_csv(run / "history.csv", rows)


def write_run(folder, data, model="r50-unet", seed=0, epochs=3):
    """Writes a finished run without a model: `build_model` stands for it."""
    config = ExperimentConfig(
        data=DataConfig("folder", str(data), split="official"),
        model=ModelConfig(model, image_size=SIZE),
        training=TrainingConfig(epochs=epochs, seed=seed),
    )
    run = runs.run_dir(folder, config)
    runs.write_text(run / "config.json", config.to_json())
    runs.write_json(run / "classes.json", ["square"])
    runs.write_text(run / runs.BEST_WEIGHTS, "")
    write_history(run, epochs)
    runs.write_json(run / runs.FINISHED, {})
    return run


def build_model(run=None):
    """Returns a model whose logit is the red channel minus one half.

    In place of `load_run_model`, it asks the run for its weights as that does.
    """
    if run is not None:
        run.weights()
    image = keras.Input((SIZE, SIZE, 3))
    layer = keras.layers.Conv2D(1, 1, name="logits")
    model = keras.Model(image, layer(image))
    layer.set_weights([np.array([1, 0, 0]).reshape(1, 1, 3, 1), np.array([-0.5])])
    return model


def label(run, paths, output):
    """Labels files as predict.py does with the run."""
    return label_files(build_model(), runs.Run(run), paths, output)


def evaluate(run, part="test", data_dir=None, **settings):
    """Scores a run as evaluate.py does; returns what `metrics.json` holds."""
    cases = find_cases(runs.Run(run), part, data_dir)
    return evaluate_run(cases, **settings).to_json()


def make_run(folder, monkeypatch):
    """Writes data and a run of it, and lets `build_model` stand for its weights."""
    for module in ("evaluate", "predictor", "figures.panels", "robustness.score"):
        target = f"synergynet_tf.evaluation.{module}.load_run_model"
        monkeypatch.setattr(target, build_model)
    return write_run(folder / "runs", write_data(folder / "data"))
