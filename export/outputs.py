"""What an exported model returns: logits, and the codes if there is a codebook."""

from __future__ import annotations

import keras

from synergynet_tf.models import quantizers


def with_codes(model: keras.Model) -> keras.Model:
    """Returns a model of the same layers with its outputs by their names.

    Args:
        model: From images `(n, S, S, 3)` to logits `(n, S, S, C)`.

    Returns:
        The same, to a dict: `logits`, and for a method with a codebook `codes`, int32
        `(n, height, width)`: which code stands at each position of the bottleneck.
    """
    outputs = {"logits": model.output}
    for quantizer in quantizers(model):
        encode = keras.layers.Lambda(quantizer.encode, name="codes")
        outputs["codes"] = encode(quantizer.input)
    return keras.Model(model.input, outputs, name=model.name)
