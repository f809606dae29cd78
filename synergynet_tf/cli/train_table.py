"""The `--table` mode of train: every missing run of a table of the paper."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from synergynet_tf.cli import command_line
from synergynet_tf.config import ExperimentConfig
from synergynet_tf.experiments import BUDGETS, TABLES, jobs
from synergynet_tf.experiments.processes import run_jobs

MODES = {
    "table": command_line.Mode(
        "the settings are those of the paper's row and of --budget",
        own=("row", "seeds", "budget", "list"),
        beside=("dataset", "data_dir", "runs", "dry_run", *jobs.SHARED),
    )
}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds to `train` the flags."""
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
    parser.check_modes(args, MODES)
    if args.table is None and args.dataset is None:
        parser.error("the following arguments are required: --dataset")


def train_table(
    args: argparse.Namespace,
    experiment: Callable[[argparse.Namespace], ExperimentConfig],
) -> None:
    """Trains what is missing of a table; exits with 1 if a run fails.

    Args:
        args: Flags of `train`, with `--table`.
        experiment: Function from flags, with a `dataset`, to a run's settings.
    """
    args.dataset = TABLES[args.table].pick_dataset(args.dataset)
    TABLES[args.table].pick_rows(args.row)
    planned = jobs.plan(args, experiment(args))
    if args.list:
        commands = jobs.list_commands(planned)
        finished = len(planned) - len(commands)
        print(f"{finished} of {len(planned)} runs are finished", file=sys.stderr)
        print("".join(f"{command}\n" for command in commands), end="")
        return
    print(jobs.describe(args, planned))
    if args.dry_run:
        print(jobs.list_states(planned))
    elif run_jobs(planned, debug=args.debug):
        sys.exit(1)
