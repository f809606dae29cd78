"""The `--corrupt` mode of evaluate: robustness of runs to corrupted images."""

from __future__ import annotations

import argparse

from synergynet_tf import runs
from synergynet_tf.cli.figures import run_names
from synergynet_tf.evaluation.cases import RunCases, find_cases
from synergynet_tf.evaluation.postprocess import Postprocessing
from synergynet_tf.formats import with_options


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Gives `evaluate.py` the flag."""
    parser.add_argument(
        "--corrupt",
        action="store_true",
        help="score noise, blur, contrast, a bias field and JPEG at five severities "
        "instead, into corruption.json of each run: 26 times the work",
    )


def print_robustness(args: argparse.Namespace) -> None:
    """Scores runs on corrupted images; prints and draws them side by side."""
    opened = runs.open_runs(args.run, args.runs)
    cases = [find_cases(run, args.split, args.data_dir) for run in opened]
    for other in cases:
        if _content(other) != _content(cases[0]):
            raise ValueError(
                f"{cases[0].run} and {other.run} have not the same {args.split} cases "
                "and classes; name runs that have with --run"
            )

    for run in opened:
        runs.require_writable(run.path, "--run")

    # Keras takes seconds to import; what can be refused is refused before.
    from synergynet_tf.evaluation.robustness.score import corrupt_run
    from synergynet_tf.evaluation.robustness.table import (
        draw_robustness,
        format_robustness,
        summarize,
        summary_rows,
        table_rows,
    )

    options = Postprocessing(args.flips, args.largest)
    reports = [corrupt_run(own, options) for own in cases]
    folders = [run.path for run in opened]
    first, summaries = folders[0], summarize(reports, cases[0].patients)
    runs.write_csv(first / "corruption.csv", table_rows(folders, reports))
    summary = first / "corruption_summary.csv"
    runs.write_csv(summary, summary_rows(folders, summaries))
    words = with_options(reports[0]["options"])
    names = [name + words for name in run_names(cases)]
    draw_robustness(first / "corruption.png", names, reports)
    print(format_robustness(names, reports, summaries), end="")
    for folder in folders:
        print(f"wrote {folder}/corruption.json")
    print(f"wrote {first}/corruption.csv, corruption_summary.csv, corruption.png")


def _content(cases: RunCases) -> tuple[object, ...]:
    return cases.config.data.dataset, cases.case_ids, cases.class_names
