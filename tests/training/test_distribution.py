"""Which devices train, and which batches they can share."""

import importlib.util
import os
import pathlib
import subprocess

import keras
import pytest

from synergynet_tf.training import distribution
from tests.training import tiny_fit

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def devices(monkeypatch):
    """Pretends that a backend has so many devices."""

    def pretend(backend, number):
        monkeypatch.setattr(keras.backend, "backend", lambda: backend)
        monkeypatch.setattr(distribution, "num_devices", lambda: number)

    return pretend


@pytest.mark.parametrize(
    ("backend", "batch_size", "rule"),
    [
        ("tensorflow", 3, None),
        ("tensorflow", 8, None),  # 2, 3 and 3 images.
        ("tensorflow", 2, "at least 3"),
        ("jax", 9, None),
        ("jax", 8, "a multiple of 3"),
    ],
)
def test_a_batch_is_shared_or_refused(devices, backend, batch_size, rule):
    devices(backend, 3)
    if rule is None:
        distribution.check_batch_size(batch_size)
        return
    with pytest.raises(
        ValueError, match=rf"--batch-size must be {rule},.*: {batch_size}"
    ):
        distribution.check_batch_size(batch_size)


@pytest.mark.parametrize(
    ("images", "number", "batch_size", "expected"),
    [
        (259, 1, 8, 8),
        (256, 4, 8, 8),  # No rest.
        (260, 4, 8, 8),  # A rest of 4 gives each device one.
        (259, 4, 8, 9),  # 8 leaves 3 for 4 devices; 9 leaves 7.
        (4, 4, 8, 8),
    ],
)
def test_no_device_goes_without_in_validation(
    devices, images, number, batch_size, expected
):
    devices("tensorflow", number)
    assert distribution.validation_batch_size(images, batch_size) == expected


@pytest.mark.parametrize(("images", "expected"), [(256, 8), (259, 9), (4, 8)])
def test_jax_divides_all_batches_of_the_validation_or_none(devices, images, expected):
    devices("jax", 4)
    assert distribution.validation_batch_size(images, 8) == expected


def test_too_few_images_for_the_devices(devices):
    devices("tensorflow", 4)
    with pytest.raises(ValueError, match="3 validation images are too few for 4"):
        distribution.validation_batch_size(3, 8)


def test_a_device_that_is_not_there():
    with (
        pytest.raises(ValueError, match=r"--devices must be below \d+, .*: 1000"),
        distribution.scope("mirrored", "0 1000"),
    ):
        pass


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="it has them")
def test_several_machines_need_tensorflow():
    with (
        pytest.raises(ValueError, match="--strategy multiworker needs the TensorFlow"),
        distribution.scope("multiworker"),
    ):
        pass


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="jax is not installed")
def test_two_devices_of_jax_train_as_one_does(tiny, tmp_path):
    config = tiny_fit.still(tiny).replace(batch_size=4)
    many = config.replace(strategy="mirrored", devices="1 2")
    subprocess.run(
        tiny_fit.command((config, tmp_path / "one"), (many, tmp_path / "many")),
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "KERAS_BACKEND": "jax",
            "XLA_FLAGS": "--xla_force_host_platform_device_count=3",
        },
        check=True,
    )
    one, many = (tiny_fit.history(tmp_path / name) for name in ("one", "many"))
    assert [row["epoch"] for row in many] == [1, 2]
    for row, other in zip(one, many, strict=True):
        assert other == pytest.approx(row, rel=1e-4)
