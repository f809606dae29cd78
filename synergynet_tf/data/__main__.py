"""Lists a dataset: `python -m synergynet_tf.data --dataset acdc --data-dir ACDC`.

Every case is read. The exit code is 1 if one of them cannot be.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from synergynet_tf import command_line
from synergynet_tf.config import SPLITS, DataConfig
from synergynet_tf.data import DATASETS
from synergynet_tf.data.summary import format_summary, summarize


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__)
    add = parser.add_argument
    add("--dataset", required=True, choices=DATASETS)
    add("--data-dir", help="default: $SYNERGYNET_DATA/<dataset>, else data/<dataset>")
    add("--split", choices=SPLITS, help="default: the paper's, if its data is there")
    add("--split-seed", type=int, help="default: 0")
    add("--fold", help="i/n: the i-th of n parts of the patients is the test set")
    add("--limit", type=int, help="most cases of each part, for trials")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    """Prints the table, and exits with 1 if a case cannot be read."""
    flags = vars(parse_args(arguments))
    given = {
        name: value
        for name, value in flags.items()
        if value is not None and name != "debug"
    }
    summary = summarize(DataConfig(**given))
    print(format_summary(summary))
    if summary.unreadable:
        sys.exit(1)


if __name__ == "__main__":
    command_line.run(main)
