"""Cost of a model: parameters and FLOPs."""

import dataclasses
import math

import keras
import numpy as np

from synergynet_tf.layers import (
    AtrousConv2D,
    DisConX,
    HardAttentionRefinement,
    UpsampledConv2D,
    VectorQuantizer,
)
from synergynet_tf.models.segmenter import build_model


@dataclasses.dataclass(frozen=True)
class Cost:
    """Size of a model, and its cost for one image.

    Attributes:
        parameters: Number of trainable and other weights, without a quantizer's
            counters.
        operations: Number of multiplications and additions, one each.
        tokens: Number of positions of the bottleneck.
    """

    parameters: int
    operations: int
    tokens: int


def measure(config):
    """Builds a model and counts.

    Args:
        config: `ModelConfig`; `encoder_weights` change nothing.

    Returns:
        `Cost`.
    """
    config = dataclasses.replace(config, encoder_weights="none", vit_weights="none")
    model = build_model(config)
    return Cost(
        parameters=count_parameters(model),
        operations=count_operations(model),
        tokens=(config.image_size // config.bottleneck_stride) ** 2,
    )


def count_parameters(model):
    """Counts the weights that a prediction depends on."""
    counters = {
        id(weight)
        for layer in model.layers
        if isinstance(layer, VectorQuantizer)
        for weight in layer.weights
        if weight is not layer.codebook
    }
    return sum(
        math.prod(weight.shape)
        for weight in model.weights
        if id(weight) not in counters
    )


def count_operations(model):
    """Counts the multiplications and additions of a model to segment one image.

    These are the convolutions, dense layers, products of attention, and distances to a
    codebook. Biases, normalizations, activations, softmax, pooling and resizing, some
    percent more, are left out.

    Args:
        model: `keras.Model` of images of a known size.

    Returns:
        int. A multiplication and its addition count as two.
    """
    total = 0

    def counted(layer, count):
        call = layer.call

        def wrapper(*args, **kwargs):
            nonlocal total
            outputs = call(*args, **kwargs)
            total += count(layer, (*args, *kwargs.values())[0].shape, outputs.shape)
            return outputs

        return wrapper

    # Shapes inside of layers are known while they run only.
    layers = [x for x in model._flatten_layers() if _count_of(x)]
    try:
        for layer in layers:
            layer.call = counted(layer, _count_of(layer))
        model(np.zeros((1, *model.input_shape[1:]), "float32"), training=False)
    finally:
        for layer in layers:
            del layer.call
    return total


def _convolution(layer, inputs, outputs):
    return 2 * math.prod(layer.kernel.shape) * math.prod(outputs[1:-1])


def _atrous(layer, inputs, outputs):
    """A position of the kernel meets only what it sees of the map."""
    met = math.prod(
        sum(
            end - start for _, (start, end) in layer.seen_ranges(axis, inputs[1 + axis])
        )
        for axis in (0, 1)
    )
    return 2 * met * math.prod(layer.kernel.shape[2:])


def _upsampled(layer, coarse, outputs):
    """Channels on the coarse grid, both matrices of positions, and the skip's part."""
    _, height, width, channels = coarse
    _, tall, wide, filters = outputs
    rows, columns, skip_channels, _ = layer.kernel.shape
    skip_channels -= channels
    mixed = height * width * channels * rows * columns * filters
    moved = height * wide * (columns * width) * rows * filters
    moved += tall * wide * (rows * height) * filters
    beside = tall * wide * rows * columns * skip_channels * filters
    return 2 * (mixed + moved + beside)


def _dense(layer, inputs, outputs):
    return 2 * math.prod(layer.kernel.shape) * math.prod(outputs[:-1])


def _einsum(layer, inputs, outputs):
    """Every pair of indices of input and kernel is one multiplication."""
    terms, result = layer.equation.split("->")
    terms = terms.split(",")
    shapes = (inputs, layer.kernel.shape, outputs)
    sizes = {
        index: size
        for term, shape in zip((*terms, result), shapes, strict=True)
        for index, size in zip(term, shape, strict=True)
    }
    return 2 * math.prod(sizes.values())


def _attention(layer, queries, outputs):
    """Queries with keys, and weights with values; the projections are layers.

    All attention here is among as many keys as queries.
    """
    tokens = queries[1]
    channels = layer.num_heads * layer.key_dim
    return 2 * 2 * tokens**2 * channels


def _disconx(layer, inputs, outputs):
    """As `_attention`; 0 where nothing is normalized: an inner layer is counted."""
    _, height, width, channels = outputs
    return 2 * 2 * (height * width) ** 2 * channels if layer.normalized else 0


def _refinement(layer, inputs, outputs):
    """Queries with keys; a value is picked, not multiplied."""
    _, height, width, channels = inputs
    return 2 * (height * width) ** 2 * channels


def _quantizer(layer, inputs, outputs):
    return 2 * math.prod(inputs[:-1]) * math.prod(layer.codebook.shape)


_COUNTS = {
    AtrousConv2D: _atrous,
    DisConX: _disconx,
    keras.layers.Conv2D: _convolution,
    keras.layers.DepthwiseConv2D: _convolution,
    keras.layers.Dense: _dense,
    keras.layers.EinsumDense: _einsum,
    keras.layers.MultiHeadAttention: _attention,
    HardAttentionRefinement: _refinement,
    UpsampledConv2D: _upsampled,
    VectorQuantizer: _quantizer,
}


def _count_of(layer):
    return _COUNTS.get(type(layer))
