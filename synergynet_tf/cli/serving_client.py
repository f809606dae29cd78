"""TensorFlow Serving client: `synergynet client --url URL ...`.

It writes what `synergynet predict` writes of images. `--url http://host:8501` uses
REST and needs no TensorFlow; `--url host:8500` uses gRPC.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence

from synergynet_tf.cli import command_line
from synergynet_tf.data.preprocess import Preprocessor
from synergynet_tf.evaluation.inputs import find_inputs, is_volume
from synergynet_tf.export.serving_client import MODALITY, connect, label_with_server
from synergynet_tf.formats import counted


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__)
    add = parser.add_argument
    add("--url", required=True, help="http://host:8501 (REST) or host:8500 (gRPC)")
    add("--input", required=True, help="an image, or a folder of images")
    add("--output", required=True, help="folder for label maps, overlays, summary.csv")
    add("--model", default="synergynet", help="its name on the server (%(default)s)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--version", type=int, help="its version (the latest)")
    which.add_argument("--version-label", default="", help="its version, by a label")
    add(
        "--timeout",
        type=float,
        default=60.0,
        help="seconds to wait for an answer, in all (%(default)s)",
    )
    add("--retries", type=int, default=4, help="per request (%(default)s)")
    args = parser.parse_args(argv)
    if not 0 < args.timeout < float("inf"):
        parser.error(f"--timeout must be above 0. Received: {args.timeout:g}")
    if args.version is not None and args.version < 1:
        parser.error(f"--version must be at least 1. Received: {args.version}")
    if args.retries < 0:
        parser.error(f"--retries must be at least 0. Received: {args.retries}")
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Labels every file; reads each before it sends or writes anything.

    If the server fails or refuses a file midway, the results so far stay, and the
    same command can be repeated.
    """
    args = parse_args(argv)
    if is_volume(pathlib.Path(args.input)):
        raise ValueError(
            f"{args.input} is a volume, and a server takes image files; label it with "
            "synergynet predict"
        )
    # Whatever the model's modality, image files are sent; the server resizes them.
    paths = find_inputs(
        args.input, args.output, Preprocessor(MODALITY, size=1), note_faint=False
    )
    server = connect(
        args.url, args.model, args.version, args.version_label, args.timeout
    )
    rows = label_with_server(server, paths, pathlib.Path(args.output), args.retries)
    count = counted(len(rows), "image")
    print(f"labeled {count}: label maps, overlays and summary.csv in {args.output}")
