"""What a model returns besides its logits: the codes, if there is a codebook."""

import keras

from synergynet_tf.models.segmenter import quantizers


def with_codes(model):
    """Returns a model of the same layers with its outputs by their names.

    Args:
        model: `keras.Model` from images `(n, S, S, 3)` to logits `(n, S, S, C)`.

    Returns:
        The same, to a dict: `logits`, and for a method with a codebook `codes`, int32
        `(n, height, width)`: which code stands at each position of the bottleneck.
    """
    outputs = {"logits": model.output}
    for quantizer in quantizers(model):
        encode = keras.layers.Lambda(quantizer.encode, name="codes")
        outputs["codes"] = encode(quantizer.input)
    return keras.Model(model.input, outputs, name=model.name)
