"""Shows what the codes of a run stand for.

Into a folder, `--out`, go `codes.json`, written last, and the figures that it names:
which code stands where, the typical patches of the most used codes, what DisConX and
the refinement look at, and what changes in the prediction when a code is switched off
or a part of the bottleneck is averaged over positions.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence

from synergynet_tf import runs
from synergynet_tf.cli import command_line
from synergynet_tf.data.spec import PARTS
from synergynet_tf.evaluation.cases import RunCases, find_cases, say_notes
from synergynet_tf.models import METHODS
from synergynet_tf.runs import Run


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__)
    add = parser.add_argument
    add("--run", required=True, help="folder of a run whose method has a codebook")
    add(
        "--out",
        metavar="DIR",
        help="folder to write to (default: codes in the run's folder, where "
        "synergynet report looks for it)",
    )
    add("--split", choices=PARTS, default="val", help="cases to look at (default: val)")
    add("--data-dir", help="raw data (default: where the run had it)")
    add(
        "--cases",
        nargs="+",
        metavar="CASE",
        help="cases to draw (default: best, median and worst by DSC)",
    )
    add(
        "--slice",
        type=int,
        help="slice of each of them, from 1 (default: the one with most foreground)",
    )
    add(
        "--query",
        nargs=2,
        type=int,
        metavar=("ROW", "COLUMN"),
        help="position, from 0, whose attention is drawn (default: the one with most "
        "foreground below it)",
    )
    add(
        "--codes",
        type=int,
        default=32,
        metavar="N",
        help="how many codes, the most used, are drawn and switched off (default: 32)",
    )
    add(
        "--swap",
        nargs=2,
        type=int,
        action="append",
        default=[],
        metavar=("CODE", "OTHER"),
        help="two codes that take each other's places; may be repeated",
    )
    args = parser.parse_args(argv)
    args.out = args.out or str(pathlib.Path(args.run, "codes"))
    for name in ("codes", "slice"):
        value = getattr(args, name)
        if value is not None and value < 1:
            parser.error(f"--{name} must be at least 1. Received: {value}")
    return args


def check_codes(args: argparse.Namespace, cases: RunCases) -> None:
    """Refuses a method without a codebook, and what is not in the run or its data.

    Raises:
        ValueError: If it refuses one of these.
    """
    model = cases.config.model
    if model.name in METHODS and not METHODS[model.name].has_codebook:
        owners = [name for name, method in METHODS.items() if method.has_codebook]
        raise ValueError(
            f"{args.run} is of {model.name}, which has no codebook; pass a run of "
            f"{', '.join(owners)}"
        )
    for pair in args.swap:
        if pair[0] == pair[1] or not all(0 <= code < model.num_codes for code in pair):
            raise ValueError(
                f"--swap takes two different codes below {model.num_codes}, the run's "
                f"--num-codes. Received: {pair[0]} {pair[1]}"
            )
    side = model.image_size // model.bottleneck_stride
    if args.query and not all(0 <= place < side for place in args.query):
        raise ValueError(
            f"--query must be below {side}, the positions of a row and of a column. "
            f"Received: {args.query[0]} {args.query[1]}"
        )
    if args.query and model.name in METHODS and not METHODS[model.name].has_attention:
        raise ValueError(f"--query draws nothing: {model.name} has no attention")
    if unknown := sorted(set(args.cases or ()) - set(cases.case_ids)):
        raise ValueError(
            f"--cases: {unknown[0]} is not among the {len(cases.case_ids)} cases of "
            f"the {cases.part} part, such as {cases.case_ids[0]}"
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Writes the figures and `codes.json`; prints what they say."""
    args = parse_args(argv)
    cases = find_cases(Run(args.run), args.split, args.data_dir)
    check_codes(args, cases)
    runs.require_writable(args.out, "--out")
    say_notes([cases])

    # Keras takes seconds to import; what can be refused is refused before.
    from synergynet_tf.evaluation.codes.analysis import format_report, report_codes

    report = report_codes(
        cases,
        args.out,
        drawn_cases=args.cases or (),
        drawn_slice=args.slice,
        query=args.query,
        num_codes=args.codes,
        swaps=args.swap,
    )
    print(format_report(report), end="")
    print(f"wrote {args.out}/codes.json and {len(report['figures'])} figures")
