"""The ResNets are their authors', with the images that those were trained on."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras_hub.models import ResNetBackbone

from tests.models.test_encoders import arrays, images, network

__all__ = ["images"]  # A fixture


def scatter(model):
    """Gives every weight a random value, variances a positive one."""
    rng = np.random.default_rng(1)
    for weight in model.weights:
        low, high = (0.5, 1.5) if "variance" in weight.path else (-0.2, 0.3)
        if weight.path.endswith("kernel"):
            low, high = np.array([-1, 1]) / np.sqrt(np.prod(weight.shape[:-1]))
        weight.assign(rng.uniform(low, high, weight.shape))


@pytest.fixture(scope="module")
def scattered():
    """Gives published networks random weights; each is built once, by its name."""
    built = {}

    def build(name, network, *args, **arguments):
        if name not in built:
            built[name] = network(*args, **arguments)
            scatter(built[name])
        return built[name]

    return build


@pytest.mark.parametrize(
    ("name", "application", "ends"),
    [
        ("resnet50", keras.applications.ResNet50, (3, 4, 6, 3)),
        pytest.param(
            "resnet101",
            keras.applications.ResNet101,
            (3, 4, 23, 3),
            marks=pytest.mark.slow,
        ),
    ],
)
@pytest.mark.parametrize("weights", ["file", "imagenet"])
def test_features_are_those_of_keras_applications(
    name, application, ends, weights, scattered, images, tmp_path, monkeypatch
):
    path = str(tmp_path / "notop.weights.h5")
    shape = {"include_top": False, "input_shape": (32, 32, 3)}
    published = scattered(name, application, weights=None, **shape)
    published.save_weights(path)
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *_, **__: path)

    layers = ["conv1_relu"]
    layers += [f"conv{stage}_block{end}_out" for stage, end in enumerate(ends, 2)]
    outputs = [published.get_layer(layer).output for layer in layers]
    expected = keras.Model(published.input, outputs)(
        keras.applications.resnet50.preprocess_input(255 * images), training=False
    )
    model = network(name, path if weights == "file" else "imagenet")
    features = model(images, training=False)
    for feature, wanted in zip(
        arrays(features.values()), arrays(expected), strict=True
    ):
        assert np.ptp(wanted) > 0.1
        # Sums of float32: the order is the same, but for the normalization.
        np.testing.assert_allclose(feature, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "blocks", "preset"),
    [
        ("resnet18", [2, 2, 2, 2], "resnet_18_imagenet"),
        ("resnet34", [3, 4, 6, 3], "hf://timm/resnet34.a1_in1k"),
    ],
)
@pytest.mark.parametrize("weights", ["file", "imagenet"])
def test_features_are_those_of_keras_hub(
    name, blocks, preset, weights, scattered, images, tmp_path, monkeypatch
):
    sizes = ([64], [7], [64, 128, 256, 512], blocks, [1, 2, 2, 2], "basic_block")
    published = scattered(name, ResNetBackbone, *sizes)
    path = str(tmp_path / "model.weights.h5")
    published.save_weights(path)
    monkeypatch.setattr(ResNetBackbone, "from_preset", {preset: published}.__getitem__)

    # The converter of these presets: 255 deviations, and means, of ImageNet's colors.
    mean, deviation = np.array(
        [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], "float32"
    )
    pyramid = keras.Model(published.input, published.pyramid_outputs)
    expected = pyramid((images - mean) / deviation, training=False)
    features = network(name, path if weights == "file" else "imagenet")(
        images, training=False
    )
    for level in ("P2", "P3", "P4", "P5"):
        feature, wanted = arrays([features[level], expected[level]])
        assert np.ptp(wanted) > 0.1
        np.testing.assert_allclose(feature, wanted, rtol=1e-4, atol=1e-4)
    first = published.get_layer("conv1_relu").output
    wanted = keras.Model(published.input, first)((images - mean) / deviation)
    np.testing.assert_allclose(*arrays([features["P1"], wanted]), rtol=1e-4, atol=1e-4)


def test_legacy_keras_is_refused_in_words():
    code = """
import keras
from synergynet_tf.models.resnet import resnet18
try:
    resnet18(keras.Input((32, 32, 3)), "none")
except ImportError as error:
    print(error)
"""
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=pathlib.Path(__file__).parents[2],
        env={**os.environ, "TF_USE_LEGACY_KERAS": "1"},
        capture_output=True,
        text=True,
    )
    if importlib.util.find_spec("tf_keras") is None:
        assert "TF_USE_LEGACY_KERAS" in process.stdout
    else:
        assert process.returncode == 0
