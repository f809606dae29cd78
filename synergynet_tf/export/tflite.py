"""Exports a run for phones: `python -m export.tflite --run RUN --out X.tflite`.

The file has built-in operators only, so the stock interpreter runs it. Whatever
`--quantize` says, it takes one float32 image `(1, S, S, 3)` in [0, 1] and returns
float32 logits `(1, S, S, C)`:

    none       float32; at most 1e-4 from the Keras model's logits
    float16    weights in 16 bits, computed in float32
    dynamic    weights in 8 bits, activations in 8 bits by each image's own range
    int8       weights and activations in 8 bits, by ranges seen on training images;
               the choice of the code stays in float32

`X.json` beside it is the model's card.
"""

from __future__ import annotations

import argparse
import hashlib
import pathlib
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from synergynet_tf import runs
from synergynet_tf.cli import command_line
from synergynet_tf.data.preprocess import to_labels, to_network
from synergynet_tf.data.splits import complete
from synergynet_tf.evaluation.cases import RunCases, find_cases
from synergynet_tf.export import model_card
from synergynet_tf.export.exported_model import (
    ENDING,
    SECTION,
    Answers,
    TFLiteModel,
    card_path,
    require_interpreter,
)
from synergynet_tf.runs import Run

KINDS = ("none", "float16", "dynamic", "int8")
REPRESENTATIVE = 64


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__)
    add = parser.add_argument
    add("--run", required=True, help="folder of a trained run")
    add("--out", required=True, help=f"the {ENDING} file to write")
    add("--quantize", choices=KINDS, default="none", help="default: %(default)s")
    add("--data-dir", help="of int8: the run's data, if it is not where it was")
    args = parser.parse_args(argv)
    if args.data_dir is not None and args.quantize != "int8":
        parser.error("only with --quantize int8: --data-dir")
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Checks the arguments, exports, and prints how far the logits moved."""
    args = parse_args(argv)
    run = Run(args.run)
    card = model_card.make_card(run)
    target = new_file(args.out)
    require_interpreter()
    images: Collection[np.ndarray] = ()
    if args.quantize == "int8":
        images = training_images(find_cases(run, "train", args.data_dir))

    # Here, because importing Keras takes seconds and the checks above do not.
    from synergynet_tf.evaluation.predictor import load_run_model

    measured = save(load_run_model(run), args.quantize, images, card, target)
    print(
        f"{target}: {measured['bytes'] / 1e6:.1f} MB; on {measured['probe_images']} "
        f"images logits differ from the Keras model's by at most "
        f"{measured['max_logit_difference']:.1e}, and "
        f"{measured['changed_labels']:.2%} of the labels"
    )


def new_file(out: str | pathlib.Path) -> pathlib.Path:
    """Returns the file to write.

    Raises:
        ValueError: If its name does not end in `.tflite`.
        FileExistsError: If it, or a card of its name, is there.
        PermissionError: If its folder cannot be written to.
    """
    target = pathlib.Path(out)
    if target.suffix != ENDING:
        raise ValueError(f"--out must end in {ENDING}. Received: --out {out}")
    for path in (target, card_path(target)):
        if path.exists():
            raise FileExistsError(f"{path} exists; delete it, or choose another --out")
    runs.require_writable(target.parent, "--out")
    return target


def training_images(cases: RunCases, count: int = REPRESENTATIVE) -> np.ndarray:
    """Draws slices of a run's training cases, as the network takes them.

    Args:
        cases: The run's training part.
        count: Slices to draw, over as many cases as there are.

    Returns:
        float32 `(slices, S, S, 3)` in [0, 1]; fewer than `count` where the cases
        have fewer. The same each time.

    Raises:
        ValueError: If a case cannot be read.
    """
    generator = np.random.default_rng(0)
    data, size = complete(cases.config.data), cases.config.model.image_size
    chosen = generator.permutation(cases.case_ids)[:count]
    each = -(-count // len(chosen))
    drawn = []
    for case_id in chosen:
        image = cases.dataset.read_case(cases.root, str(case_id)).image
        slices = to_network(image, data.modality, size, data.channels, data.center_crop)
        drawn.append(slices[generator.permutation(len(slices))[:each]])
    return np.concatenate(drawn)[:count]


def convert(model: Any, kind: str, images: Collection[np.ndarray] = ()) -> bytes:
    """Converts a Keras model.

    Logits are float32 also of `int8`: they are resized to the image's own grid
    before they are labeled, where 8 bits would show as steps along the outline.

    Args:
        model: The Keras model.
        kind: One of `KINDS`.
        images: Of `int8`: float32 images `(S, S, 3)` in [0, 1], which set the ranges
            of the activations.

    Returns:
        The content of a `.tflite` file.

    Raises:
        ValueError: If Keras does not run on TensorFlow.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert import mlir_quantize

    from synergynet_tf.export import signatures, tflite_graph

    # One image, not any number: then every shape is known when the file is written,
    # which the delegates for GPUs and NPUs need.
    with tflite_graph.convolutions_for(kind, model):
        function = signatures.one_image_function(model)
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
    # The converter cannot leave single operators in float; its two halves can.
    converter._experimental_calibrate_only = True
    calibrated = converter.convert()
    kept = tflite_graph.spoiled_by_int8(tflite_graph.read_operators(calibrated))
    names = [tensor.name for operator in kept for tensor in operator.outputs]
    return mlir_quantize(calibrated, denylisted_nodes=names)


def save(
    model: Any,
    kind: str,
    images: Collection[np.ndarray],
    card: dict[str, Any],
    target: pathlib.Path,
) -> dict[str, Any]:
    """Writes a file that the stock interpreter has run, and its card, or nothing.

    Args:
        model: The Keras model.
        kind: One of `KINDS`.
        images: Those of `convert`.
        card: The run's.
        target: The file to write; the card goes beside it, and before it.

    Returns:
        What the card says of the file: its size, and how far the logits moved.

    Raises:
        ValueError: If the logits differ by more than `probe` allows for
            `none`, or are not finite.
    """
    from synergynet_tf.export import probe
    from synergynet_tf.models.outputs import with_codes

    content = convert(model, kind, images)
    probes = probe.probe_images(model.input_shape[1])
    expected = Answers.of(with_codes(model)(probes, training=False))
    found = TFLiteModel(content).answer(probes)
    limit = probe.MAX_LOGIT_DIFFERENCE if kind == "none" else np.inf
    difference = probe.require_same_answers(expected, found, limit)
    measured = {
        "quantization": kind,
        "representative_images": len(images),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "probe_images": len(probes),
        "max_logit_difference": difference,
        "changed_labels": float(
            np.mean(to_labels(expected.logits) != to_labels(found.logits))
        ),
    }
    runs.write_json(card_path(target), {**card, SECTION: measured})
    try:
        with runs.atomic_file(target) as temporary:
            temporary.write_bytes(content)
    except OSError:
        card_path(target).unlink(missing_ok=True)
        raise
    return measured
