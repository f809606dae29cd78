"""Paired comparison of two runs: their differences case by case, and as text."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from synergynet_tf import runs
from synergynet_tf.evaluation.scores import read_current_scores
from synergynet_tf.evaluation.tables.console import NAMES
from synergynet_tf.formats import (
    LINE_WIDTH,
    cases_title,
    columns,
    data_title,
    metric_scale,
    number,
    score,
    with_options,
    without_nan,
)
from synergynet_tf.metrics import LESION_METRICS, METRICS, bootstrap
from synergynet_tf.runs import Run

Report = dict[str, Any]
# Fields that the scores of both runs must share.
SHARED = ("dataset", "data_split", "fold", "split", "protocol", "distance_unit")
COUNTS = ("better", "worse", "equal", "one_sided")
# Metrics that are printed for each class; for their mean, all are.
CLASS_METRICS = ("dsc", "hd95")


class Differences(NamedTuple):
    """The second run's scores minus the first's.

    Attributes:
        values: float64 `(cases, ...)`; `nan` unless both runs have a score.
        one_sided: bool, the same shape: whether just one of them has.
    """

    values: np.ndarray
    one_sided: np.ndarray

    def over_classes(self) -> Differences:
        """Returns each case's mean over its classes, the second axis."""
        defined = ~np.isnan(self.values)
        total, count = np.nansum(self.values, axis=1), defined.sum(axis=1)
        undefined = np.full(total.shape, np.nan)
        means = np.divide(total, count, out=undefined, where=count > 0)
        return Differences(means, np.logical_or.reduce(self.one_sided, axis=1))


def compare_runs(first: Run, second: Run) -> Report:
    """Compares the `metrics.json` of two runs, and writes `<second>/compare.json`.

    Returns:
        What `compare.json` holds: `runs`, and what they share; for each metric, under
        `mean` for a case's mean over the classes that both runs have scored, and
        under `per_class`: `difference`, the mean over cases of the second run's score
        minus the first's, with its bootstrap `interval` by patient; `p` of
        Wilcoxon's signed-rank test, a difference a patient; how many cases are
        `better`, `worse` and `equal` in the second run; how many are `one_sided`,
        scored in one run alone: a false structure has a score, its absence none.
        `cases` has every difference.

    Raises:
        FileNotFoundError: If a run has not been scored.
        ValueError: If its scores are damaged or of other weights, or the two were not
            scored on the same cases in the same way.
    """
    first_scores, second_scores = map(read_current_scores, (first, second))
    reports = first_scores.to_json(), second_scores.to_json()
    _require_alike((first, second), reports)
    cases = reports[1]["cases"]
    names = list(cases[0]["per_class"])
    metrics = list(cases[0]["per_class"][names[0]])
    patients = [case["patient"] for case in cases]
    scores = [[case["per_class"] for case in report["cases"]] for report in reports]
    by_class = subtract(scores[0], scores[1])
    by_case = by_class.over_classes()
    comparison = without_nan(
        {
            "runs": [
                {"folder": str(run)}
                | {name: report[name] for name in ("model", "seed", "options")}
                for run, report in zip((first, second), reports, strict=True)
            ],
            **{name: reports[1][name] for name in (*SHARED, "bootstrap")},
            "num_cases": len(cases),
            "num_patients": len(set(patients)),
            **summarize(by_class, names, metrics, patients),
            "cases": [
                {
                    "case_id": case["case_id"],
                    "patient": case["patient"],
                    "mean": dict(zip(metrics, by_case.values[i].tolist(), strict=True)),
                    "per_class": {
                        name: dict(zip(metrics, row, strict=True))
                        for name, row in zip(
                            names, by_class.values[i].tolist(), strict=True
                        )
                    },
                }
                for i, case in enumerate(cases)
            ],
        }
    )
    runs.write_json(second.path / "compare.json", comparison)
    return comparison


def subtract(
    first: Sequence[Mapping[str, Mapping[str, float | None]]],
    second: Sequence[Mapping[str, Mapping[str, float | None]]],
) -> Differences:
    """Returns the differences of each case, class and metric.

    Args:
        first: Metrics of each class, for each case of the first run; undefined ones are
            `nan` or `None`.
        second: Metrics of the second run, in the same order of cases.
    """
    names, metrics = list(second[0]), list(next(iter(second[0].values())))
    one, other = (
        np.array(
            [[[case[name][m] for m in metrics] for name in names] for case in cases],
            np.float64,  # None becomes nan.
        )
        for cases in (first, second)
    )
    return Differences(other - one, np.isnan(one) != np.isnan(other))


def summarize(
    by_class: Differences,
    names: Sequence[str],
    metrics: Sequence[str],
    patients: Sequence[str],
) -> dict[str, Any]:
    """Sums up the differences of `subtract`.

    Args:
        by_class: `(cases, classes, metrics)`.
        names: Names of the classes.
        metrics: Keys of `METRICS`, or of `LESION_METRICS`.
        patients: Patient ID of each case.

    Returns:
        For each metric what `compare_runs` says, under `mean` and `per_class`.
    """
    weights = bootstrap.draw_patients(patients)

    def over_cases(differences: Differences) -> dict[str, Any]:
        return {
            metric: _summarize(
                Differences(*(array[:, i] for array in differences)),
                (METRICS | LESION_METRICS)[metric].direction,
                patients,
                weights,
            )
            for i, metric in enumerate(metrics)
        }

    return {
        "mean": over_cases(by_class.over_classes()),
        "per_class": {
            name: over_cases(Differences(*(array[:, i] for array in by_class)))
            for i, name in enumerate(names)
        },
    }


