import dataclasses

import keras
import numpy as np
import pytest

from synergynet_tf.models import ENCODERS, build_model
from synergynet_tf.models.folding import fold_normalizations
from tests.conftest import tiny_encoder
from tests.models.tiny import EACH_KIND, TINY


def normalizations(model):
    layers = model._flatten_layers()
    return [x for x in layers if isinstance(x, keras.layers.BatchNormalization)]


def trained(config, generator):
    """Returns a model whose normalizations have statistics, as training leaves them."""
    keras.utils.set_random_seed(0)
    model = build_model(config)
    for layer in normalizations(model):
        shape = layer.moving_mean.shape
        for weight, low, high in (
            (layer.moving_mean, -0.2, 0.2),
            (layer.moving_variance, 0.5, 2.0),
            (layer.gamma, 0.5, 1.5),
            (layer.beta, -0.2, 0.2),
        ):
            if weight is not None:
                weight.assign(generator.uniform(low, high, shape))
    return model


@pytest.mark.parametrize(
    ("name", "backbone"),
    [
        *((name, "tiny") for name in EACH_KIND.values()),
        ("r50-unet", "resnet18"),
        ("deeplabv3plus", "resnet50"),
        ("vqunet", "efficientnetlite0"),
        ("vqunet", "efficientnetb0"),
    ],
)
def test_folding_leaves_the_outputs_and_no_normalization(name, backbone, monkeypatch):
    monkeypatch.setitem(ENCODERS, "tiny", tiny_encoder)
    generator = np.random.default_rng(0)
    model = trained(dataclasses.replace(TINY, name=name, backbone=backbone), generator)
    images = generator.random((2, 32, 32, 3), "float32")
    expected = keras.ops.convert_to_numpy(model(images, training=False))
    fold_normalizations(model)
    found = keras.ops.convert_to_numpy(model(images, training=False))
    # Float32 rounding through some fifty convolutions.
    np.testing.assert_allclose(found, expected, atol=1e-4 * abs(expected).max())
    assert not np.array_equal(found, expected)
    assert [x.name for x in normalizations(model) if "call" not in vars(x)] == []


def test_folding_by_hand():
    image = keras.Input((1, 1, 1))
    x = keras.layers.Conv2D(2, 1, name="convolution")(image)
    normalization = keras.layers.BatchNormalization(epsilon=0.0)
    model = keras.Model(image, normalization(x))
    model.get_layer("convolution").set_weights(
        [np.array([3.0, 5.0]).reshape(1, 1, 1, 2), np.array([1.0, -1.0])]
    )
    # gamma, beta, mean, variance.
    normalization.set_weights(
        np.array([[2.0, 1.0], [10.0, 20.0], [1.0, 2.0], [4.0, 0.25]])
    )
    fold_normalizations(model)
    kernel, bias = model.get_layer("convolution").get_weights()
    # Scales are 2 / sqrt(4) = 1 and 1 / sqrt(0.25) = 2.
    np.testing.assert_allclose(kernel.ravel(), [3.0, 10.0])
    # 1 * (1 - 1) + 10, and 2 * (-1 - 2) + 20.
    np.testing.assert_allclose(bias, [10.0, 14.0])
    output = model(np.full((1, 1, 1, 1), 2.0, "float32"))
    np.testing.assert_allclose(np.ravel(output), [16.0, 34.0])


def test_a_convolution_that_is_read_twice_is_not_folded():
    image = keras.Input((2, 2, 1))
    x = keras.layers.Conv2D(2, 1)(image)
    normalized = keras.layers.BatchNormalization()(x)
    model = keras.Model(image, keras.layers.Add()([x, normalized]))
    before = model.get_weights()
    fold_normalizations(model)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_an_activation_between_the_two_is_not_folded():
    image = keras.Input((2, 2, 1))
    x = keras.layers.Conv2D(2, 1, activation="relu")(image)
    model = keras.Model(image, keras.layers.BatchNormalization()(x))
    before = model.get_weights()
    fold_normalizations(model)
    np.testing.assert_array_equal(before[0], model.get_weights()[0])
