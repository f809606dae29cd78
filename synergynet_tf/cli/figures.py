"""Figures of several runs: `synergynet figures`.

With `--runs`, two figures of the paper: `delineations.png` is its Figs. 3 and 4,
`gradcam.png` its Fig. 2: a row for each slice, in the latter for each of its classes,
and a column for each run. With `--curves`, the validation DSC of runs against epochs.
"""

from __future__ import annotations

import argparse
import functools
import pathlib
from collections.abc import Sequence

from synergynet_tf import runs
from synergynet_tf.cli import command_line
from synergynet_tf.evaluation.cases import RunCases, find_cases, say_notes
from synergynet_tf.evaluation.scores import FILE, read_scores
from synergynet_tf.runs import Run

# Flags that choose the slices of `--runs`.
OF_SLICES = ("cases", "slices", "split", "data_dir")


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__)
    add = parser.add_argument
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--runs", nargs="+", metavar="RUN", help="folders of runs")
    kind.add_argument(
        "--curves",
        nargs="+",
        metavar="RUN",
        help="draw validation curves instead, of runs whose folders hold config.json "
        "and history.csv, labeled by the settings that differ",
    )
    add(
        "--cases",
        nargs="+",
        metavar="CASE",
        help="names of cases (default: the first run's median one by DSC)",
    )
    add(
        "--slices",
        nargs="+",
        type=int,
        metavar="N",
        help="of each case, from 1 (default: the one with most foreground)",
    )
    add(
        "--split",
        choices=("val", "test"),
        default="test",
        help="part of the data that the cases are of (default: test)",
    )
    add("--data-dir", help="raw data (default: where the runs had it)")
    add(
        "--out",
        required=True,
        metavar="PATH",
        help="folder for the figures; with --curves, the .png file",
    )
    args = parser.parse_args(argv)
    if args.curves:
        given = parser.given(args)
        if others := [flag for name, flag in given.items() if name in OF_SLICES]:
            parser.error(f"not with --curves: {', '.join(others)}")
        if pathlib.Path(args.out).suffix.lower() != ".png":
            parser.error(
                f"--out must be a .png file with --curves. Received: {args.out}"
            )
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Draws the figures."""
    args = parse_args(argv)
    if args.curves:
        # Matplotlib takes as long to import as `--help` may take.
        from synergynet_tf.evaluation.figures.curves import draw_validation_curves

        runs.require_writable(pathlib.Path(args.out).parent, "--out")
        draw_validation_curves(args.out, [Run(run) for run in args.curves])
        print(f"wrote {args.out}")
        return
    runs.require_writable(args.out, "--out")
    cases = [find_cases(Run(run), args.split, args.data_dir) for run in args.runs]
    _require_alike(cases)
    case_ids = args.cases or [median_case(cases[0])]
    for own in cases:
        for case_id in case_ids:
            if case_id not in own.case_ids:
                raise ValueError(
                    f"--cases: {case_id} is not in the {args.split} part of {own.run}, "
                    f"which has such as {own.case_ids[0]}"
                )
    say_notes(cases)

    # Keras takes seconds to import; what can be refused is refused before.
    from synergynet_tf.evaluation.figures import panels

    read = functools.partial(cases[0].dataset.read_case, cases[0].root)
    modality = cases[0].preprocessor.modality
    slices = panels.find_slices(
        map(read, dict.fromkeys(case_ids)), modality, args.slices
    )
    views = [panels.predict_views(own, slices) for own in cases]
    panels.require_classes(slices, views)
    names, classes = run_names(cases), cases[0].class_names
    out = pathlib.Path(args.out)
    for name, draw in (
        ("delineations.png", panels.draw_delineations),
        ("gradcam.png", panels.draw_gradcams),
    ):
        draw(out / name, slices, views, names, classes)
    print(f"wrote {out}/delineations.png, gradcam.png")


def median_case(cases: RunCases) -> str:
    """Returns the case of the median DSC in a run's `metrics.json`, of `strict`.

    Raises:
        FileNotFoundError: If the run was not scored, or with other weights.
        ValueError: If it was scored on another part, or its scores are damaged.
    """
    run, path = cases.run, cases.run.results / FILE
    advice = (
        f"score it with synergynet evaluate --run {run} --split {cases.part}, or "
        "name cases with --cases"
    )
    lacking = f"No scores of the weights in {run}; {advice}"
    if not path.is_file():
        raise FileNotFoundError(lacking)
    scores = read_scores(run)
    if run.why_stale(path, scores.weights_sha256):
        raise FileNotFoundError(lacking)
    if scores.split != cases.part:
        raise ValueError(f"{path} is not of the {cases.part} part; {advice}")
    ranked = scores.ranked()
    if not ranked:
        raise ValueError(f"{path} has no case with a DSC under strict; {advice}")
    return ranked["median"]


def run_names(cases: Sequence[RunCases]) -> list[str]:
    """Names runs as briefly as they can be told apart: by model, seed, or folder."""
    models = [own.config.model.name for own in cases]
    seeds = [
        f"{model} seed {own.config.training.seed}"
        for model, own in zip(models, cases, strict=True)
    ]
    for names in (models, seeds):
        if len(set(names)) == len(names):
            return names
    return [str(own.run) for own in cases]


def _require_alike(cases: Sequence[RunCases]) -> None:
    kinds = [(own.config.data.dataset, own.class_names) for own in cases]
    for own, kind in zip(cases, kinds, strict=True):
        if kind != kinds[0]:
            raise ValueError(
                f"--runs: {cases[0].run} and {own.run} are of other datasets or "
                "classes, and cannot be drawn side by side"
            )
