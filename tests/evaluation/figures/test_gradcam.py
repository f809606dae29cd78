import dataclasses

import keras
import numpy as np
import pytest

from synergynet_tf.evaluation.figures.gradcam import GradCam
from synergynet_tf.models import BOTTLENECK, ENCODERS, build_model
from synergynet_tf.models.folding import fold_normalizations
from tests.conftest import tiny_encoder
from tests.models.tiny import EACH_KIND, TINY

# The gradients pass the decoder alone: one method with each is enough for a start.
QUICK = {d: name for (_, d), name in reversed(EACH_KIND.items())}.values()


@pytest.fixture
def build(monkeypatch):
    """Builds a tiny model that has normalized something, and finds each class."""
    monkeypatch.setitem(ENCODERS, "tiny", tiny_encoder)
    keras.utils.set_random_seed(1)

    def build_named(name, num_classes=3):
        config = dataclasses.replace(
            TINY, name=name, backbone="tiny", num_classes=num_classes
        )
        model = build_model(config)
        rng = np.random.default_rng(1)
        for weight in model.weights:
            if weight.path.endswith("normalization/moving_variance"):
                weight.assign(rng.uniform(0.01, 0.1, weight.shape))
        head = model.get_layer("logits")
        if num_classes == 3:
            # What speaks against one class speaks for the other: one has a map.
            kernel = keras.ops.convert_to_numpy(head.kernel).copy()
            kernel[..., 0], kernel[..., 2] = 0, -kernel[..., 1]
            head.kernel.assign(kernel)
        images = rng.random((4, 32, 32, 3), "float32")
        logits = keras.ops.convert_to_numpy(model(images, training=False))
        head.bias.assign(-logits.mean(axis=(0, 1, 2)))
        return model

    return build_named


@pytest.fixture
def image():
    return np.random.default_rng(0).random((32, 32, 3), "float32")


def by_tape(model, image, label):
    """Grad-CAM by TensorFlow's own gradients, from the bottleneck to the logits."""
    import tensorflow as tf

    both = keras.Model(model.input, [model.get_layer(BOTTLENECK).output, model.output])
    with tf.GradientTape() as tape:
        features, logits = both(image[None], training=False)
        if logits.shape[-1] == 1:
            channel, found = 0, logits[..., 0] > 0
        else:
            channel, found = label, tf.argmax(logits, axis=-1) == label
        score = tf.reduce_sum(tf.boolean_mask(logits[..., channel], found))
    gradient = tape.gradient(score, features).numpy()[0]
    features, map_ = features.numpy()[0], 0
    for k in range(features.shape[-1]):
        map_ = map_ + gradient[..., k].mean() * features[..., k]
    return map_.clip(0)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's tape")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow])
        for name in EACH_KIND.values()
    ],
)
def test_maps_are_those_of_the_gradient_tape(build, image, name):
    model = build(name)
    before = [keras.ops.convert_to_numpy(weight) for weight in model.weights]
    logits = keras.ops.convert_to_numpy(model(image[None], training=False))
    expected = {
        label: by_tape(model, image, label)
        for label in np.unique(logits.argmax(axis=-1)).tolist()
        if label
    }
    assert expected and any(map_.any() for map_ in expected.values())
    maps = GradCam(model)(image)
    assert maps.keys() == expected.keys()
    for label, map_ in maps.items():
        tolerance = 1e-4 * expected[label].max() + 1e-7  # Of float32 sums.
        np.testing.assert_allclose(map_, expected[label], atol=tolerance)
    for weight, old in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), old)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's tape")
def test_one_class_has_one_channel(build, image):
    model = build("vqunet", num_classes=1)
    expected = by_tape(model, image, 1)
    (map_,) = GradCam(model)(image).values()
    assert expected.any()
    np.testing.assert_allclose(map_, expected, atol=1e-4 * expected.max())


def test_the_map_of_a_linear_head_by_hand():
    """Logits are `A` times a weight: `alpha` is the mean of what found pixels pass."""
    x = keras.Input((2, 2, 3))
    features = keras.layers.Identity(name=BOTTLENECK)(x)
    head = keras.layers.Conv2D(1, 1)
    model = keras.Model(x, head(features))
    head.set_weights([np.array([2.0, -1.0, 0.0]).reshape(1, 1, 3, 1), np.zeros(1)])
    image = np.zeros((2, 2, 3), "float32")
    image[0, 0], image[0, 1], image[1, 0] = (1, 0, 5), (0, 3, 5), (1, 1, 5)
    # Logits 2, -3, 1, 0: two of four pixels are found, so alpha = (2, -1, 0) / 2.
    expected = np.array([[1, 0], [0.5, 0]])
    cam = GradCam(model)
    np.testing.assert_allclose(cam(image)[1], expected, atol=1e-6)
    # The step before leaves nothing behind.
    np.testing.assert_allclose(cam(image)[1], expected, atol=1e-6)
    assert cam(np.zeros((2, 2, 3), "float32")) == {}


def test_folded_normalizations_change_no_map(build, image):
    model = build("vqunet")
    expected = GradCam(model)(image)
    assert any(map_.any() for map_ in expected.values())
    fold_normalizations(model)
    for label, map_ in GradCam(model)(image).items():
        np.testing.assert_allclose(
            map_, expected[label], atol=1e-4 * expected[label].max()
        )
