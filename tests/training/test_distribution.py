"""Several devices train what one does; CPU devices stand for GPUs."""

import csv
import os
import pathlib
import subprocess
import sys

import keras
import pytest

from synergynet_tf.training import distribution

ROOT = pathlib.Path(__file__).parents[2]
PROGRAM = """
import functools, sys
import tensorflow as tf

(cpu,) = tf.config.list_physical_devices("CPU")
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
tf.distribute.MirroredStrategy = functools.partial(
    tf.distribute.MirroredStrategy, ["CPU:0", "CPU:1"]
)

from synergynet_tf.config import ExperimentConfig
from synergynet_tf.models import ENCODERS
from synergynet_tf.training import fit
from tests.conftest import tiny_encoder

ENCODERS["tiny"] = tiny_encoder
config = ExperimentConfig.from_json(sys.stdin.read())
for strategy in ("none", "mirrored"):
    fit(config.replace(strategy=strategy), f"{sys.argv[1]}/{strategy}")
"""

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tf.distribute needs TensorFlow"
)


@on_tensorflow
def test_two_devices_have_the_loss_of_one(tiny, tmp_path):
    subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        input=tiny.to_json(),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        check=True,
    )
    losses = {}
    for strategy in ("none", "mirrored"):
        with open(tmp_path / strategy / "history.csv", newline="") as file:
            losses[strategy] = [float(row["loss"]) for row in csv.DictReader(file)]
    # Not equal: batch normalization and Dice see half a batch on each device. A loss
    # that is not divided by the number of devices would be twice as large.
    assert losses["mirrored"] == pytest.approx(losses["none"], rel=0.1)


def test_a_batch_is_shared_evenly_or_refused(monkeypatch):
    monkeypatch.setattr(distribution, "num_devices", lambda: 3)
    distribution.check_batch_size(9)
    with pytest.raises(ValueError, match=r"--batch-size must be a multiple of 3.*: 8"):
        distribution.check_batch_size(8)


@pytest.mark.parametrize(
    ("images", "devices", "batch_size", "expected"),
    [
        (259, 1, 8, 8),
        (256, 4, 8, 8),  # No rest.
        (260, 4, 8, 8),  # A rest of 4 gives each device one.
        (259, 4, 8, 12),  # 8 leaves 3 for 4 devices; 12 leaves 7.
        (4, 4, 8, 8),
    ],
)
def test_no_device_goes_without_in_validation(
    monkeypatch, images, devices, batch_size, expected
):
    monkeypatch.setattr(distribution, "num_devices", lambda: devices)
    assert distribution.validation_batch_size(images, batch_size) == expected


def test_too_few_images_for_the_devices(monkeypatch):
    monkeypatch.setattr(distribution, "num_devices", lambda: 4)
    with pytest.raises(ValueError, match="3 validation images are too few for 4"):
        distribution.validation_batch_size(3, 8)


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="it is there")
def test_mirrored_needs_tensorflow():
    with pytest.raises(ValueError, match="--strategy none"):
        distribution.scope("mirrored")
