"""The operators of a `.tflite` file: what they are, and what 8 bits do to them."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from tensorflow.lite.python.schema_py_generated import TensorType
from tensorflow.lite.tools import flatbuffer_utils

CHOICE = "TOPK_V2"
CONVOLUTION = "CONV_2D"


class Tensor(NamedTuple):
    """A value between operators.

    Attributes:
        number: Its place in the graph.
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
    """Lets a model's upsampled convolutions compute as files of a kind are fastest.

    In `int8` as the formula reads: the interpreter's product of two matrices of 8 bits
    takes several times as long as its convolution, and accelerators have none.
    """
    from synergynet_tf.layers import UpsampledConv2D

    every = model._flatten_layers()
    layers = [layer for layer in every if isinstance(layer, UpsampledConv2D)]
    for layer in layers:
        layer.usual_order = kind == "int8"
    try:
        yield
    finally:
        for layer in layers:
            layer.usual_order = False


def read_operators(content: bytes) -> list[Operator]:
    """Lists the operators of a file in the order in which they run."""
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
    """Picks the operators that must be left in float32.

    - What scales the image, before the first convolution. Reversing the channels
      gets a scale of 1 for values in [0, 1] from TensorFlow 2.21's quantizer, so
      that every pixel becomes 0 or 1.
    - What chooses a code, and an element's winner: the layer's operators from which
      its `top_k` is computed. Rounded distances make other codes the nearest.
    - The head, from the last convolution on. Logits of 8 bits are equal along an
      outline that lies between two pixels, and steps when they are enlarged.
    """
    convolutions = [i for i, o in enumerate(operators) if o.kind == CONVOLUTION]
    scaling, head = operators[: convolutions[0]], operators[convolutions[-1] :]
    choices = [o for o in operators if o.kind == CHOICE]
    leading = (_leading_to(choice, operators) for choice in choices)
    return [*scaling, *itertools.chain.from_iterable(leading), *head]


def _leading_to(choice: Operator, operators: Sequence[Operator]) -> Iterator[Operator]:
    """Yields the operators of the choice's own layer that it is computed from."""
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
