"""A run of version 0.1, from before attention was normalized, gives its old labels.

`tests/old_run` holds what that version wrote, of synergynet-8s2h on a ResNet-18, but
for the weights: their names and shapes in its file, filled here with the numbers that
it predicted `labels.npy` with.
"""

import json
import pathlib

import h5py
import keras
import numpy as np

from synergynet_tf import runs
from synergynet_tf.models.weights import load_weights

RUN = pathlib.Path(__file__).parent / "old_run"


def write_weights(path):
    """Writes a weights file of that version, with numbers of a seed."""
    shapes = json.loads((RUN / "weights.json").read_text("utf-8"))
    generator = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for name, shape in sorted(shapes.items()):
            if len(shape) > 1:
                scale = np.sqrt(2 / np.prod(shape[:-1]))
                values = generator.normal(0, scale, shape)
            else:
                values = generator.uniform(0.5, 1.5, shape)
            file[name] = values.astype("float32")


def test_old_labels(tmp_path):
    config = runs.Run(RUN).config
    assert (config.model.attention, config.model.vq_loss) == ("paper", "mean")
    assert (config.optimizer.optimizer, config.optimizer.spared) == ("sgd", "none")
    assert runs.Run(RUN).class_names == ("cavity", "wall", "crescent")
    write_weights(tmp_path / "best.weights.h5")
    model = load_weights(config.model, tmp_path / "best.weights.h5")
    images = np.random.default_rng(1).random((4, 32, 32, 3), "float32")
    logits = keras.ops.convert_to_numpy(model(images, training=False))
    np.testing.assert_array_equal(logits.argmax(axis=-1), np.load(RUN / "labels.npy"))
