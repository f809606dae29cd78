import keras
import numpy as np
import pytest
from scipy.special import ndtr

from synergynet_tf.layers.gelu import gelu


@keras.saving.register_keras_serializable(package="tests")
class Gelu(keras.layers.Layer):
    """Hands its input over in 16 bits, and adds a weight that shows the gradient."""

    def build(self, input_shape):
        self.offset = self.add_weight(shape=input_shape[1:], initializer="zeros")

    def call(self, inputs):
        return gelu(inputs + keras.ops.cast(self.offset, inputs.dtype))


@pytest.mark.parametrize(
    ("policy", "tolerance"),
    # Results, and a gradient's, are rounded once: to 24, 8 and 11 binary digits. The
    # input is exact in each.
    [("float32", 1e-6), ("mixed_bfloat16", 2**-8), ("mixed_float16", 2**-11)],
)
def test_value_and_gradient(policy, tolerance):
    x = np.linspace(-4, 4, 65, dtype="float32")[None]
    layer = Gelu(dtype=policy)
    image = keras.Input(x.shape[1:])
    model = keras.Model(
        image, keras.layers.Activation("linear", dtype="float32")(layer(image))
    )
    found = keras.ops.convert_to_numpy(model(x))
    z = x.astype("float64")
    np.testing.assert_allclose(
        found, z * ndtr(z), rtol=2 * tolerance, atol=tolerance / 8
    )

    # One step of rate 1 against the mean over 65 outputs, times 65, is the gradient.
    model.compile(keras.optimizers.SGD(65.0), loss=lambda y, pred: keras.ops.mean(pred))
    model.train_on_batch(x, np.zeros_like(x))
    gradient = -keras.ops.convert_to_numpy(layer.offset)
    density = np.exp(-0.5 * z[0] ** 2) / np.sqrt(2 * np.pi)
    expected = ndtr(z[0]) + z[0] * density
    np.testing.assert_allclose(gradient, expected, rtol=4 * tolerance, atol=tolerance)
