"""Writes report.html of runs from their scores, which are made first if missing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from synergynet_tf.cli import evaluate
from synergynet_tf.evaluation.cases import find_cases
from synergynet_tf.evaluation.postprocess import Postprocessing
from synergynet_tf.evaluation.scores import FILE, fresh_scores
from synergynet_tf.runs import Run


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the flags of `evaluate`, as `evaluate --report` does."""
    return evaluate.parse_args([*(sys.argv[1:] if argv is None else argv), "--report"])


def main(argv: Sequence[str]) -> None:
    """Does what `evaluate --report` does."""
    evaluate.main([*argv, "--report"])


def write_reports(opened: Sequence[Run], args: argparse.Namespace) -> None:
    """Writes the report of each run.

    Scores that are missing or damaged, of other weights, or other than those
    that were asked for are made first, and a line says so. Where the data lay is asked
    for by `--data-dir` alone: a run may be looked at where its data is not.

    Args:
        opened: The runs.
        args: What `evaluate.py` has parsed.
    """
    # What it draws with takes a second to import.
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
