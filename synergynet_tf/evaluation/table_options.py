"""Flags of `evaluate.py` that print a table of the paper."""

from __future__ import annotations

import argparse

from synergynet_tf import command_line
from synergynet_tf.experiments import BUDGETS, TABLES

FORMATS = ("text", "markdown", "latex", "csv")
BESIDE_TABLE = ("runs", "data_dir", "workers", "debug")
NEED_TABLE = ("dataset", "budget", "seeds", "rival", "format")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Gives `evaluate.py` the flags."""
    group = parser.add_argument_group("a table of the paper, instead of runs")
    add = group.add_argument
    add("--table", type=int, choices=TABLES, help="print it, ours beside the paper's")
    add("--dataset", help="one of the table's, where it has two")
    add("--budget", choices=BUDGETS, help="of the runs (default: paper)")
    add("--seeds", nargs="+", type=int, help="only these (default: all there are)")
    add("--rival", metavar="ROW", help="the row that the others are tested against")
    add("--format", choices=FORMATS, help="default: text")


def check_flags(parser: command_line.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuses flags that do not go together, in one line."""
    given = parser.given(args)
    if args.table is None:
        if alone := [given[name] for name in NEED_TABLE if name in given]:
            parser.error(f"only with --table: {', '.join(alone)}")
        return
    known = {"table", *BESIDE_TABLE, *NEED_TABLE}
    if others := [flag for name, flag in given.items() if name not in known]:
        parser.error(
            f"not with --table: {', '.join(others)}; a table is of finished runs' test "
            "cases, under the paper's protocol"
        )
