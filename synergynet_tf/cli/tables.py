"""The `--table` mode of evaluate: a table of the paper beside our numbers."""

from __future__ import annotations

import argparse
import pathlib
import sys
from typing import Any

from synergynet_tf import runs
from synergynet_tf.evaluation.cases import find_cases
from synergynet_tf.evaluation.tables.paper_table import make_table
from synergynet_tf.evaluation.tables.render import FORMATTERS
from synergynet_tf.evaluation.tables.rows import find_row_runs, score_runs
from synergynet_tf.experiments import BUDGETS, TABLES
from synergynet_tf.runs import Run


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds to `evaluate` the flags."""
    group = parser.add_argument_group("a table of the paper, instead of runs")
    add = group.add_argument
    add("--table", type=int, choices=TABLES, help="print it, ours beside the paper's")
    add("--dataset", help="one of the table's, where it has two")
    add("--budget", choices=BUDGETS, help="of the runs (default: paper)")
    add("--seeds", nargs="+", type=int, help="only these (default: all there are)")
    add("--rival", metavar="ROW", help="the row that the others are tested against")
    add("--format", choices=FORMATTERS, help="default: text")


def print_table(args: argparse.Namespace) -> None:
    """Prints a table of the paper; scores the runs whose scores are not there."""
    table, budget = TABLES[args.table], BUDGETS[args.budget or "paper"]
    dataset = table.pick_dataset(args.dataset)
    baseline = table.pick_rows([args.rival or table.baseline])[0].key
    if not pathlib.Path(args.runs).is_dir():
        raise FileNotFoundError(
            f"No folder {args.runs}; name the one that synergynet train --table wrote "
            "to with --runs"
        )
    found, notes = find_row_runs(table, dataset, budget, args.runs, args.seeds)

    def evaluate(run: Run) -> dict[str, Any]:
        from synergynet_tf.evaluation.evaluate import evaluate_run

        cases = find_cases(run, "test", args.data_dir)
        runs.require_writable(run.path, "--runs")
        return evaluate_run(cases, "paper", workers=args.workers).to_json()

    scores, said = score_runs(found, evaluate, args.data_dir)
    print(said, file=sys.stderr)
    made = make_table(table, dataset, budget, found, scores, baseline, notes)
    print(FORMATTERS[args.format or "text"](made), end="")