def paired_test(values: np.ndarray, patients: Sequence[str]) -> tuple[float, float]:
    """Tests the differences of cases against 0.

    Args:
        values: float64 `(cases,)`; `nan` is left out.
        patients: Patient ID of each case.

    Returns:
        The mean, and p of Wilcoxon's signed-rank test, a difference a patient; `nan`
        if there is no difference at all.
    """
    known = ~np.isnan(values)
    if not known.any():
        return math.nan, math.nan
    owners = [p for p, ok in zip(patients, known, strict=True) if ok]
    p = bootstrap.signed_rank_p(values[known].tolist(), owners)
    return float(values[known].mean()), p


def format_comparison(comparison: Mapping[str, Any]) -> str:
    """Formats what `compare_runs` returns as a table for a terminal.

    Every metric has a line for the mean over classes, and DSC and HD95 one for each
    class if there are several. Differences are in percentage points, or in the unit
    of distances.

    Returns:
        Lines of text that end in a newline.
    """
    unit = "voxels"
    if comparison["protocol"] != "transunet":
        unit = comparison["distance_unit"]
    lines = [
        f"{data_title(comparison)}, {comparison['protocol']}: {cases_title(comparison)}"
    ]
    for label, run in zip(("first", "second"), comparison["runs"], strict=True):
        name = f"{run['model']} seed {run['seed']}{with_options(run['options'])}"
        lines.append(f"{label:<7} {name}, {run['folder']}")
    rows = difference_rows(comparison, unit)
    note = (
        f"Intervals by patient, {comparison['bootstrap']['resamples']} resamples; p of "
        "Wilcoxon's signed-rank test, a difference a patient. One-sided: scored in one "
        "run alone, and not in the difference."
    )
    body = ["", columns(rows, left=2), *textwrap.wrap(note, LINE_WIDTH)]
    return "\n".join([*lines, *body]) + "\n"


def difference_rows(
    differences: Mapping[str, Any], unit: str, title: str = "second - first"
) -> list[list[str]]:
    """Returns the lines of a table of differences, the head first.

    Args:
        differences: Result of `summarize`; with a `p_holm` beside each `p` both are
            shown.
        unit: Unit of distances.
        title: Description of the subtraction, such as `second - first`.
    """
    blocks = {"mean": differences["mean"]}
    if len(differences["per_class"]) > 1:
        blocks |= {
            name: {
                metric: scores[metric] for metric in CLASS_METRICS if metric in scores
            }
            for name, scores in differences["per_class"].items()
        }
    corrected = all("p_holm" in summary for summary in differences["mean"].values())
    tests = {"p": "p", "p_holm": "Holm"} if corrected else {"p": "p"}
    words = (title, "95 % from", "to", *tests.values(), "better", "worse", "equal")
    rows = [["", "", *words, "one-sided"]]
    for name, scores in blocks.items():
        for metric, summary in scores.items():
            is_fraction = metric_scale(metric) == 100
            rows.append(
                [
                    name[:11],
                    NAMES[metric] if is_fraction else f"{NAMES[metric]} {unit}",
                    score(metric, summary["difference"], "+.2f"),
                    *(score(metric, end, "+.2f") for end in summary["interval"]),
                    *(number(summary[test], ".2g") for test in tests),
                    *(str(summary[count]) for count in COUNTS),
                ]
            )
            name = ""
    return rows


def _require_alike(pair: tuple[Run, Run], reports: tuple[Report, ...]) -> None:
    """Refuses runs that were not scored on the same cases in the same way."""
    found: dict[str, list[Any]] = {
        name: [report[name] for report in reports] for name in SHARED
    }
    listed = [[(c["case_id"], c["patient"]) for c in r["cases"]] for r in reports]
    found["classes"] = [sorted(r["cases"][0]["per_class"]) for r in reports]
    for name, (one, other) in found.items():
        if one != other:
            raise ValueError(
                f"{pair[0]} and {pair[1]} cannot be compared: their {name} "
                f"differs, {one!r} and {other!r}; score both alike with synergynet "
                "evaluate"
            )
    if listed[0] != listed[1]:
        alone = len(set(listed[0]) ^ set(listed[1]))
        raise ValueError(
            f"{pair[0]} and {pair[1]} cannot be compared: {alone} cases were "
            "scored in one of them alone, or their order differs; score both alike "
            "with synergynet evaluate"
        )


def _summarize(
    differences: Differences,
    direction: int,
    patients: Sequence[str],
    weights: np.ndarray,
) -> dict[str, Any]:
    """Sums up one metric's differences, `(cases,)`, as `compare_runs` says."""
    values = differences.values
    known = values[~np.isnan(values)]
    mean, p = paired_test(values, patients)
    return {
        "difference": mean,
        "interval": bootstrap.interval(
            bootstrap.resample_means(values.tolist(), weights)
        ),
        "p": p,
        "better": int(np.count_nonzero(direction * known > 0)),
        "worse": int(np.count_nonzero(direction * known < 0)),
        "equal": int(np.count_nonzero(known == 0)),
        "one_sided": int(np.count_nonzero(differences.one_sided)),
    }
