"""A method's row of the table, built: encoder, bottleneck, decoder, head."""

import keras

from synergynet_tf.layers import VectorQuantizer
from synergynet_tf.models.bottlenecks import BOTTLENECKS
from synergynet_tf.models.decoders import DECODERS
from synergynet_tf.models.encoders import encode
from synergynet_tf.models.methods import check_method


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
        ValueError: If `hidden_dim` is not a multiple of a number of heads.
    """
    method = check_method(config)
    image = keras.Input((config.image_size, config.image_size, 3), name="image")
    features = encode(image, config.backbone, config.encoder_weights)
    deepest = {16: "P4", 32: "P5"}[config.bottleneck_stride]
    x = BOTTLENECKS[method.bottleneck](features[deepest], method, config)
    x = DECODERS[method.decoder](x, features, config)
    logits = keras.layers.Conv2D(config.num_classes, 1, dtype="float32", name="logits")(
        x
    )
    return keras.Model(image, logits, name=config.name)


def quantizers(model):
    """Lists the `VectorQuantizer` layers of a model."""
    return [layer for layer in model.layers if isinstance(layer, VectorQuantizer)]
