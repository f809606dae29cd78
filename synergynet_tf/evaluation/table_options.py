"""Flags of `evaluate.py` that print a table of the paper."""

from __future__ import annotations

import argparse

from synergynet_tf import command_line
from synergynet_tf.evaluation.table_formats import FORMATTERS
from synergynet_tf.experiments import BUDGETS, TABLES

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
    add("--format", choices=FORMATTERS, help="default: text")


def check_flags(parser: command_line.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuses flags that do not go together, in one line."""
    reason = "a table is of finished runs' test cases, under the paper's protocol"
    parser.check_table_flags(args, NEED_TABLE, BESIDE_TABLE, reason)
