"""The training also runs where JAX is and TensorFlow is not."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from synergynet_tf import runs
from synergynet_tf.config import RECIPES
from synergynet_tf.models.weights import load_weights

ROOT = pathlib.Path(__file__).parents[2]
PROGRAM = """
import sys


class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "tensorboard"):
            raise ImportError(f"{name} is not installed here")


sys.meta_path.insert(0, Refuse())

from synergynet_tf.config import ExperimentConfig
from synergynet_tf.models import ENCODERS
from synergynet_tf.models.weights import load_weights
from synergynet_tf.training import fit
from tests.conftest import tiny_encoder

ENCODERS["tiny"] = tiny_encoder
config = ExperimentConfig.from_json(sys.stdin.read())
fit(config, sys.argv[1])

import numpy as np

image = np.random.default_rng(0).random((2, 32, 32, 3), "float32")
model = load_weights(config.model, f"{sys.argv[1]}/best.weights.h5")
np.save(f"{sys.argv[1]}/logits.npy", np.asarray(model(image, training=False)))
"""


@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="jax is not installed")
@pytest.mark.parametrize(
    "recipe", ["modern", pytest.param("paper", marks=pytest.mark.slow)]
)
def test_training_on_jax_without_tensorflow(recipe, tiny, tmp_path):
    tiny = tiny.replace(**RECIPES[recipe])
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT)}
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        input=tiny.to_json(),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert runs.Run(tmp_path).is_finished()
    # The other backend reads what this one wrote, and computes the same.
    image = np.random.default_rng(0).random((2, 32, 32, 3), "float32")
    model = load_weights(tiny.model, tmp_path / runs.BEST_WEIGHTS)
    here = keras.ops.convert_to_numpy(model(image, training=False))
    # Sums of float32 in another order.
    np.testing.assert_allclose(here, np.load(tmp_path / "logits.npy"), atol=1e-4)
