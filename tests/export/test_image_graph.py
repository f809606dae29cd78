import keras
import numpy as np
import pytest

from synergynet_tf.data import preprocess

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow exports"
)

from synergynet_tf.export import image_graph  # noqa: E402  (it imports TensorFlow)

# OpenCV keeps float32 positions and so is off by this much of 1 itself.
RESIZE_TOLERANCE = 1e-6
SIZE = 64


@pytest.fixture
def random():
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    "shape",
    [
        (150, 203, 3),  # both sides shrink
        (128, 128, 3),  # by a whole number
        (64, 64, 3),  # both stay
        (64, 150, 3),  # one stays, one shrinks
        (30, 40, 3),  # both grow
        (50, 200, 3),  # one grows, one shrinks
        (150, 203, 1),  # gray
        (150, 203, 2),  # two channels: the third is 0
        (1, 1, 1),  # one pixel: no percentile lies between two values
    ],
)
@pytest.mark.parametrize("modality", preprocess.MODALITIES)
def test_to_network_equals_numpy(random, shape, modality):
    image = random.uniform(0, 255, shape).astype(np.float32)
    found = image_graph.to_network(tf.constant(image), modality, SIZE)
    expected = preprocess.to_network(image[None], modality, SIZE)[0]
    np.testing.assert_allclose(found, expected, atol=RESIZE_TOLERANCE)


@pytest.mark.parametrize("shape", [(150, 203, 1), (30, 41, 1), (2, 1, 1)])
@pytest.mark.parametrize("share", [0.8, 0.55, 0.01])
def test_a_center_crop_equals_numpy_both_ways(random, shape, share):
    image = random.uniform(0, 255, shape).astype(np.float32)
    found = image_graph.to_network(tf.constant(image), "mri", SIZE, share)
    expected = preprocess.to_network(image[None], "mri", SIZE, "", share)[0]
    np.testing.assert_allclose(found, expected, atol=RESIZE_TOLERANCE)
    for classes in (1, 4):
        logits = random.normal(size=(16, 16, classes)).astype(np.float32)
        rows, columns = shape[:2]
        found = image_graph.to_native(
            tf.constant(logits), tf.constant(rows), tf.constant(columns), share
        )
        expected = preprocess.to_native(logits[None], rows, columns, share)[0]
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_constant_mri_is_black():
    image = np.full((70, 70, 1), 7.0, np.float32)
    assert not image_graph.to_network(tf.constant(image), "mri", SIZE).numpy().any()


@pytest.mark.parametrize("classes", [1, 4])
def test_labels_and_probabilities(random, classes):
    logits = random.normal(size=(5, 6, classes)).astype(np.float32)
    logits[0] = 0.0  # Ties: no foreground of one class, the first of several.
    labels, probabilities = image_graph.to_labels(tf.constant(logits))
    assert labels.dtype == tf.uint8
    np.testing.assert_array_equal(labels, preprocess.to_labels(logits))
    if classes == 1:
        expected = 1 / (1 + np.exp(-logits))
    else:
        expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    # float32 carries seven digits.
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
