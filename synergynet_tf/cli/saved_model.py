"""SavedModel export: `synergynet export saved-model --run RUN --out DIR`.

Writes `DIR/<version>/`, a SavedModel for TensorFlow Serving with its warm-up requests,
`model_card.json` and a README.md made from that; docs/serving.md says what it takes
and returns.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from synergynet_tf.cli import command_line
from synergynet_tf.export.card import make_card
from synergynet_tf.export.saved_model import save, version_dir
from synergynet_tf.runs import Run


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__)
    parser.add_argument("--run", required=True, help="folder of a trained run")
    parser.add_argument("--out", required=True, help="folder of the versions")
    parser.add_argument("--version", type=int, help="default: the next integer")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Checks the arguments, exports, and prints where and how exactly."""
    args = parse_args(argv)
    run = Run(args.run)
    card = make_card(run)
    target = version_dir(args.out, args.version)

    # Here, because importing Keras takes seconds and the checks above do not.
    from synergynet_tf.evaluation.predictor import load_run_model

    model = load_run_model(run)
    difference = save(model, card, target)
    print(f"{target}: logits differ from the Keras model's by at most {difference:.1e}")
