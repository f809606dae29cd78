"""Encoders (backbones): from an image to features at five scales.

Every encoder returns a dict `"P1"` to `"P5"`, where `Pn` is `2^n` times smaller than
the image; `models.BACKBONES` has their channels. At 224, ResNet-50 gives:

    P1 (112, 112, 64)   P2 (56, 56, 256)   P3 (28, 28, 512)
    P4 (14, 14, 1024)   P5 (7, 7, 2048)

Images come in [0, 1]; each encoder's own normalization is its first layer, so that
nobody can forget it in serving.
"""

import importlib

import keras

from synergynet_tf.models.dilation import dilate_last_stage
from synergynet_tf.models.methods import BACKBONES

# Assumption: the default of the paper's framework, PyTorch. Keras' own, 0.99, lags
# behind by hundreds of steps, and validation with it.
_BATCH_NORMALIZATION_MOMENTUM = 0.9

ENCODERS = {
    name: getattr(importlib.import_module(f"{__package__}.{row.family}"), name)
    for name, row in BACKBONES.items()
}


def encode(image, backbone, weights, dilated=False):
    """Applies an encoder to an image.

    Args:
        image: `keras.KerasTensor` `(batch, S, S, 3)` in [0, 1].
        backbone: string. A key of `ENCODERS`.
        weights: string. `imagenet`, `none`, or the path of a weights file. Its layout
            is that of `keras.applications` without its top, of KerasHub's backbone
            (ResNet-18 and 34), or what `tools.convert_efficientnet_lite` writes.
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
    for layer in keras.Model(image, features).layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = _BATCH_NORMALIZATION_MOMENTUM
    return dilate_last_stage(features) if dilated else features
