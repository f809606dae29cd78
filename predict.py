"""Labels files with a run: `python predict.py --run RUN --input DIR --output DIR`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from synergynet_tf import command_line, runs
from synergynet_tf.data.splits import complete
from synergynet_tf.evaluation import options
from synergynet_tf.evaluation.input_files import find_inputs, is_volume


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__)
    parser.add_argument("--run", required=True, help="folder of a trained run")
    parser.add_argument(
        "--input",
        required=True,
        help="an image, a volume (.nii, .nii.gz), or a folder of either",
    )
    parser.add_argument(
        "--output",
        required=True,
        help="folder for <stem>.png or <stem>.nii.gz (label map), "
        "<stem>_overlay.png and summary.csv",
    )
    options.add_flags(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Labels every file, or refuses before it writes anything."""
    args = parse_args(argv)
    data = complete(runs.read_config(args.run).data)
    runs.class_names(args.run)
    runs.require_weights(args.run)
    paths = find_inputs(args.input, args.output, data)

    # Keras takes seconds to import; what can be refused is refused before.
    from synergynet_tf.evaluation.label_files import label_files

    chosen = options.Options(args.flips, args.largest)
    rows = label_files(args.run, paths, args.output, chosen)
    kind = "volume" if is_volume(paths[0]) else "image"
    count = f"{len(rows)} {kind}" + ("s" if len(rows) > 1 else "")
    print(f"labeled {count}: label maps, overlays and summary.csv in {args.output}")


if __name__ == "__main__":
    command_line.run(main)
