"""Model outputs besides logits: codes, and the model split at its codes."""

import keras

from synergynet_tf.layers import DisConX, HardAttentionRefinement
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


def split_at_codes(model):
    """Cuts a model with a codebook where its codes become vectors again.

    Args:
        model: `keras.Model` with one `VectorQuantizer`.

    Returns:
        Two models of the same layers. The first takes images to a dict: `features`
        `(n, height, width, channels)` as they are compared with the codes; `codes`;
        `carried`, a list of what the rest of the model reads besides the codes'
        vectors, such as skips; for a method with DisConX its `attention`, and with
        the refinement its `picks`, both `(n, heads, tokens, tokens)`. The second
        takes `[vectors, *carried]` to logits.
    """
    (quantizer,) = quantizers(model)
    carried = _carried(model, quantizer.output)
    outputs = {
        "features": _through(quantizer.to_compare, quantizer.input),
        "codes": _through(quantizer.encode, quantizer.input),
        "carried": carried,
    }
    for layer in model.layers:
        if isinstance(layer, DisConX):
            outputs["attention"] = _through(layer.attention_weights, *layer.input)
        elif isinstance(layer, HardAttentionRefinement):
            outputs["picks"] = _through(layer.attention, layer.input)
    before = keras.Model(model.input, outputs)
    return before, keras.Model([quantizer.output, *carried], model.output)


def _through(function, *inputs):
    return keras.layers.Lambda(lambda tensors: function(*tensors))(list(inputs))


def _carried(model, vectors):
    """Lists the tensors, not computed from `vectors`, that layers after them read."""
    made, carried = {id(vectors)}, {}
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            read = {id(tensor): tensor for tensor in node.input_tensors}
            if made & set(read):
                made |= {id(tensor) for tensor in node.outputs}
                carried |= read
    return [tensor for key, tensor in carried.items() if key not in made]
