"""Segmentation model of a method: encoder, bottleneck, decoder, head."""

import keras

from synergynet_tf.layers import VectorQuantizer
from synergynet_tf.models.bottlenecks import BOTTLENECKS
from synergynet_tf.models.decoders import DECODERS
from synergynet_tf.models.encoders import encode
from synergynet_tf.models.methods import check_method
from synergynet_tf.models.vit_weights import load_vit_weights

# The layer whose output, of every method, is what the decoder is given of the
# bottleneck. It computes nothing.
BOTTLENECK = "bottleneck"


def build_model(config):
    """Builds the model that `config.name` names.

    Args:
        config: `ModelConfig`.

    Returns:
        `keras.Model` from `(batch, S, S, 3)` images in [0, 1] to float32 logits
        `(batch, S, S, num_classes)`, where `S` is `config.image_size`.

    Raises:
        KeyError: If `config.name` or `config.backbone` is unknown.
        OSError: If the encoder's weights cannot be had.
        ValueError: If a setting does not fit the method, or a weights file the model.
    """
    before = keras.config.image_data_format()
    # Whatever Keras is set to for other models.
    keras.config.set_image_data_format("channels_last")
    try:
        return _build_model(config, check_method(config))
    finally:
        keras.config.set_image_data_format(before)


def _build_model(config, method):
    image = keras.Input((config.image_size, config.image_size, 3), name="image")
    features = encode(
        image, config.backbone, config.encoder_weights, dilated=method.dilated
    )
    at_16 = "P5" if method.dilated else "P4"
    deepest = {16: at_16, 32: "P5"}[config.bottleneck_stride]
    x = BOTTLENECKS[method.bottleneck](features[deepest], method, config)
    x = keras.layers.Identity(name=BOTTLENECK)(x)
    x = DECODERS[method.decoder](x, features, config)
    # Assumption: the head is a 1 x 1 convolution, U-Net's, in all methods; that of
    # TransUNet's code is 3 x 3.
    logits = keras.layers.Conv2D(config.num_classes, 1, dtype="float32", name="logits")(
        x
    )
    if (scale := config.image_size // logits.shape[1]) > 1:
        # The same as features upsampled before the head: both are linear, and
        # bilinear weights sum to 1, which keeps the bias.
        logits = keras.layers.UpSampling2D(
            scale, interpolation="bilinear", dtype="float32", name="upsampled_logits"
        )(logits)
    model = keras.Model(image, logits, name=config.name)
    if config.vit_weights != "none":
        load_vit_weights(model, config.vit_weights)
    return model


def quantizers(model):
    """Lists the `VectorQuantizer` layers of a model."""
    return [layer for layer in model.layers if isinstance(layer, VectorQuantizer)]
