"""Lists a dataset: `python -m synergynet_tf.data --dataset acdc --data-dir ACDC`.

Every case is read. The exit code is 1 if one of them cannot be, or with --check if
there is any problem.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from synergynet_tf.cli import command_line
from synergynet_tf.config import SPLITS, DataConfig
from synergynet_tf.data import DATASETS
from synergynet_tf.data.check import check, format_findings, format_summary, summarize


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
    add("--check", action="store_true", help="list every problem of its files instead")
    add("--workers", type=int, help="processes that check (default: one a core)")
    args = parser.parse_args(arguments)
    given = parser.given(args).keys() - {"dataset", "data_dir", "debug", "check"}
    if args.check and (others := given - {"workers"}):
        parser.error(f"--check reads every case; leave out {', '.join(sorted(others))}")
    if not args.check and "workers" in given:
        parser.error("only with --check: --workers")
    if args.workers is not None and args.workers < 0:
        parser.error(f"--workers must be at least 0. Received: {args.workers}")
    return args


def main(arguments: Sequence[str]) -> None:
    """Prints the table, or the problems; exits with 1 if there are any."""
    flags = vars(parse_args(arguments))
    asked, workers = flags.pop("check"), flags.pop("workers")
    given = {
        name: value
        for name, value in flags.items()
        if value is not None and name != "debug"
    }
    if asked:
        cores = os.cpu_count() or 1
        findings = check(DataConfig(**given), cores if workers is None else workers)
        print(format_findings(findings))
        if findings.problems:
            sys.exit(1)
        return
    summary = summarize(DataConfig(**given))
    print(format_summary(summary))
    if summary.unreadable:
        sys.exit(1)
