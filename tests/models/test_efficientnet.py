"""EfficientNets are their authors', with the images that those were trained on."""

import keras
import numpy as np
import pytest

from tests.models.test_encoders import arrays, images, network
from tests.models.test_resnet import scatter

__all__ = ["images"]  # A fixture

MEAN = np.array([0.485, 0.456, 0.406], "float32")
DEVIATION = np.array([0.229, 0.224, 0.225], "float32")
BOTH = [
    ("efficientnetb0", keras.applications.EfficientNetB0),
    pytest.param(
        "efficientnetb7", keras.applications.EfficientNetB7, marks=pytest.mark.slow
    ),
]


def publish(application, variance, path):
    """Writes a file as Keras publishes it, with these numbers to normalize by."""
    published = application(include_top=False, weights=None, input_shape=(32, 32, 3))
    scatter(published)
    layers = published.layers
    (own,) = [x for x in layers if isinstance(x, keras.layers.Normalization)]
    own.set_weights([MEAN, variance, np.array(0)])
    published.save_weights(path)


def ends(published):
    """Returns the last output of the stages before a stride, and of the last one."""
    last = {layer.name[:6]: layer.output for layer in published.layers}
    names = ("block1", "block2", "block3", "block5", "block7")
    return keras.Model(published.input, [last[name] for name in names])


@pytest.mark.parametrize(("name", "application"), BOTH)
def test_features_of_a_file_are_those_of_keras_applications(
    name, application, images, tmp_path
):
    path = str(tmp_path / "notop.weights.h5")
    publish(application, DEVIATION**2, path)
    published = application(include_top=False, weights=path, input_shape=(32, 32, 3))
    check_equal(name, path, published, images)


@pytest.mark.parametrize(("name", "application"), BOTH)
def test_features_of_imagenet_are_those_of_keras_applications(
    name, application, images, tmp_path, monkeypatch
):
    path = str(tmp_path / "notop.weights.h5")
    # The published file has the deviation here, and its network a layer against it.
    publish(application, DEVIATION, path)
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *_, **__: path)
    published = application(
        include_top=False, weights="imagenet", input_shape=(32, 32, 3)
    )
    check_equal(name, "imagenet", published, images)


def check_equal(name, weights, published, images):
    expected = ends(published)(255 * images, training=False)
    features = network(name, weights)(images, training=False)
    for feature, wanted in zip(
        arrays(features.values()), arrays(expected), strict=True
    ):
        assert np.ptp(wanted) > 0.1
        # Sums of float32: the order is the same, but for the normalization.
        np.testing.assert_allclose(feature, wanted, rtol=1e-3, atol=1e-4)


def test_lite0_is_b0_without_squeeze_and_with_relu6():
    b0, lite0 = network("efficientnetb0"), network("efficientnetlite0")
    names = [{layer.name for layer in model.layers} for model in (b0, lite0)]
    assert {
        name.split("_se_")[1] for name in names[0] - names[1] if "_se_" in name
    } == {
        "squeeze",
        "reduce",
        "expand",
        "excite",
    }
    assert all("_se_" in name for name in names[0] - names[1] if "block" in name)
    activations = {
        layer.activation.__name__
        for layer in lite0.layers
        if isinstance(layer, keras.layers.Activation)
    }
    assert activations == {"relu6"}


def test_lite0_takes_images_as_its_authors_did(images):
    normalized = network("efficientnetlite0").get_layer("normalization")(images)
    np.testing.assert_allclose(
        *arrays([normalized, (255 * images - 127) / 128]), atol=1e-6
    )
