"""Tables of the converged runs, from the scores of each case that are kept.

    python -m studies.campaign_tables docs/results/campaign

A run's folder there is `<dataset>-<method>-seed<k>`, with the `cases.csv` that
`synergynet evaluate` wrote under `strict`, and the training's `history.csv`. Nothing is
trained or predicted, so anybody can print the numbers of docs/results.md again.
"""

from __future__ import annotations

import argparse
import csv
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from synergynet_tf.cli import command_line
from synergynet_tf.evaluation.label_maps.differences import compare_methods, correct
from synergynet_tf.evaluation.label_maps.methods import (
    MEAN,
    Distribution,
    describe_method,
    distribute,
)
from synergynet_tf.evaluation.scores import CaseResult
from synergynet_tf.formats import markdown, number, percent, with_interval
from synergynet_tf.metrics import METRICS, bootstrap
from synergynet_tf.runs import Run

PROTOCOL = "strict"
Report = dict[str, Any]


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__.splitlines()[0] if __doc__ else None)
    add = parser.add_argument
    add("folder", type=pathlib.Path, help="folder of the runs' folders")
    add("--dataset", default="acdc", help="default: %(default)s")
    add(
        "--baseline",
        default="r50-unet",
        help="method that the others are compared with (default: %(default)s)",
    )
    return parser.parse_args(argv)


def find_runs(
    folder: pathlib.Path, dataset: str, baseline: str
) -> dict[str, list[pathlib.Path]]:
    """Lists the folders of each method's seeds, the baseline first.

    Raises:
        FileNotFoundError: If the baseline has none.
    """
    methods: dict[str, list[pathlib.Path]] = {baseline: []}
    for path in sorted(folder.glob(f"{dataset}-*-seed*/cases.csv")):
        name, _, _ = path.parent.name.removeprefix(f"{dataset}-").rpartition("-seed")
        methods.setdefault(name, []).append(path.parent)
    if not methods[baseline]:
        raise FileNotFoundError(
            f"no {folder}/{dataset}-{baseline}-seed*/cases.csv; name another method "
            "with --baseline"
        )
    return methods


def read_cases(run: pathlib.Path) -> list[CaseResult]:
    """Reads the scores of a run, a line for each class of each case.

    Raises:
        ValueError: If a column is not there or has other text than numbers.
    """
    path = run / "cases.csv"
    found: dict[str, CaseResult] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            try:
                scores = {name: float(row[name] or math.nan) for name in METRICS}
                new = CaseResult(row["case_id"], row["patient"], {PROTOCOL: {}}, {})
                case = found.setdefault(new.case_id, new)
                case.scores[PROTOCOL][row["class"]] = scores
            except (KeyError, ValueError) as error:
                raise ValueError(
                    f"{path} is no cases.csv of synergynet evaluate: {error}"
                ) from error
    return list(found.values())


def compare(
    results: Mapping[str, Sequence[Sequence[CaseResult]]], baseline: str
) -> dict[str, Report]:
    """Subtracts the baseline from each other method, case by case.

    Args:
        results: Scores of each seed of each method.
        baseline: Name of one of them.

    Returns:
        Differences of the mean over classes by method, with p corrected for their
        number.

    Raises:
        ValueError: If two runs were not scored on the same cases.
    """
    expected = [(case.case_id, case.patient) for case in results[baseline][0]]
    for name, seeds in results.items():
        for seed in seeds:
            if [(case.case_id, case.patient) for case in seed] != expected:
                raise ValueError(f"{name} and {baseline} have other cases")
    others = [name for name in results if name != baseline]
    reports = [
        compare_methods(results[baseline], results[name], PROTOCOL) for name in others
    ]
    correct(reports)
    return {name: report["mean"] for name, report in zip(others, reports, strict=True)}


def run_row(name: str, run: pathlib.Path, own: Distribution) -> list[str]:
    """Returns a run's scores, with intervals by patient."""
    dsc, hd95 = (bootstrap.interval(own.drawn[MEAN][m]) for m in ("dsc", "hd95"))
    return [
        name,
        run.name.rpartition("-seed")[2],
        _dsc(own.means[MEAN]["dsc"], dsc),
        *(percent(own.means[c]["dsc"], 1) for c in own.means if c != MEAN),
        with_interval(own.means[MEAN]["hd95"], hd95),
        percent(max(row["val_dsc"] for row in Run(run).history), 1),
    ]


def method_row(name: str, of: Mapping[str, Distribution]) -> list[str]:
    """Returns a method's scores over its seeds."""
    mean = describe_method(name, list(of), {PROTOCOL: of})[PROTOCOL]["mean"]
    dsc, hd95 = mean["dsc"], mean["hd95"]
    return [
        name,
        str(len(of)),
        _dsc(dsc["mean"], dsc["interval"]),
        with_interval(hd95["mean"], hd95["interval"]),
    ]


def difference_row(name: str, mean: Report) -> list[str]:
    """Returns a method's differences to the baseline, from `compare`."""
    dsc, hd95 = mean["dsc"], mean["hd95"]
    return [
        name,
        with_interval(dsc["difference"], dsc["interval"], "+.2f", 100),
        number(dsc["p_holm"], ".2g"),
        with_interval(hd95["difference"], hd95["interval"], "+.2f"),
        number(hd95["p_holm"], ".2g"),
        f"{dsc['better']}, {dsc['worse']}",
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Prints a table of the runs, one of the methods, and one of the differences."""
    args = parse_args(argv)
    found = find_runs(args.folder, args.dataset, args.baseline)
    results = {name: [read_cases(run) for run in runs] for name, runs in found.items()}
    differences = compare(results, args.baseline)
    classes = list(results[args.baseline][0][0].scores[PROTOCOL])
    runs = [["Method", "Seed", "DSC (%)", *classes, "HD95 (mm)", "Validation (%)"]]
    methods = [["Mean of the seeds", "Seeds", "DSC (%)", "HD95 (mm)"]]
    for name, folders in found.items():
        of = {
            run.name: distribute(own, PROTOCOL)
            for run, own in zip(folders, results[name], strict=True)
        }
        runs += [run_row(name, run, of[run.name]) for run in folders]
        methods.append(method_row(name, of))
    rows = [
        [f"Difference from {args.baseline}", "DSC", "p", "HD95", "p", "better, worse"]
    ]
    rows += [difference_row(name, mean) for name, mean in differences.items()]
    print("\n\n".join(map(markdown, (runs, methods, rows))))


def _dsc(mean: float, ends: Sequence[float]) -> str:
    return with_interval(mean, ends, ".2f", 100, ".1f")


if __name__ == "__main__":
    command_line.run(main)
