"""Atrous convolution: the last stage of any encoder, at the size of the one before."""

import keras


def dilate_last_stage(features):
    """Keeps `P5` at the size of `P4`: output stride 16 instead of 32.

    What halves the size between the two no longer does, and the convolutions behind it
    look twice as far, with the same weights. Without squeeze-and-excitation, whose mean
    is then over more positions, the new `P5` holds the old one at every second
    position: the even ones, or the odd ones where a kernel larger than 1x1 strides over
    an even size with "same" padding.

    Args:
        features: dict of `"P1"` to `"P5"`, symbolic, of a network whose convolutions
            between `P4` and `P5` are layers of their own.

    Returns:
        dict of `"P1"` to `"P5"`; the first four are those of `features`.

    Raises:
        ValueError: If a layer there cannot be dilated.

    Reference: Chen et al., arXiv:1706.05587v3, section 3.1 and Fig. 3.
    """
    size = features["P4"].shape[1]
    stage = keras.Model(features["P4"], features["P5"])
    dilated = keras.models.clone_model(
        stage, clone_function=lambda layer: _dilate(layer, size)
    )
    dilated.set_weights(stage.get_weights())
    # Not `dilated(...)`, which would hide the layers in a model of their own.
    deepest = dilated.call(features["P4"])
    if deepest.shape[1] != size:
        raise ValueError(
            f"`P5` must keep the size {size} of `P4`. Received: {deepest.shape}"
        )
    return {**features, "P5": deepest}


def _dilate(layer, size):
    """Returns a new layer for a stage whose features are all `size` wide."""
    config = layer.get_config()
    if isinstance(layer, keras.layers.ZeroPadding2D):
        # It prepared a "valid" convolution, which is now a "same" one.
        return keras.layers.Identity(name=layer.name, dtype=layer.dtype_policy)
    strides = max(getattr(layer, "strides", (1,)))
    if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
        if max(layer.kernel_size) > 1:
            config["dilation_rate"] = _rate(layer, strides, size)
        config |= {"strides": 1, "padding": "same"}
    elif isinstance(layer, keras.layers.MaxPooling2D) and strides == 2:
        config |= {"strides": 1, "padding": "same"}
    elif any(len(w.shape) == 4 for w in layer.weights) and _rate(layer, 1, size) > 1:
        raise ValueError(
            "Behind a stride only Conv2D and DepthwiseConv2D can be dilated. Received: "
            f"{type(layer).__name__} {layer.name}"
        )
    return type(layer).from_config(config)


def _rate(layer, strides, size):
    """How many positions of a map of `size` lie between two of the layer's input."""
    return -(-size // (layer.output.shape[1] * strides))
