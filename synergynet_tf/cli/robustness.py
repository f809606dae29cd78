"""The `--corrupt` mode of evaluate: robustness of runs to corrupted images."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from synergynet_tf import runs
from synergynet_tf.cli.figures import run_names
from synergynet_tf.evaluation.cases import RunCases, say_notes
from synergynet_tf.evaluation.postprocess import Postprocessing
from synergynet_tf.formats import with_options


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds to `evaluate` the flag."""
    parser.add_argument(
        "--corrupt",
        action="store_true",
        help="score noise, blur, contrast, a bias field and JPEG at five severities "
        "instead, into corruption.json of each run: 26 times the work",
    )


def require_alike(cases: Sequence[RunCases]) -> None:
    """Refuses runs that cannot be set side by side.

    Raises:
        ValueError: If they have not the same cases and classes, or see them in another
            way: corruptions act on what the network takes.
    """
    for other in cases:
        if _content(other) != _content(cases[0]):
            raise ValueError(
                f"{cases[0].run} and {other.run} have not the same {other.part} cases "
                "and classes; name runs that have with --run"
            )
        if other.preprocessor != cases[0].preprocessor:
            raise ValueError(
                f"{cases[0].run} and {other.run} do not see the same images (image "
                "size, crop or channels), so a corruption is not the same for both; "
                "call --corrupt for each alone"
            )


def print_robustness(cases: Sequence[RunCases], options: Postprocessing) -> None:
    """Scores runs on corrupted images; prints and draws them side by side."""
    say_notes(cases)
    # Keras takes seconds to import; what can be refused is refused before.
    from synergynet_tf.evaluation.robustness.score import corrupt_run
    from synergynet_tf.evaluation.robustness.table import (
        draw_robustness,
        format_robustness,
        summarize,
        summary_rows,
        table_rows,
    )

    reports = [corrupt_run(own, options) for own in cases]
    folders = [own.run.path for own in cases]
    first, summaries = cases[0].run.results, summarize(reports, cases[0].patients)
    runs.write_csv(first / "corruption.csv", table_rows(folders, reports))
    summary = first / "corruption_summary.csv"
    runs.write_csv(summary, summary_rows(folders, summaries))
    words = with_options(reports[0]["options"])
    names = [name + words for name in run_names(cases)]
    draw_robustness(first / "corruption.png", names, reports)
    print(format_robustness(names, reports, summaries), end="")
    for own in cases:
        print(f"wrote {own.run.results}/corruption.json")
    print(f"wrote {first}/corruption.csv, corruption_summary.csv, corruption.png")


def _content(cases: RunCases) -> tuple[object, ...]:
    return cases.config.data.dataset, cases.case_ids, cases.class_names
