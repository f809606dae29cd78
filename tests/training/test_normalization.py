import keras
import numpy as np
import pytest

from synergynet_tf.training.batch_normalization import fuse_normalizations

if keras.backend.backend() != "tensorflow":
    pytest.skip("the kernel is TensorFlow's", allow_module_level=True)


def models(**arguments):
    """The same normalization twice, the second one fused."""
    pair = []
    for fused in (False, True):
        image = keras.Input((5, 6, 3))
        x = keras.layers.Conv2D(4, 1, name="before")(image)
        layer = keras.layers.BatchNormalization(
            momentum=0.7, epsilon=0.01, name="normalization", **arguments
        )
        pair.append(keras.Model(image, layer(x)))
        if fused:
            fuse_normalizations(pair[1])
    random = np.random.default_rng(0)
    values = [random.uniform(0.5, 2.0, w.shape) for w in pair[0].weights]
    for model in pair:
        model.set_weights(values)
    return pair


def images(batch):
    return np.random.default_rng(1).normal(3.0, 2.0, (batch, 5, 6, 3)).astype("float32")


@pytest.mark.parametrize("arguments", [{}, {"scale": False}, {"center": False}])
def test_the_fused_kernel_trains_as_keras_does(arguments):
    trained = []
    for model in models(**arguments):
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
        target = np.random.default_rng(2).normal(size=(4, 5, 6, 4))
        for _ in range(3):
            model.train_on_batch(images(4), target)
        trained.append(model)
    plain, fused = trained
    for one, other in zip(plain.weights, fused.weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5, err_msg=one.path)
    np.testing.assert_allclose(plain(images(2)), fused(images(2)), rtol=1e-4, atol=1e-5)


def test_a_frozen_layer_keeps_its_statistics():
    for model in models():
        layer = model.get_layer("normalization")
        layer.trainable = False
        before = layer.get_weights()
        expected = model(images(2), training=False)
        np.testing.assert_allclose(model(images(2), training=True), expected, rtol=1e-5)
        for one, other in zip(before, layer.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_statistics_of_a_batch_by_hand():
    image = keras.Input((1, 2, 1))
    layer = keras.layers.BatchNormalization(momentum=0.5, epsilon=0.0)
    model = keras.Model(image, layer(image))
    fuse_normalizations(model)
    output = model(np.array([[[[1.0], [5.0]]]], "float32"), training=True)
    # Mean 3, variance ((1 - 3)^2 + (5 - 3)^2) / 2 = 4; they began at 0 and 1.
    np.testing.assert_allclose(np.ravel(output), [-1.0, 1.0], rtol=1e-6)
    assert float(layer.moving_mean[0]) == pytest.approx(1.5)
    assert float(layer.moving_variance[0]) == pytest.approx(2.5)


def test_sixteen_bits_are_added_up_in_32():
    # 1024 values around 300, where bfloat16 has steps of 2: the sum needs more.
    image = keras.Input((32, 32, 1))
    layer = keras.layers.BatchNormalization(momentum=0.0, dtype="mixed_bfloat16")
    model = keras.Model(image, layer(image))
    fuse_normalizations(model)
    values = 300 + 2.0 * (np.arange(1024) % 2).reshape(1, 32, 32, 1)
    output = model(values.astype("float32"), training=True)
    assert output.dtype == "bfloat16"
    assert float(layer.moving_mean[0]) == pytest.approx(301.0, abs=1e-3)
    assert float(layer.moving_variance[0]) == pytest.approx(1.0, abs=1e-3)
