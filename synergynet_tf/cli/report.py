"""`evaluate.py --report`: takes the scores that are there, or makes them first."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import sys
from collections.abc import Sequence

from synergynet_tf import runs
from synergynet_tf.data import DATASETS
from synergynet_tf.evaluation.cases import find_cases
from synergynet_tf.evaluation.postprocess import Options
from synergynet_tf.evaluation.report.page import NEEDED, write_html_report
from synergynet_tf.evaluation.score_file import read_scores_of


def write_reports(
    folders: Sequence[str | pathlib.Path], args: argparse.Namespace
) -> None:
    """Writes the report of each run.

    Scores that are missing or damaged, older than the weights, or other than those
    that were asked for are made first, and a line says so. Where the data lay is asked
    for by `--data-dir` alone: a run may be looked at where its data is not.

    Args:
        folders: Of the runs.
        args: What `evaluate.py` has parsed.
    """
    options = Options(args.flips, args.largest)
    asked = args.split, args.protocol, args.data_dir, options
    reasons = {folder: _why_not(folder, *asked) for folder in folders}
    lacking = [folder for folder, reason in reasons.items() if reason]
    for folder in lacking:
        find_cases(folder, args.split, args.data_dir)
    for folder in lacking:
        from synergynet_tf.evaluation.score import evaluate_run

        print(f"scoring {folder}: {reasons[folder]}", file=sys.stderr)
        how = args.split, args.protocol, args.data_dir
        evaluate_run(folder, *how, options, args.workers)
    for folder in folders:
        print(f"wrote {write_html_report(folder)}")


def _why_not(
    run: str | pathlib.Path,
    part: str,
    protocol: str,
    data_dir: str | None,
    options: Options,
) -> str:
    """Says why a run's scores do not serve; nothing if they do."""
    path = pathlib.Path(run, "metrics.json")
    if not path.is_file():
        return "it has no metrics.json"
    if runs.is_older_than_weights(path):
        return "its metrics.json is older than the weights"
    try:
        report = read_scores_of(run, NEEDED)
    except ValueError:
        return "its metrics.json is damaged, or of another version"
    if protocol == "paper" and report["dataset"] in DATASETS:
        protocol = DATASETS[report["dataset"]].PAPER_PROTOCOL
    asked = {
        "split": part,
        "protocol": protocol,
        "options": dataclasses.asdict(options),
    }
    if data_dir is not None:
        asked["data_dir"] = str(pathlib.Path(data_dir).resolve())
    other = [name for name, value in asked.items() if report.get(name) != value]
    return f"its metrics.json is of other {' and '.join(other)}" if other else ""
