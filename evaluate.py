"""Scores finished runs and sets them beside the paper: `python evaluate.py`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from synergynet_tf import command_line, metrics, runs
from synergynet_tf.evaluation.run_cases import find_cases


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__)
    parser.add_argument(
        "--run",
        action="append",
        metavar="RUN",
        help="folder of a run; may be repeated (default: every finished run)",
    )
    parser.add_argument("--runs", default="runs", help="where runs are (default: runs)")
    parser.add_argument(
        "--split",
        choices=("val", "test"),
        default="test",
        help="part of the data to score (default: test)",
    )
    parser.add_argument(
        "--protocol",
        choices=(*metrics.PROTOCOLS, "paper"),
        default="strict",
        help="rules of the scores in metrics.json (default: strict); paper: the "
        "dataset's in the paper, which the printed table always shows",
    )
    parser.add_argument("--data-dir", help="raw data (default: where the run had it)")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Scores each run, then prints all of them."""
    args = parse_args(argv)
    folders = args.run or runs.find_runs(args.runs)
    for folder in folders:
        find_cases(folder, args.split, args.data_dir)

    # Keras takes seconds to import; what can be refused is refused before.
    from synergynet_tf.evaluation.score import evaluate_run
    from synergynet_tf.evaluation.tables import format_tables

    reports = [
        evaluate_run(folder, args.split, args.protocol, args.data_dir)
        for folder in folders
    ]
    print(format_tables(reports), end="")
    for folder in folders:
        print(f"wrote {folder}/metrics.json, cases.csv, curves.png, overlays/")


if __name__ == "__main__":
    command_line.run(main)
