"""TFLite export: `synergynet export tflite --run RUN --out X.tflite`.

The file has built-in operators only, so the stock interpreter runs it. Whatever
`--quantize` says, it takes one float32 image `(1, S, S, 3)` in [0, 1] and returns
float32 logits `(1, S, S, C)`:

    none       float32; logits at most 1e-4 of the largest one (at least 1) from Keras'
    float16    float16 weights, float32 computation
    dynamic    8-bit weights; 8-bit activations, ranges taken from each image
    int8       8-bit weights and activations, ranges calibrated on training images;
               the choice of the code stays in float32

`X.json` beside it is the model card.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence

import numpy as np

from synergynet_tf.cli import command_line
from synergynet_tf.evaluation.cases import find_cases, say_notes
from synergynet_tf.export.card import make_card
from synergynet_tf.export.exported_model import TFLITE, require_interpreter
from synergynet_tf.export.model_file import new_file
from synergynet_tf.export.tflite import KINDS, save, training_images
from synergynet_tf.runs import Run


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__)
    add = parser.add_argument
    add("--run", required=True, help="folder of a trained run")
    add("--out", required=True, help=f"the {TFLITE} file to write")
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
    card = make_card(run)
    target = new_file(args.out, TFLITE)
    require_interpreter()
    images: Collection[np.ndarray] = ()
    if args.quantize == "int8":
        cases = find_cases(run, "train", args.data_dir)
        say_notes([cases])
        images = training_images(cases)

    # Here, because importing Keras takes seconds and the checks above do not.
    from synergynet_tf.evaluation.predictor import load_run_model

    measured = save(load_run_model(run), args.quantize, images, card, target)
    print(
        f"{target}: {measured['bytes'] / 1e6:.1f} MB; on {measured['probe_images']} "
        f"images logits differ from the Keras model's by at most "
        f"{measured['max_logit_difference']:.1e}, and "
        f"{measured['changed_labels']:.2%} of the labels"
    )
