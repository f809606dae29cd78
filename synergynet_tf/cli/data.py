"""Lists a dataset: `synergynet data --dataset acdc --data-dir ACDC`.

Every case of the split is read; with --check every case. The exit code is 1 if one
cannot be read, with --check if there is any problem, with --leaks if any image is there
twice.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from synergynet_tf.cli import command_line
from synergynet_tf.config import SPLITS, DataConfig
from synergynet_tf.data import DATASETS
from synergynet_tf.data.check import check, format_findings, format_summary, summarize
from synergynet_tf.data.leaks import find_leaks_of_dataset, find_leaks_of_folders
from synergynet_tf.parallel import usable_cores


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__)
    add = parser.add_argument
    add("--dataset", choices=DATASETS)
    add("--data-dir", help="default: $SYNERGYNET_DATA/<dataset>, else data/<dataset>")
    add("--split", choices=SPLITS, help="default: the paper's, if its data is there")
    add("--split-seed", type=int, help="default: 0")
    add("--fold", help="i/n: the i-th of n parts of the patients is the test set")
    add("--limit", type=int, help="most cases of each part, for trials")
    add("--check", action="store_true", help="list every problem of its files instead")
    add(
        "--leaks",
        nargs="*",
        metavar="DIR",
        help="list images that are there twice instead, also as resized, recolored or "
        "mirrored copies: between the parts of --dataset and within each; or, without "
        "it, in one folder, or between two",
    )
    add("--workers", type=int, help="processes that read (default: one a core)")
    args = parser.parse_args(arguments)
    given = parser.given(args)
    beside = ("dataset", "data_dir", "debug", "check", "workers")
    others = [flag for name, flag in given.items() if name not in beside]
    if args.leaks is not None:
        _check_leaks(parser, args)
    elif not args.dataset:
        parser.error("the following arguments are required: --dataset")
    elif args.check and others:
        parser.error(f"--check reads every case; leave out {', '.join(others)}")
    elif not args.check and "workers" in given:
        parser.error("only with --check or --leaks: --workers")
    if args.workers is not None and args.workers < 0:
        parser.error(f"--workers must be at least 0. Received: {args.workers}")
    return args


def _check_leaks(parser: command_line.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuses flags that do not go with --leaks, with folders or without."""
    known = {"leaks", "workers", "debug"}
    if not args.leaks:
        if not args.dataset:
            parser.error("--leaks needs one folder or two, or a --dataset")
        known |= {"dataset", "data_dir", "split", "split_seed", "fold"}
    elif len(args.leaks) > 2:
        parser.error(f"--leaks takes one folder or two. Received: {len(args.leaks)}")
    given = parser.given(args)
    if others := [flag for name, flag in given.items() if name not in known]:
        what = "folders" if args.leaks else "a dataset"
        parser.error(f"not with --leaks of {what}: {', '.join(others)}")


def main(arguments: Sequence[str]) -> None:
    """Prints the table, the problems or the leaks; exits with 1 if there are any."""
    flags = vars(parse_args(arguments))
    asked, folders = flags.pop("check"), flags.pop("leaks")
    workers = flags.pop("workers")
    workers = usable_cores() if workers is None else workers
    given = {
        name: value
        for name, value in flags.items()
        if value is not None and name != "debug"
    }
    if folders is not None:
        if folders:
            leaks = find_leaks_of_folders(folders, workers)
        else:
            leaks = find_leaks_of_dataset(DataConfig(**given), workers)
        print(leaks)
        if leaks.copies or any(image.problem for image in leaks.images):
            sys.exit(1)
        return
    if asked:
        findings = check(DataConfig(**given), workers)
        print(format_findings(findings))
        if findings.problems:
            sys.exit(1)
        return
    summary = summarize(DataConfig(**given))
    print(format_summary(summary))
    if summary.unreadable:
        sys.exit(1)
