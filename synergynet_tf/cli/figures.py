"""Figures of several runs: `python -m synergynet_tf.evaluation.figures`.

With `--runs`, two figures of the paper: `delineations.png` is its Figs. 3 and 4,
`gradcam.png` its Fig. 2: a row for each slice, in the latter for each of its classes,
and a column for each run. With `--curves`, the validation DSC of runs against epochs.
"""

from __future__ import annotations

import argparse
import functools
import math
import pathlib
from collections.abc import Sequence

from synergynet_tf import metrics, runs
from synergynet_tf.cli import command_line
from synergynet_tf.data.splits import complete
from synergynet_tf.evaluation.cases import RunCases, find_cases
from synergynet_tf.evaluation.score_file import read_report

# What picks the slices of `--runs`.
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
        draw_validation_curves(args.out, args.curves)
        print(f"wrote {args.out}")
        return
    runs.require_writable(args.out, "--out")
    cases = [find_cases(run, args.split, args.data_dir) for run in args.runs]
    _require_alike(args.runs, cases)
    case_ids = args.cases or [median_case(args.runs[0], cases[0])]
    for run, own in zip(args.runs, cases, strict=True):
        for case_id in case_ids:
            if case_id not in own.case_ids:
                raise ValueError(
                    f"--cases: {case_id} is not in the {args.split} part of {run}, "
                    f"which has such as {own.case_ids[0]}"
                )

    # Keras takes seconds to import; what can be refused is refused before.
    from synergynet_tf.evaluation.figures import panels

    read = functools.partial(cases[0].dataset.read_case, cases[0].root)
    modality = complete(cases[0].config.data).modality
    slices = panels.find_slices(
        map(read, dict.fromkeys(case_ids)), modality, args.slices
    )
    views = [
        panels.predict_views(run, own, slices)
        for run, own in zip(args.runs, cases, strict=True)
    ]
    panels.require_classes(slices, views)
    names, classes = run_names(args.runs, cases), cases[0].class_names
    out = pathlib.Path(args.out)
    for name, draw in (
        ("delineations.png", panels.draw_delineations),
        ("gradcam.png", panels.draw_gradcams),
    ):
        draw(out / name, slices, views, names, classes)
    print(f"wrote {out}/delineations.png, gradcam.png")


def median_case(run: str | pathlib.Path, cases: RunCases) -> str:
    """Returns the case of the median DSC in a run's `metrics.json`, of `strict`.

    Raises:
        FileNotFoundError: If the run was not scored since it was trained.
        ValueError: If it was scored on another part, or its scores are damaged.
    """
    path = pathlib.Path(run, "metrics.json")
    advice = (
        f"score it with evaluate.py --run {run} --split {cases.part}, or name cases "
        "with --cases"
    )
    if not path.is_file() or runs.is_older_than_weights(path):
        raise FileNotFoundError(f"No scores of the weights in {run}; {advice}")
    try:
        report = read_report(path)
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); {advice}") from error
    if report.get("split") != cases.part:
        raise ValueError(f"{path} is not of the {cases.part} part; {advice}")
    ranked = []
    for case in report.get("cases", []):
        scores = {
            name: {"dsc": math.nan if by["dsc"] is None else by["dsc"]}
            for name, by in case.get("strict", {}).items()
        }
        dsc = metrics.mean_of_classes(scores)["dsc"] if scores else math.nan
        if not math.isnan(dsc):
            ranked.append((dsc, case["case_id"]))
    if not ranked:
        raise ValueError(f"{path} has no case with a DSC under strict; {advice}")
    ranked.sort(key=lambda pair: -pair[0])
    return str(ranked[len(ranked) // 2][1])


def run_names(
    folders: Sequence[str | pathlib.Path], cases: Sequence[RunCases]
) -> list[str]:
    """Names runs as briefly as they can be told apart: by model, seed, or folder."""
    models = [own.config.model.name for own in cases]
    seeds = [
        f"{model} seed {own.config.training.seed}"
        for model, own in zip(models, cases, strict=True)
    ]
    for names in (models, seeds):
        if len(set(names)) == len(names):
            return names
    return [str(folder) for folder in folders]


def _require_alike(
    folders: Sequence[str | pathlib.Path], cases: Sequence[RunCases]
) -> None:
    kinds = [(own.config.data.dataset, own.class_names) for own in cases]
    for folder, kind in zip(folders, kinds, strict=True):
        if kind != kinds[0]:
            raise ValueError(
                f"--runs: {folders[0]} and {folder} are of other datasets or classes, "
                "and cannot be drawn side by side"
            )
