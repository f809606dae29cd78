"""ONNX export: `synergynet export onnx --run RUN --out X.onnx`.

The file takes any number of float32 images `image` `(batch, S, S, 3)` in [0, 1] and
returns float32 `logits` `(batch, S, S, C)`, which differ from the Keras model's by at
most 1e-4 of the largest one (at least 1), and of a method with a codebook `codes`,
int32 `(batch, height, width)`.

`X.json` beside it is the model card.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from synergynet_tf.cli import command_line
from synergynet_tf.export.card import make_card
from synergynet_tf.export.exported_model import ONNX
from synergynet_tf.export.model_file import new_file
from synergynet_tf.export.onnx import require_converter, save
from synergynet_tf.runs import Run


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__)
    parser.add_argument("--run", required=True, help="folder of a trained run")
    parser.add_argument("--out", required=True, help=f"the {ONNX} file to write")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Checks the arguments, exports, and prints how far the logits moved."""
    args = parse_args(argv)
    run = Run(args.run)
    card = make_card(run)
    target = new_file(args.out, ONNX)
    require_converter()

    # Here, because importing Keras takes seconds and the checks above do not.
    from synergynet_tf.evaluation.predictor import load_run_model

    measured = save(load_run_model(run), card, target)
    print(
        f"{target}: {measured['bytes'] / 1e6:.1f} MB; on {measured['probe_images']} "
        f"images logits differ from the Keras model's by at most "
        f"{measured['max_logit_difference']:.1e}, and "
        f"{measured['changed_labels']:.2%} of the labels"
    )
