"""Flags of `train.py` that train a table of the paper."""

from __future__ import annotations

import argparse

from synergynet_tf import command_line
from synergynet_tf.experiments import BUDGETS, TABLES

# Settings that may be given for all rows alike; the others are the row's and budget's.
SHARED = (
    "precision",
    "strategy",
    "split",
    "split_seed",
    "encoder_weights",
    "vit_weights",
)
BESIDE_TABLE = ("dataset", "data_dir", "runs", "dry_run", "debug", *SHARED)
NEED_TABLE = ("row", "seeds", "budget", "list")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Gives `train.py` the flags."""
    group = parser.add_argument_group("a table of the paper, instead of one model")
    add = group.add_argument
    add("--table", type=int, choices=TABLES, help="train what is missing of its rows")
    add("--row", nargs="+", action="extend", help="only these rows (default: all)")
    add("--seeds", nargs="+", type=int, help="train each row with each (default: 0)")
    add("--budget", choices=BUDGETS, help="what a run may cost (default: paper)")
    add(
        "--list",
        action="store_true",
        help="print a command for each missing run, for a scheduler, and stop",
    )


def check_flags(parser: command_line.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuses flags that do not go together, in one line."""
    reason = "the settings are those of the paper's row and of --budget"
    parser.check_table_flags(args, NEED_TABLE, BESIDE_TABLE, reason)
    if args.table is None and args.dataset is None:
        parser.error("the following arguments are required: --dataset")
