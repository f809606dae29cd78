"""Segments images or volumes with a run or an exported model.

With a run, with what was exported of one, or with a shipped model:

    synergynet predict photo.jpg --model isic-lite0 --output out

`synergynet models --zoo` lists the shipped models.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Sequence

from synergynet_tf.cli import command_line
from synergynet_tf.data.preprocess import Preprocessor
from synergynet_tf.evaluation import postprocess
from synergynet_tf.evaluation.inputs import find_inputs, is_volume
from synergynet_tf.evaluation.predict import Model, Trained
from synergynet_tf.export.exported_model import find_exported
from synergynet_tf.formats import counted
from synergynet_tf.runs import Run


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", help="folder of a trained run")
    source.add_argument(
        "--model",
        help="an exported model (a .tflite or .onnx file, or a SavedModel's folder), "
        "or the name of a shipped one",
    )
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument(
        "image",
        nargs="?",
        metavar="INPUT",
        help="an image, a volume (.nii, .nii.gz, .nrrd, .mha), or a folder of either",
    )
    given.add_argument("--input", metavar="INPUT", help="the same")
    parser.add_argument(
        "--output",
        required=True,
        help="folder for label maps (<stem>.png; of a volume <stem>.nii.gz, .nrrd or "
        ".mha), <stem>_overlay.png and summary.csv",
    )
    postprocess.add_flags(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Labels every file, or refuses before it writes anything."""
    args = parse_args(argv)
    trained, load = _find_model(args)
    preprocessor = Preprocessor.of(trained.config)
    channels = trained.image_channels
    paths = find_inputs(args.image or args.input, args.output, preprocessor, channels)

    # Loading a model takes seconds of imports; what can be refused is refused before.
    from synergynet_tf.evaluation.label_files import label_files, least_confident

    chosen = postprocess.Postprocessing(args.flips, args.largest)
    rows = label_files(load(), trained, paths, args.output, chosen)
    count = counted(len(rows), "volume" if is_volume(paths[0]) else "image")
    print(f"labeled {count}: label maps, overlays and summary.csv in {args.output}")
    if least := least_confident(rows):
        print(f"look first at {', '.join(least)}: least confident")


def _find_model(args: argparse.Namespace) -> tuple[Trained, Callable[[], Model]]:
    """Returns what is known of the model, checked, and what loads it."""
    if args.run is None:
        exported = find_exported(args.model)
        return exported.card, exported.open
    run = Run(args.run)
    # Whichever of its files is damaged is refused now.
    _ = run.config, run.class_names, run.image_channels, run.label_values
    _ = run.temperature, run.weights()
    return run, functools.partial(_load_run, run)


def _load_run(run: Run) -> Model:
    from synergynet_tf.evaluation.predictor import Predictor, load_run_model

    return Predictor(load_run_model(run))
