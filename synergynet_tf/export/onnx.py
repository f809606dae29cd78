"""ONNX export: one float32 file for any batch size.

tf2onnx converts what `serving_default` of a SavedModel computes. Two things it does not
do by itself:

- `Erfc`, of the transformer's GELU, has no counterpart in ONNX. tf2onnx writes it as it
  is, and no runtime loads the file. It becomes `1 - Erf`.
- Constants of `keras.layers.Normalization`, captured where the model is traced, become
  inputs of the file. They become initializers.

TensorFlow is imported where a model is converted, so that a command can check its
arguments before.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from synergynet_tf.export import model_file
from synergynet_tf.export.exported_model import CODES, IMAGE, LOGITS, OnnxModel

# Old enough for runtimes of 2023, new enough for every operator.
OPSET = 18
# Names of the sizes of each input and output that are not fixed.
DIMENSIONS = {
    IMAGE: ("batch",),
    LOGITS: ("batch",),
    CODES: ("batch", "height", "width"),
}


def require_converter() -> None:
    """Requires the packages that convert, check and run ONNX.

    Raises:
        ModuleNotFoundError: If one of them is missing.
    """
    import onnx  # noqa: F401
    import onnxruntime  # noqa: F401
    import tf2onnx  # noqa: F401


def save(model: Any, card: dict[str, Any], target: pathlib.Path) -> dict[str, Any]:
    """Converts, checks, compares in onnxruntime, and writes file and card.

    If a check or the comparison fails, nothing is written.

    Args:
        model: The Keras model.
        card: Model card of the run.
        target: The file to write; the card is written beside it first.

    Returns:
        The card's section about the file: its opset and size, and how far the logits
        moved.

    Raises:
        ValueError: If the file is not valid ONNX, or the logits differ by more than
            `parity.MAX_LOGIT_DIFFERENCE` allows.
    """
    from synergynet_tf.export.parity import MAX_LOGIT_DIFFERENCE

    content = convert(model)
    compared = model_file.compare(
        model, OnnxModel(content), content, MAX_LOGIT_DIFFERENCE
    )
    measured = {"opset": OPSET, **compared}
    model_file.write(target, content, card, measured)
    return measured


def convert(model: Any) -> bytes:
    """Converts a Keras model.

    Args:
        model: The Keras model.

    Returns:
        The content of an `.onnx` file, from `image`, float32 `(batch, S, S, 3)` in
        [0, 1], to `logits`, float32 `(batch, S, S, C)`, and of a method with a codebook
        `codes`, int32 `(batch, height, width)`.

    Raises:
        ValueError: If Keras does not run on TensorFlow, or the file is not valid ONNX.
    """
    import onnx
    import tf2onnx

    from synergynet_tf.export import signatures

    function = signatures.image_function(model, batch=None)
    proto, _ = tf2onnx.convert.from_function(
        function,
        function.input_signature,
        opset=OPSET,
        custom_op_handlers={"Erfc": (_write_erfc, [])},
    )
    _keep_constants(proto.graph, signatures.captured_constants(function))
    _name_dimensions(proto.graph)
    # Otherwise it is the traced function's, which has another number each time.
    proto.graph.name, proto.graph.doc_string = model.name, ""
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ValueError(
            f"The converted model is not valid ONNX ({error}); nothing was written. "
            "Please report it with the run's config.json."
        ) from error
    return proto.SerializeToString()


def _write_erfc(graph: Any, node: Any, name: str, _arguments: Any) -> None:
    """Replaces a node `Erfc(x)` of tf2onnx's graph by `1 - Erf(x)`.

    In float32 that has no digits left where `x` is large, where GELU is next to 0.
    """
    (x,), (output,) = node.input, node.output
    dtype, shape = graph.get_dtype(output), graph.get_shape(output)
    graph.remove_node(name)
    one = graph.make_const(f"{name}/one", np.ones((), np.float32))
    erf = graph.make_node("Erf", [x], name=f"{name}/erf")
    graph.make_node(
        "Sub",
        [one.output[0], erf.output[0]],
        name=name,
        outputs=[output],
        dtypes=[dtype],
        shapes=[shape],
    )


def _keep_constants(graph: Any, constants: Mapping[str, np.ndarray]) -> None:
    """Replaces inputs of a graph by what they are always fed with."""
    import onnx

    inputs = [value for value in graph.input if value.name not in constants]
    read = {name for node in graph.node for name in node.input}
    kept = [
        initializer for initializer in graph.initializer if initializer.name in read
    ]
    kept += [
        onnx.numpy_helper.from_array(array, name)
        for name, array in constants.items()
        if name in read
    ]
    del graph.input[:], graph.initializer[:]
    graph.input.extend(inputs)
    graph.initializer.extend(kept)


def _name_dimensions(graph: Any) -> None:
    """Names the sizes of inputs and outputs that are not fixed."""
    for value in (*graph.input, *graph.output):
        sizes = value.type.tensor_type.shape.dim
        for size, name in zip(sizes, DIMENSIONS[value.name], strict=False):
            if not size.HasField("dim_value"):
                size.dim_param = name
