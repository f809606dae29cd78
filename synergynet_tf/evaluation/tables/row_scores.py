"""What a table says of a row: means over seeds, intervals by patient, a test."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from synergynet_tf.evaluation.tables.compare import Differences
from synergynet_tf.metrics import METRICS, Counts, bootstrap
from synergynet_tf.metrics.bootstrap import resampled_means

Report = dict[str, Any]


class Column(NamedTuple):
    """What a column holds.

    Attributes:
        protocol: Of its scores.
        class_name: Of one class; `""` for the mean over classes.
        metric: A key of `METRICS`.
    """

    protocol: str
    class_name: str
    metric: str

    @property
    def scale(self) -> int:
        """What a value is multiplied with: fractions are shown in percent."""
        return 100 if METRICS[self.metric].unit == "fraction" else 1


STRICT_DSC = Column("strict", "", "dsc")


@dataclasses.dataclass(frozen=True)
class Cell:
    """One number of a row; what is `None` is not there, or not defined.

    Attributes:
        mean: Over the seeds.
        sd: Standard deviation over the seeds, `n - 1` in its divisor; of 2 or more.
        interval: 95 % bootstrap interval, by patient, of the mean over the seeds; of
            2 patients or more.
        paper: The paper's number.
    """

    mean: float | None = None
    sd: float | None = None
    interval: tuple[float, float] | None = None
    paper: float | None = None

    @property
    def difference(self) -> float | None:
        """Ours minus the paper's."""
        if self.mean is None or self.paper is None:
            return None
        return self.mean - self.paper


class Comparison(NamedTuple):
    """A row against the rival, in DSC by case.

    Attributes:
        difference: The row's minus the rival's: mean over the cases, `nan` if none
            has a score in both.
        p: Of Wilcoxon's signed-rank test, corrected with Holm's method.
    """

    difference: float
    p: float


def columns_of(names: str, protocol: str) -> dict[str, Column]:
    """Returns the paper's columns by their names: metrics, or classes for their DSC."""
    return {
        name: Column(protocol, *(("", name) if name in METRICS else (name, "dsc")))
        for name in names.split()
    }


def make_cells(
    reports: Sequence[Report],
    columns: Mapping[str, Column],
    paper: Mapping[str, float],
) -> dict[str, Cell]:
    """Sums up a row's runs.

    Args:
        reports: One for each seed, of the same cases; without any there is only what
            the paper has.
        columns: By their names.
        paper: The paper's number for each name that it has.
    """
    if not reports:
        return {name: Cell(paper=paper.get(name)) for name in columns}
    # The same patients are drawn for every seed.
    weights = bootstrap.draw_patients([c["patient"] for c in reports[0]["cases"]])
    resampled = {
        protocol: [_resample(report, protocol, weights) for report in reports]
        for protocol in {column.protocol for column in columns.values()}
    }
    cells = {}
    for name, column in columns.items():
        values = [_value(report, column) for report in reports]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            cells[name] = Cell(paper=paper.get(name))
            continue
        cells[name] = Cell(
            mean=statistics.fmean(known),
            sd=statistics.stdev(known) if len(known) > 1 else None,
            interval=_interval(resampled[column.protocol], column),
            paper=paper.get(name),
        )
    return cells


def compare(
    scores: Mapping[str, Sequence[Report]], rival: str, protocol: str
) -> dict[str, Comparison]:
    """Tests each row's DSC against the rival's, case by case.

    The score of a case's class is its mean over the seeds. Classes that only one of
    the two has a score for are left out of a case's mean.

    Args:
        scores: Reports of each row, a seed each, of the same cases.
        rival: The row that the others are tested against.
        protocol: Of the scores of a case.

    Returns:
        The comparison of each other row; none if the rival was not run.
    """
    if rival not in scores:
        return {}
    patients = [case["patient"] for case in scores[rival][0]["cases"]]
    theirs = _dsc_by_case(scores[rival], protocol)
    means, p_values = {}, {}
    for row, reports in scores.items():
        if row == rival:
            continue
        ours = _dsc_by_case(reports, protocol)
        one_sided = np.isnan(ours) != np.isnan(theirs)
        by_case = Differences(ours - theirs, one_sided).over_classes().values
        known = ~np.isnan(by_case)
        owners = [p for p, ok in zip(patients, known, strict=True) if ok]
        means[row] = float(by_case[known].mean()) if owners else math.nan
        p_values[row] = (
            bootstrap.signed_rank_p(by_case[known].tolist(), owners) if owners else 1.0
        )
    corrected = bootstrap.holm(list(p_values.values()))
    return {
        row: Comparison(mean, p)
        for (row, mean), p in zip(means.items(), corrected, strict=True)
    }


def _value(report: Report, column: Column) -> float | None:
    block = report[column.protocol]
    name = column.class_name
    return (block["per_class"][name] if name else block["mean"])[column.metric]


def _interval(
    resampled: Sequence[bootstrap.Resampled], column: Column
) -> tuple[float, float] | None:
    """Returns the interval of the mean over the seeds."""
    name = column.class_name
    by_seed = [
        (classes[name] if name else resampled_means(classes))[column.metric]
        for classes in resampled
    ]
    low, high = bootstrap.interval(
        bootstrap.Resamples(
            np.mean([seed.means for seed in by_seed], axis=0),
            all(seed.several for seed in by_seed),
        )
    )
    return None if math.isnan(low) else (low, high)


def _resample(
    report: Report, protocol: str, weights: np.ndarray
) -> bootstrap.Resampled:
    """Does to each resample what the protocol does to all cases."""
    if protocol == "pooled":
        return bootstrap.resample_pools(
            [
                {name: Counts(*four) for name, four in case["counts"].items()}
                for case in report["cases"]
            ],
            weights,
        )
    return bootstrap.resample_averages(
        [
            {
                name: {metric: _nan(value) for metric, value in scores.items()}
                for name, scores in case[protocol].items()
            }
            for case in report["cases"]
        ],
        weights,
    )


def _dsc_by_case(reports: Sequence[Report], protocol: str) -> np.ndarray:
    """Returns float64 `(cases, classes)`: means over seeds.

    `nan` where a seed has no score: an absent structure has one only if it is falsely
    found, and one such seed must not stand for all.
    """
    by_seed = np.array(
        [
            [
                [_nan(scores["dsc"]) for scores in case[protocol].values()]
                for case in report["cases"]
            ]
            for report in reports
        ]
    )
    return by_seed.mean(axis=0)


def _nan(value: float | None) -> float:
    return math.nan if value is None else value
