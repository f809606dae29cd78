import keras
import numpy as np
import pytest

from synergynet_tf.models import ENCODERS
from synergynet_tf.models.dilation import dilate_last_stage
from synergynet_tf.models.encoders import encode
from tests.conftest import tiny_encoder

HEAVY = ("resnet101", "efficientnetb7")
EVERY = [
    pytest.param(name, marks=[pytest.mark.slow] if name in HEAVY else [])
    for name in ENCODERS
]


def plain_and_dilated(image, features, size):
    """Returns the two `P5` of an image, under weights drawn at random."""
    plain = keras.Model(image, features["P5"])
    draw = np.random.default_rng(0)
    for layer in plain.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            for weight in layer.weights:
                weight.assign(draw.uniform(0.5, 1.5, weight.shape))
        if layer.name.endswith("se_expand"):
            # Excitation by a mean over all positions, of which there are more now.
            layer.kernel.assign(np.zeros(layer.kernel.shape))
    dilated = keras.Model(image, dilate_last_stage(features)["P5"])
    images = draw.random((1, size, size, 3)).astype("float32")
    return [keras.ops.convert_to_numpy(model(images)) for model in (plain, dilated)]


# `P4` has 7 rows or 4. Where a kernel of 5 strides over an even number of them,
# TensorFlow pads one row less above than below: the kernel's centers are the odd rows.
@pytest.mark.parametrize(
    ("application", "ends", "size", "phase"),
    [
        ("ResNet50", ("conv4_block6_out", "conv5_block3_out"), 112, 0),
        pytest.param(
            *("ResNet101", ("conv4_block23_out", "conv5_block3_out"), 64, 0),
            marks=pytest.mark.slow,
        ),
        ("EfficientNetB0", ("block5c_add", "top_activation"), 112, 0),
        ("EfficientNetB0", ("block5c_add", "top_activation"), 64, 1),
    ],
)
def test_every_second_position_is_the_plain_network_s(application, ends, size, phase):
    image = keras.Input((size, size, 3))
    network = getattr(keras.applications, application)(
        include_top=False, weights=None, input_tensor=image
    )
    p4, p5 = (network.get_layer(name).output for name in ends)
    plain, dilated = plain_and_dilated(image, {"P4": p4, "P5": p5}, size)
    assert dilated.shape[1:3] == p4.shape[1:3]
    # The same sums in another order.
    np.testing.assert_allclose(
        dilated[:, phase::2, phase::2], plain, rtol=1e-4, atol=1e-4 * plain.max()
    )
    assert np.abs(dilated).max() > 0


def test_pooling_is_dilated_too():
    image = keras.Input((64, 64, 3))
    plain, dilated = plain_and_dilated(image, tiny_encoder(image, "none"), 64)
    np.testing.assert_allclose(dilated[:, ::2, ::2], plain, rtol=1e-5)


@pytest.mark.parametrize("name", EVERY)
def test_every_encoder_can_be_dilated(name):
    image = keras.Input((64, 64, 3))
    features = encode(image, name, "none", dilated=True)
    sizes = [feature.shape[1] for feature in features.values()]
    assert sizes == [32, 16, 8, 4, 4]
    model = keras.Model(image, features["P5"])
    kernels = [
        layer
        for layer in model.layers
        if getattr(layer, "kernel_size", (1, 1)) != (1, 1)
    ]
    rates = [layer.dilation_rate for layer in kernels]
    # None before the last stage, and all behind its stride.
    assert set(rates[: rates.index((2, 2))]) == {(1, 1)}
    assert set(rates[rates.index((2, 2)) :]) == {(2, 2)}


def test_what_cannot_be_dilated_is_refused():
    p4 = keras.Input((8, 8, 3))
    average = keras.layers.AveragePooling2D(2)(p4)
    with pytest.raises(ValueError, match=r"keep the size 8 of `P4`.*\(None, 4, 4, 3\)"):
        dilate_last_stage({"P4": p4, "P5": average})
    halved = keras.layers.MaxPooling2D(2)(p4)
    transposed = keras.layers.Conv2DTranspose(4, 3, padding="same", name="up")(halved)
    with pytest.raises(ValueError, match="Received: Conv2DTranspose up"):
        dilate_last_stage({"P4": p4, "P5": transposed})
