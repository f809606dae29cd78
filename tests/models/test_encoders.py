import dataclasses

import keras
import numpy as np
import pytest

from synergynet_tf.config import ModelConfig
from synergynet_tf.models import BACKBONES, ENCODERS, build_model
from synergynet_tf.models.encoders import encode
from synergynet_tf.models.weights import load_weights, save_weights

HEAVY = ("resnet101", "efficientnetb7")
EVERY = [
    pytest.param(name, marks=[pytest.mark.slow] if name in HEAVY else [])
    for name in ENCODERS
]


def network(name, weights="none", size=32):
    image = keras.Input((size, size, 3))
    return keras.Model(image, encode(image, name, weights))


def arrays(tensors):
    return [keras.ops.convert_to_numpy(tensor) for tensor in tensors]


@pytest.fixture
def images():
    return np.random.default_rng(0).random((4, 32, 32, 3), "float32")


@pytest.mark.parametrize("name", EVERY)
def test_every_encoder_halves_the_image_five_times(name):
    features = network(name, size=64).output
    assert list(features) == ["P1", "P2", "P3", "P4", "P5"]
    sizes = [feature.shape[1:3] for feature in features.values()]
    assert sizes == [(32, 32), (16, 16), (8, 8), (4, 4), (2, 2)]
    channels = tuple(feature.shape[-1] for feature in features.values())
    assert channels == BACKBONES[name].channels


@pytest.mark.parametrize("name", EVERY)
def test_only_the_normalization_stays_float32_in_sixteen_bits(
    name, images, restore_policy
):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = network(name)
    assert {x.dtype for x in model.output.values()} == {"bfloat16"}
    assert {weight.dtype for weight in model.weights} == {"float32"}
    (normalized,) = arrays([model.get_layer("normalization")(images)])
    # A pixel more of 255 is one more, after each encoder's scaling.
    (brighter,) = arrays([model.get_layer("normalization")(images + 1 / 255)])
    assert normalized.dtype == "float32"
    assert np.min(brighter - normalized) > 0.99 / 128


@pytest.mark.parametrize("name", EVERY)
def test_every_encoder_trains(name, images):
    keras.utils.set_random_seed(0)
    model = network(name)
    normalizations = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert {layer.momentum for layer in normalizations} == {0.9}
    targets = {key: np.ones((4, *x.shape[1:])) for key, x in model.output.items()}
    model.compile(
        keras.optimizers.SGD(0.1),
        {key: "mse" for key in targets},
        # TensorFlow is quicker without a graph for one step; JAX is not.
        run_eagerly=keras.backend.backend() == "tensorflow",
    )
    before = arrays(model.weights)
    model.train_on_batch(images, targets)
    still = [
        weight.path
        for weight, old, new in zip(
            model.weights, before, arrays(model.weights), strict=True
        )
        if np.array_equal(old, new)
    ]
    # A convolution's bias before a normalization cancels out.
    assert [path for path in still if not path.endswith("_conv/bias")] == []


@pytest.mark.parametrize("name", EVERY)
def test_every_encoder_is_saved_in_a_model(name, images, tmp_path):
    config = ModelConfig(
        name="r50-unet", backbone=name, image_size=32, encoder_weights="none"
    )
    model = build_model(config)
    path = tmp_path / "best.weights.h5"
    save_weights(model, path)
    again = load_weights(dataclasses.replace(config, encoder_weights="imagenet"), path)
    np.testing.assert_array_equal(
        *arrays([model(images, training=False), again(images, training=False)])
    )


def test_unreachable_imagenet_names_both_ways_out(monkeypatch):
    def refuse(*args, **kwargs):
        raise Exception("URL fetch failure")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", refuse)
    for name in ("resnet50", "efficientnetb0"):
        with pytest.raises(
            OSError, match=r"--encoder-weights PATH.*--encoder-weights none"
        ):
            network(name, "imagenet")


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("resnet18", "ResNet-18"),
        ("resnet50", "ResNet50"),
        ("efficientnetb0", "EfficientNetB0"),
        ("efficientnetlite0", "EfficientNet-Lite0"),
    ],
)
def test_wrong_weights_file_is_named(name, called, tmp_path):
    path = tmp_path / "other.weights.h5"
    path.write_bytes(b"not hdf5")
    with pytest.raises(ValueError, match=rf"other\.weights\.h5.*{called}"):
        network(name, str(path))
    with pytest.raises(FileNotFoundError, match=r"no weights file .*missing\.h5"):
        network(name, str(tmp_path / "missing.h5"))


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "lite0.weights.h5"
    network("efficientnetlite0").save_weights(path)
    with pytest.raises(ValueError, match=r"lite0\.weights\.h5.*EfficientNetB0"):
        network("efficientnetb0", str(path))
