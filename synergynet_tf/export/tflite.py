"""TFLite export, optionally quantized.

`synergynet_tf.cli.tflite` lists the kinds. TensorFlow is imported where a model is
converted, so that a command can check its arguments before.
"""

from __future__ import annotations

import contextlib
import itertools
import pathlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from synergynet_tf.evaluation.cases import RunCases
from synergynet_tf.export import model_file
from synergynet_tf.export.exported_model import TFLiteModel

KINDS = ("none", "float16", "dynamic", "int8")
REPRESENTATIVE = 64
CHOICE = "TOPK_V2"
CONVOLUTION = "CONV_2D"


def training_images(cases: RunCases, count: int = REPRESENTATIVE) -> np.ndarray:
    """Draws calibration images for `int8` from a run's training cases.

    Args:
        cases: The run's training part.
        count: Slices to draw, from as many cases as possible.

    Returns:
        float32 `(slices, S, S, 3)` in [0, 1]; fewer than `count` where the cases
        have fewer. The seed is fixed.

    Raises:
        ValueError: If a case cannot be read.
    """
    generator = np.random.default_rng(0)
    preprocessor = cases.preprocessor
    chosen = generator.permutation(cases.case_ids)[:count]
    each = -(-count // len(chosen))
    drawn = []
    for case_id in chosen:
        image = cases.dataset.read_case(cases.root, str(case_id)).image
        slices = preprocessor.images(image)
        drawn.append(slices[generator.permutation(len(slices))[:each]])
    return np.concatenate(drawn)[:count]


def save(
    model: Any,
    kind: str,
    images: Collection[np.ndarray],
    card: dict[str, Any],
    target: pathlib.Path,
) -> dict[str, Any]:
    """Converts, compares in the stock interpreter, and writes file and card.

    If the comparison fails, nothing is written.

    Args:
        model: The Keras model.
        kind: Quantization, one of `KINDS`.
        images: Calibration images of `convert`.
        card: Model card of the run.
        target: The file to write; the card is written beside it first.

    Returns:
        The card's section about the file: its size, and how far the logits moved.

    Raises:
        ValueError: If the logits of `none` differ by more than
            `parity.MAX_LOGIT_DIFFERENCE` allows, or logits are not finite.
    """
    from synergynet_tf.export.parity import MAX_LOGIT_DIFFERENCE

    content = convert(model, kind, images)
    limit = MAX_LOGIT_DIFFERENCE if kind == "none" else np.inf
    compared = model_file.compare(model, TFLiteModel(content), content, limit)
    measured = {
        "quantization": kind,
        "representative_images": len(images),
        **compared,
    }
    model_file.write(target, content, card, measured)
    return measured


def convert(model: Any, kind: str, images: Collection[np.ndarray] = ()) -> bytes:
    """Converts a Keras model.

    Logits are float32 even for `int8`: they are resized to the image's own grid
    before they are labeled, where 8 bits would show as steps along the outline.

    Args:
        model: The Keras model.
        kind: Quantization, one of `KINDS`.
        images: Calibration images for `int8`, float32 `(S, S, 3)` in [0, 1], which set
            the ranges of the activations.

    Returns:
        The content of a `.tflite` file.

    Raises:
        ValueError: If Keras does not run on TensorFlow.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert import mlir_quantize

    from synergynet_tf.export import signatures

    # A fixed batch of one, so that every shape is static: delegates for GPUs and NPUs
    # need that.
    with convolutions_for(kind, model):
        function = signatures.image_function(model, batch=1).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [function], signatures.read_variables(function)
    )
    if kind != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if kind != "int8":
        return converter.convert()
    converter.representative_dataset = lambda: ([image[None]] for image in images)
    # The converter cannot exclude single operators from quantization; calibrating and
    # quantizing separately can.
    converter._experimental_calibrate_only = True
    calibrated = converter.convert()
    kept = spoiled_by_int8(read_operators(calibrated))
    names = [tensor.name for operator in kept for tensor in operator.outputs]
    return mlir_quantize(calibrated, denylisted_nodes=names)


class Tensor(NamedTuple):
    """A value between operators.

    Attributes:
        number: Index of the tensor in the graph.
        name: The operations of the Keras model that it comes from.
        dtype: `FLOAT32`, `INT8` and the like.
    """

    number: int
    name: str
    dtype: str


class Operator(NamedTuple):
    """An operator: `CONV_2D`, `Flex...` and the like, with what goes in and out."""

    kind: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@contextlib.contextmanager
def convolutions_for(kind: str, model: Any) -> Iterator[None]:
    """Picks the fastest form of `UpsampledConv2D` for a kind of file.

    For `int8`, upsampling and then a convolution: the interpreter's 8-bit matrix
    product takes several times as long as its convolution, and accelerators have none.
    """
    from synergynet_tf.layers import UpsampledConv2D

    every = model._flatten_layers()
    layers = [layer for layer in every if isinstance(layer, UpsampledConv2D)]
    for layer in layers:
        layer.naive_order = kind == "int8"
    try:
        yield
    finally:
        for layer in layers:
            layer.naive_order = False


def read_operators(content: bytes) -> list[Operator]:
    """Lists the operators of a `.tflite` file in the order in which they run."""
    from tensorflow.lite.python.schema_py_generated import TensorType
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    (graph,) = model.subgraphs
    dtypes = {value: name for name, value in vars(TensorType).items()}
    tensors = [
        Tensor(number, tensor.name.decode(), dtypes[tensor.type])
        for number, tensor in enumerate(graph.tensors)
    ]

    def kind(operator_code: int) -> str:
        custom = model.operatorCodes[operator_code].customCode
        name = flatbuffer_utils.opcode_to_name(model, operator_code)
        return custom.decode() if custom else name

    return [
        Operator(
            kind(operator.opcodeIndex),
            # An input that was left out is -1.
            tuple(tensors[i] for i in operator.inputs if i >= 0),
            tuple(tensors[i] for i in operator.outputs),
        )
        for operator in graph.operators
    ]


def spoiled_by_int8(operators: Sequence[Operator]) -> list[Operator]:
    """Returns the operators that must stay in float32.

    - Input normalization, before the first convolution. TensorFlow 2.21's quantizer
      gives the reversal of the channels a scale of 1 for values in [0, 1], so that
      every pixel becomes 0 or 1.
    - The choice of a code, and hard attention's of a position: the operators of the
      layer from which its `top_k` is computed. Rounded distances change the nearest.
    - The head, from the last convolution on. 8-bit logits are equal along an outline
      between two pixels, and show as steps when they are enlarged.
    """
    convolutions = [i for i, o in enumerate(operators) if o.kind == CONVOLUTION]
    scaling, head = operators[: convolutions[0]], operators[convolutions[-1] :]
    choices = [o for o in operators if o.kind == CHOICE]
    leading = (_leading_to(choice, operators) for choice in choices)
    return [*scaling, *itertools.chain.from_iterable(leading), *head]


def _leading_to(choice: Operator, operators: Sequence[Operator]) -> Iterator[Operator]:
    """Yields the operators of a `top_k`'s own layer that it is computed from."""
    # model/layer/TopKV2, or several such names with ";" between.
    layer = choice.outputs[0].name.split(";")[0].rpartition("/")[0] + "/"
    if layer == "/":
        raise ValueError(f"{choice.outputs[0].name} names no layer: it has no '/'")
    wanted = {tensor.number for tensor in choice.inputs}
    for operator in reversed(operators):
        made = {tensor.number for tensor in operator.outputs}
        if made & wanted and layer in operator.outputs[0].name:
            wanted |= {tensor.number for tensor in operator.inputs}
            yield operator
