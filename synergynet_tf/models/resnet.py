"""ResNet encoders (He et al., 2016, arXiv:1512.03385v1, Table 1).

ResNet-50 and 101 are those of `keras.applications`, ResNet-18 and 34 those of KerasHub.
"""

import keras

from synergynet_tf.layers import CaffeNormalization
from synergynet_tf.models.pretrained import load_pretrained


def resnet18(image, weights):
    """ResNet-18."""
    return _from_keras_hub(image, weights, 18, [2, 2, 2, 2], "resnet_18_imagenet")


def resnet34(image, weights):
    """ResNet-34."""
    # KerasHub has no copy of its own; its ResNet-18 is timm's of this recipe, too.
    preset = "hf://timm/resnet34.a1_in1k"
    return _from_keras_hub(image, weights, 34, [3, 4, 6, 3], preset)


def resnet50(image, weights):
    """ResNet-50."""
    return _from_applications(image, weights, keras.applications.ResNet50, (4, 6))


def resnet101(image, weights):
    """ResNet-101."""
    return _from_applications(image, weights, keras.applications.ResNet101, (4, 23))


def _from_keras_hub(image, weights, depth, blocks, preset):
    """A ResNet of basic blocks, `blocks` in its four stages."""
    try:  # Here, because these two ResNets alone need it.
        from keras_hub.models import ResNetBackbone
    except RecursionError as error:
        # TensorFlow looks for a Keras that is not there, again and again.
        raise ImportError(
            "KerasHub, of which ResNet-18 and 34 are, cannot be imported with "
            "TF_USE_LEGACY_KERAS set: unset it before TensorFlow is imported"
        ) from error

    def build(weights):
        if weights == "imagenet":
            return ResNetBackbone.from_preset(preset)
        return ResNetBackbone(
            input_conv_filters=[64],
            input_conv_kernel_sizes=[7],
            stackwise_num_filters=[64, 128, 256, 512],
            stackwise_num_blocks=blocks,
            stackwise_num_strides=[1, 2, 2, 2],
            block_type="basic_block",
            image_shape=image.shape[1:],
        )

    network = build(None)
    load_pretrained(network, weights, f"ResNet-{depth}", build)
    first = {"P1": network.get_layer("conv1_relu").output}
    features = keras.Model(network.input, first | network.pyramid_outputs)
    # timm's normalization: of ImageNet's red, green and blue in [0, 1].
    x = keras.layers.Normalization(
        mean=(0.485, 0.456, 0.406),
        variance=[deviation**2 for deviation in (0.229, 0.224, 0.225)],
        dtype="float32",
        name="normalization",
    )(image)
    # Not `features(x)`, which would hide the layers in a model of their own.
    return features.call(x)


def _from_applications(image, weights, application, blocks):
    """A ResNet of bottleneck blocks, with `blocks` in its stages 3 and 4."""
    # In float32: 16 bits hold 255 times an image to one unit only.
    x = CaffeNormalization(name="normalization", dtype="float32")(image)
    network = application(include_top=False, weights=None, input_tensor=x)
    load_pretrained(
        network,
        weights,
        application.__name__,
        lambda weights: application(include_top=False, weights=weights),
    )
    ends = {
        "P1": "conv1_relu",
        "P2": "conv2_block3_out",
        "P3": f"conv3_block{blocks[0]}_out",
        "P4": f"conv4_block{blocks[1]}_out",
        "P5": "conv5_block3_out",
    }
    return {level: network.get_layer(name).output for level, name in ends.items()}
