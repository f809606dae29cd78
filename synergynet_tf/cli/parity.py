"""Parity of exports: `synergynet parity --run RUN --model FILE_OR_DIR ...`.

Predicts real cases with the run and with each export of it, and writes `parity.json`
and `parity.md`: how far logits, labels, codes and DSC differ, sizes, and latencies.
"""

from __future__ import annotations

import argparse
import json
import pathlib
from collections.abc import Sequence

from synergynet_tf import runs
from synergynet_tf.cli import command_line
from synergynet_tf.config import ExperimentConfig
from synergynet_tf.evaluation.cases import find_cases, say_notes
from synergynet_tf.export.card import make_card
from synergynet_tf.export.exported_model import Exported, find_exported
from synergynet_tf.runs import Run

JSON, MARKDOWN = "parity.json", "parity.md"


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__)
    add = parser.add_argument
    add("--run", required=True, help="folder of the run that was exported")
    add(
        "--model",
        required=True,
        nargs="+",
        action="extend",
        help="exports: .tflite and .onnx files, folders of SavedModels",
    )
    add(
        "--split",
        choices=("val", "test"),
        default="val",
        help="part of the data to compare on (default: val)",
    )
    add("--cases", type=int, default=20, help="how many of it, evenly (default: 20)")
    add("--data-dir", help="raw data (default: where the run had it)")
    add("--out", help="folder of parity.json and parity.md (default: the run's)")
    add("--accept", action="store_true", help="pass exports outside their limits")
    args = parser.parse_args(argv)
    if args.cases < 1:
        parser.error(f"--cases must be at least 1. Received: {args.cases}")
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Compares, writes and prints; refuses an export that is outside its limits."""
    args = parse_args(argv)
    run = Run(args.run)
    cases = find_cases(run, args.split, args.data_dir)
    exports = [find_exported(path) for path in args.model]
    _require_of_run(exports, run)
    out = pathlib.Path(args.out or run.path)
    runs.require_writable(out, "--out")
    say_notes([cases])

    # Here, because importing Keras takes seconds and the checks above do not.
    from synergynet_tf.export.parity import compare, format_markdown

    report = compare(cases, exports, args.cases)
    table = format_markdown(report)
    runs.write_json(out / JSON, report)
    runs.write_text(out / MARKDOWN, table)
    print(table)
    print(f"wrote {out / JSON} and {MARKDOWN}")
    outside = [
        f"{entry['path']} ({', '.join(entry['outside'])})"
        for entry in report["exports"]
        if entry["outside"]
    ]
    if outside and not args.accept:
        raise ValueError(
            f"Outside its limits: {'; '.join(outside)}. Use another export, or pass "
            "--accept to take it as it is"
        )


def _require_of_run(exports: Sequence[Exported], run: Run) -> None:
    """Refuses an export of another run, or of this one's earlier weights."""
    card = make_card(run)
    config = ExperimentConfig.from_json(json.dumps(card["config"]))
    for exported in exports:
        weights = exported.card.values.get("weights_sha256")
        for same, what in (
            (exported.card.config == config, "settings"),
            (weights == card["weights_sha256"], "weights"),
        ):
            if not same:
                raise ValueError(
                    f"{exported.path} is not an export of {run}: their {what} differ; "
                    "name the run that it was made of, or export this one"
                )
