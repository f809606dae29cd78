"""Scores finished runs and sets them beside the paper: `synergynet evaluate`."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence

from synergynet_tf import metrics, runs
from synergynet_tf.cli import command_line, robustness, tables
from synergynet_tf.evaluation.cases import find_cases
from synergynet_tf.evaluation.postprocess import (
    NO_POSTPROCESSING,
    Postprocessing,
    add_flags,
)
from synergynet_tf.evaluation.scores import FILE, fresh_scores
from synergynet_tf.evaluation.tables.console import format_tables
from synergynet_tf.evaluation.tables.paired_runs import compare_runs, format_comparison
from synergynet_tf.parallel import usable_cores
from synergynet_tf.runs import Run

MODES = {
    "table": command_line.Mode(
        "a table is of finished runs' test cases, under the paper's protocol",
        own=("dataset", "budget", "seeds", "rival", "format"),
        beside=("runs", "data_dir", "workers"),
    ),
    "corrupt": command_line.Mode(
        "it scores DSC under strict, in this process",
        beside=("run", "runs", "split", "data_dir", "out", "flips", "largest"),
    ),
    "compare": command_line.Mode(
        "it reads scores that are there, and takes no other flag"
    ),
}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__)
    parser.add_argument(
        "--run",
        action="extend",
        nargs="+",
        metavar="RUN",
        help="folders of runs; may be repeated (default: every finished run)",
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
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="folder for all that is written of one run (default: the run's)",
    )
    add_flags(parser)
    parser.add_argument(
        "--workers",
        type=int,
        default=max(1, usable_cores() - 1),
        help="processes that score while this one predicts; 0: none (default: one "
        "less than there are cores)",
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="write report.html into the folder of each run, of the scores that are "
        "there; what is not scored so, or was with other weights, is scored first",
    )
    parser.add_argument(
        "--compare",
        nargs=2,
        metavar="RUN",
        help="compare two scored runs case by case instead, into compare.json in the "
        "second one's folder",
    )
    robustness.add_flags(parser)
    tables.add_flags(parser)
    args = parser.parse_args(argv)
    parser.check_modes(args, MODES)
    if args.workers < 0:
        parser.error(f"--workers must be at least 0. Received: {args.workers}")
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Scores each run, then prints all of them; or compares two."""
    args = parse_args(argv)
    if args.table:
        tables.print_table(args)
        return
    if args.compare:
        pair = [Run(folder) for folder in args.compare]
        print(format_comparison(compare_runs(*pair)), end="")
        print(f"wrote {args.compare[1]}/compare.json")
        return
    opened = runs.open_runs(args.run, args.runs)
    if args.out:
        if len(opened) > 1:
            raise ValueError(
                f"--out takes what is written of one run, and there are {len(opened)}: "
                "name it with --run"
            )
        opened = [Run(opened[0].path, args.out)]
    if args.report:
        require_writable(opened)
        write_reports(opened, args)
        return
    cases = [find_cases(run, args.split, args.data_dir) for run in opened]
    if args.corrupt:
        robustness.require_alike(cases)
    require_writable(opened)
    if args.corrupt:
        robustness.print_robustness(cases, Postprocessing(args.flips, args.largest))
        return

    # Keras takes seconds to import; what can be refused is refused before.
    from synergynet_tf.evaluation.evaluate import evaluate_run

    chosen = Postprocessing(args.flips, args.largest)
    # Post-processing is chosen on validation cases, so there its effect is shown.
    baseline = [NO_POSTPROCESSING] if args.split == "val" else []
    tried = dict.fromkeys([*baseline, chosen])
    scored = []
    for options in tried:
        scored += [
            evaluate_run(own, args.protocol, options, args.workers) for own in cases
        ]
        cases = [dataclasses.replace(own, notes=()) for own in cases]  # Said once.
    print(format_tables(scored), end="")
    for run in opened:
        print(f"wrote {run.results}/metrics.json, cases.csv, curves.png, overlays/")


def require_writable(opened: Sequence[Run]) -> None:
    """Refuses runs into whose folders of results nothing can be written.

    Raises:
        PermissionError: If it refuses a run.
    """
    for run in opened:
        if run.results != run.path:
            runs.require_writable(run.results, "--out")
            continue
        try:
            runs.require_writable(run.path, "--run")
        except PermissionError as error:
            raise PermissionError(f"{error}, or a folder with --out") from error


def write_reports(opened: Sequence[Run], args: argparse.Namespace) -> None:
    """Writes the report of each run.

    A run without current scores for these options is scored first; a message says why.
    The data must be there only then: a report can be made where the data is not.

    Args:
        opened: The runs.
        args: The parsed flags of `evaluate`.
    """
    # The plotting library takes a second to import.
    from synergynet_tf.evaluation.report.page import write_html_report

    options = Postprocessing(args.flips, args.largest)
    asked = args.split, args.protocol, args.data_dir, options
    reasons = {run: _why_not(run, *asked) for run in opened}
    lacking = [run for run, reason in reasons.items() if reason]
    cases = [find_cases(run, args.split, args.data_dir) for run in lacking]
    for run, own in zip(lacking, cases, strict=True):
        from synergynet_tf.evaluation.evaluate import evaluate_run

        print(f"scoring {run}: {reasons[run]}", file=sys.stderr)
        evaluate_run(own, args.protocol, options, args.workers)
    for run in opened:
        print(f"wrote {write_html_report(run)}")


def _why_not(
    run: Run,
    part: str,
    protocol: str,
    data_dir: str | None,
    options: Postprocessing,
) -> str:
    """Says why a run's scores do not serve; nothing if they do."""
    scores, reason = fresh_scores(run)
    if scores is None:
        return f"its {FILE} is {reason}" if reason else f"it has no {FILE}"
    other = scores.unlike(part, protocol, options, data_dir)
    return f"its {FILE} is of other {' and '.join(other)}" if other else ""
