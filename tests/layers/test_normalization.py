import keras
import numpy as np
import pytest

from synergynet_tf.layers import CaffeNormalization
from tests.checks import check_layer


def test_layer():
    image = np.random.default_rng(0).random((2, 4, 4, 3), "float32")
    check_layer(CaffeNormalization, {"name": "normalization"}, [image], weights=(0, 0))


def test_equals_keras_applications():
    image = np.random.default_rng(0).random((2, 4, 4, 3), "float32")
    expected = keras.applications.resnet50.preprocess_input(255.0 * image)
    np.testing.assert_allclose(CaffeNormalization()(image), expected, atol=1e-4)


def test_refuses_gray():
    with pytest.raises(ValueError, match="3 channels"):
        CaffeNormalization()(np.zeros((1, 4, 4, 1), "float32"))
