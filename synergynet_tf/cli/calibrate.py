"""Calibrates the probabilities of a run: `synergynet calibrate --run RUN`.

Fits a temperature on the run's validation cases, measures ECE and Brier score of its
test cases before and after, and writes `calibration.json` into the run's folder.
Exports and predictions of the run then use the temperature for probabilities and
confidences; labels stay as they are.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from synergynet_tf import formats, runs
from synergynet_tf.cli import command_line
from synergynet_tf.data.spec import PARTS
from synergynet_tf.evaluation.cases import find_cases, say_notes
from synergynet_tf.runs import Run


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__)
    add = parser.add_argument
    add("--run", required=True, help="folder of a trained run")
    add(
        "--split",
        choices=PARTS,
        default="test",
        help="cases to measure on; the fit is always on val (default: %(default)s)",
    )
    add("--data-dir", help="raw data (default: where the run had it)")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Fits, measures, writes and prints."""
    args = parse_args(argv)
    run = Run(args.run)
    cases = [find_cases(run, part, args.data_dir) for part in ("val", args.split)]
    runs.require_writable(run.results, "--run")
    say_notes(cases)

    # Keras takes seconds to import; what can be refused is refused before.
    from synergynet_tf.evaluation import calibration
    from synergynet_tf.evaluation.predictor import Predictor, load_run_model

    found = calibration.calibrate(Predictor(load_run_model(run)), *cases)
    path = run.results / runs.CALIBRATION
    runs.write_json(path, formats.without_nan(found))
    print(format_calibration(found))
    print(f"\nwrote {path}")


def format_calibration(found: Mapping[str, Any]) -> str:
    """Returns what `calibration.calibrate` found as text."""
    fitted, measured = found["fitted"], found["measured"]
    trust = measured["confidence"]
    rows = [["", "ECE before", "after", "Brier before", "after"]]
    for name, values in measured["per_class"].items():
        pairs = [
            (values[when][score], values[when]["interval"][score])
            for score in ("ece", "brier")
            for when in ("before", "after")
        ]
        rows.append([name, *(formats.with_interval(*pair, ".4f") for pair in pairs)])
    area = formats.with_interval(trust["area"], trust["interval"], ".4f")
    confidence = "The network finds no structure, so there is no confidence to judge."
    if trust["structures"]:
        confidence = (
            f"Confidence against 1 - DSC of {trust['structures']} structures: area "
            f"under the risk-coverage curve {area}; {trust['best_area']:.4f} would be "
            f"the best, {trust['random_area']:.4f} chance."
        )
    return (
        f"temperature {found['temperature']:.3f}, fitted on "
        f"{formats.counted(fitted['num_cases'], 'validation case')}: negative "
        f"log-likelihood {fitted['nll_before']:.4f} -> {fitted['nll_after']:.4f}\n\n"
        f"{formats.counted(measured['num_cases'], 'case')} of the {measured['split']} "
        f"part, pixels at most {found['margin']} from a structure, with 95 % "
        f"intervals by patient:\n\n{formats.columns(rows)}\n\n"
        f"{textwrap.fill(confidence, formats.LINE_WIDTH)}"
    )
