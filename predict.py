"""Labels images with a run: `python predict.py --run RUN --input DIR --output DIR`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from synergynet_tf import command_line, runs
from synergynet_tf.evaluation.inputs import find_images


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__)
    parser.add_argument("--run", required=True, help="folder of a trained run")
    parser.add_argument(
        "--input", required=True, help="an image, or a folder of images"
    )
    parser.add_argument(
        "--output",
        required=True,
        help="folder for <stem>.png (label map), <stem>_overlay.png and summary.csv",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Labels every image, or refuses before it writes anything."""
    args = parse_args(argv)
    runs.read_config(args.run)
    runs.require_weights(args.run)

    paths = find_images(args.input, args.output)

    # Keras takes seconds to import; what can be refused is refused before.
    from synergynet_tf.evaluation.label_files import label_files

    rows = label_files(args.run, paths, args.output)
    count = f"{len(rows)} image" + ("s" if len(rows) > 1 else "")
    print(f"labelled {count}: label maps, overlays and summary.csv in {args.output}")


if __name__ == "__main__":
    command_line.run(main)
