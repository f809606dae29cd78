"""Encoders: an image to features at five scales.

Every encoder returns a dict `"P1"` to `"P5"`, where `Pn` is `2^n` times smaller than
the image. At 224, ResNet-50 gives:

    P1 (112, 112, 64)   P2 (56, 56, 256)   P3 (28, 28, 512)
    P4 (14, 14, 1024)   P5 (7, 7, 2048)

Images come in [0, 1]; each encoder's own normalization is its first layer, so that
nobody can forget it in serving.
"""

import keras

from synergynet_tf.layers import CaffeNormalization
from synergynet_tf.models.dilation import dilate_last_stage

# Assumption: the default of the paper's framework, PyTorch. Keras' own, 0.99, lags
# behind by hundreds of steps, and validation with it.
_BATCH_NORMALIZATION_MOMENTUM = 0.9


def _resnet(application, blocks, image, weights):
    """A ResNet of `keras.applications` with `blocks` in its stages 3 and 4."""
    # In float32: 16 bits hold 255 times an image to one unit only.
    x = CaffeNormalization(name="normalization", dtype="float32")(image)
    network = application(include_top=False, weights=None, input_tensor=x)
    _load(network, application, weights)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = _BATCH_NORMALIZATION_MOMENTUM
    ends = {
        "P1": "conv1_relu",
        "P2": "conv2_block3_out",
        "P3": f"conv3_block{blocks[0]}_out",
        "P4": f"conv4_block{blocks[1]}_out",
        "P5": "conv5_block3_out",
    }
    return {level: network.get_layer(name).output for level, name in ends.items()}


def resnet50(image, weights):
    """ResNet-50 (arXiv:1512.03385v1, Table 1)."""
    return _resnet(keras.applications.ResNet50, (4, 6), image, weights)


def resnet101(image, weights):
    """ResNet-101 (arXiv:1512.03385v1, Table 1)."""
    return _resnet(keras.applications.ResNet101, (4, 23), image, weights)


ENCODERS = {"resnet50": resnet50, "resnet101": resnet101}


def encode(image, backbone, weights, dilated=False):
    """Applies an encoder to an image.

    Args:
        image: `keras.KerasTensor` `(batch, S, S, 3)` in [0, 1].
        backbone: string. A key of `ENCODERS`.
        weights: string. `imagenet`, `none`, or the path of a weights file in the
            layout of `keras.applications` without its top.
        dilated: bool. Whether `P5` keeps the size of `P4`, by atrous convolution.

    Returns:
        dict of `"P1"` to `"P5"`.

    Raises:
        KeyError: If `backbone` is unknown.
        OSError: If ImageNet's weights cannot be fetched, or the file not be read.
        ValueError: If the file holds other weights.
    """
    if backbone not in ENCODERS:
        raise KeyError(
            f"Unknown backbone {backbone!r}; choose from {', '.join(sorted(ENCODERS))}"
        )
    features = ENCODERS[backbone](image, weights)
    return dilate_last_stage(features) if dilated else features


def _load(network, application, weights):
    """Gives `network` the weights that `encode` was asked for."""
    if weights == "none":
        return
    name = application.__name__
    try:
        if weights == "imagenet":
            source = application(include_top=False, weights="imagenet")
            network.set_weights(source.get_weights())
        else:
            network.load_weights(weights)
    except Exception as error:
        # Keras reports a failed download as a plain `Exception`, and h5py a damaged
        # file as half a dozen others.
        if weights == "imagenet":
            raise OSError(
                f"The ImageNet weights of {name} could not be fetched ({error}). "
                "Pass --encoder-weights PATH with a downloaded file, or "
                "--encoder-weights none to train from scratch."
            ) from error
        raise ValueError(
            f"{weights} does not hold weights of {name} ({first_words(error)}). Pass "
            "--encoder-weights imagenet, none, or another file."
        ) from error


def first_words(error, most=200):
    """Returns the start of an error's text: Keras adds whole tensors to some."""
    text = " ".join(str(error).split())
    return text if len(text) <= most else f"{text[:most]} ..."
