"""Two runs on the same cases: what changed, case by case, from one to the other."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from synergynet_tf import runs
from synergynet_tf.evaluation.scores import read_scores, without_nan
from synergynet_tf.metrics import METRICS, statistics
from synergynet_tf.runs import Run

Report = dict[str, Any]
# What both runs must have been scored on, and how.
SHARED = ("dataset", "data_split", "fold", "split", "protocol", "distance_unit")


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
        ValueError: If its scores are damaged, or the two were not scored on the same
            cases in the same way.
    """
    reports = read_scores(first).to_json(), read_scores(second).to_json()
    _require_alike((first, second), reports)
    cases = reports[1]["cases"]
    names = list(cases[0]["per_class"])
    metrics = list(cases[0]["per_class"][names[0]])
    patients = [case["patient"] for case in cases]
    weights = statistics.draw_patients(patients)
    by_class = _subtract(reports, names, metrics)
    by_case = by_class.over_classes()

    def summarize(differences: Differences) -> dict[str, Any]:
        return {
            metric: _summarize(
                Differences(*(array[:, i] for array in differences)),
                METRICS[metric].direction,
                patients,
                weights,
            )
            for i, metric in enumerate(metrics)
        }

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
            "mean": summarize(by_case),
            "per_class": {
                name: summarize(Differences(*(array[:, i] for array in by_class)))
                for i, name in enumerate(names)
            },
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
                f"differs, {one!r} and {other!r}; score both alike with evaluate.py"
            )
    if listed[0] != listed[1]:
        alone = len(set(listed[0]) ^ set(listed[1]))
        raise ValueError(
            f"{pair[0]} and {pair[1]} cannot be compared: {alone} cases were "
            "scored in one of them alone, or their order differs; score both alike "
            "with evaluate.py"
        )


def _subtract(
    reports: tuple[Report, ...], names: list[str], metrics: list[str]
) -> Differences:
    """Returns the differences of each case, class and metric."""
    first, second = (
        np.array(
            [
                [[case["per_class"][name][m] for m in metrics] for name in names]
                for case in report["cases"]
            ],
            np.float64,  # None becomes nan.
        )
        for report in reports
    )
    return Differences(second - first, np.isnan(first) != np.isnan(second))


def _summarize(
    differences: Differences,
    direction: int,
    patients: list[str],
    weights: np.ndarray,
) -> dict[str, Any]:
    """Sums up one metric's differences, `(cases,)`, as `compare_runs` says."""
    values = differences.values
    defined = ~np.isnan(values)
    known = values[defined]
    owners = [p for p, ok in zip(patients, defined, strict=True) if ok]
    return {
        "difference": float(known.mean()) if known.size else None,
        "interval": statistics.interval(
            statistics.resample_means(values.tolist(), weights)
        ),
        "p": statistics.signed_rank_p(known.tolist(), owners) if known.size else None,
        "better": int(np.count_nonzero(direction * known > 0)),
        "worse": int(np.count_nonzero(direction * known < 0)),
        "equal": int(np.count_nonzero(known == 0)),
        "one_sided": int(np.count_nonzero(differences.one_sided)),
    }
