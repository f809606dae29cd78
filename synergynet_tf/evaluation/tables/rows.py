"""Rows of a table: their finished runs, their scores, and the statistics of these."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any, NamedTuple

import numpy as np

from synergynet_tf import runs
from synergynet_tf.config import ExperimentConfig
from synergynet_tf.evaluation.postprocess import NO_POSTPROCESSING
from synergynet_tf.evaluation.scores import fresh_scores
from synergynet_tf.evaluation.tables.paired_runs import Differences, paired_test
from synergynet_tf.experiments import (
    Budget,
    Row,
    Table,
    comparable,
    runs_folder,
    settings_of,
)
from synergynet_tf.formats import counted, metric_scale, with_nan
from synergynet_tf.metrics import METRICS, Counts, bootstrap
from synergynet_tf.metrics.bootstrap import resampled_means
from synergynet_tf.models import METHODS, without_unused
from synergynet_tf.runs import Run

Report = dict[str, Any]
Evaluate = Callable[[Run], Report]
PART = "test"
# Settings that depend on the data, or may be chosen for all rows alike.
OPEN = (
    "split",
    "split_seed",
    "center_crop",
    "modality",
    "num_classes",
    "encoder_weights",
    "vit_weights",
)


@dataclasses.dataclass(frozen=True)
class RowRun:
    """A finished run of a row.

    Attributes:
        row: The row's key.
        run: The run.
    """

    row: str
    run: Run

    def __str__(self) -> str:
        """Names the row and the seed."""
        return f"{self.row} seed {self.config.training.seed}"

    @property
    def config(self) -> ExperimentConfig:
        """The run's settings."""
        return self.run.config

    @property
    def takes_vit(self) -> bool:
        """Whether its method can start from a pretrained transformer."""
        return METHODS[self.config.model.name].takes_vit_weights


def find_row_runs(
    table: Table,
    dataset: str,
    budget: Budget,
    folder: str | pathlib.Path,
    seeds: Sequence[int] | None = None,
) -> tuple[list[RowRun], list[str]]:
    """Finds the finished runs of each row that belong in one table.

    They have the settings of their row under the budget, and among themselves the
    same split and pretrained weights: those of most runs. Files of weights are the
    same if their names are; in a table of backbones each has a file of its own.

    Args:
        table: Table whose rows to look for.
        dataset: Name of one of the table's datasets.
        budget: Budget of the runs.
        folder: The `--runs` folder that all budgets are in.
        seeds: Seeds to look for; `None` for all that are there.

    Returns:
        The runs, row by row and by seed; and a sentence on each other run that was
        found in their places.

    Raises:
        ValueError: If a run's `config.json` is damaged.
    """
    found: list[RowRun] = []
    notes: list[str] = []
    for row in table.rows.values():
        expected = _expected(row, dataset, budget)
        runs_of_row = runs_folder(folder, budget, row)
        model = runs.run_dir(runs_of_row, expected).parent
        for seed in _seeds(model) if seeds is None else seeds:
            run = Run(model / f"seed{seed}")
            if not (run.path / runs.CONFIG).is_file():
                continue
            candidate = RowRun(row.key, run)
            if not run.is_finished():
                notes.append(f"{candidate} is not finished, and left out.")
            elif reason := _difference(candidate.config, expected):
                notes.append(f"{run} is not a run of this table ({reason}).")
            else:
                found.append(candidate)
    return _alike(table, found, notes)


def _expected(row: Row, dataset: str, budget: Budget) -> ExperimentConfig:
    settings = {**budget.settings, **row.settings}
    config = ExperimentConfig().replace(**settings, dataset=dataset)
    return dataclasses.replace(config, model=without_unused(config.model))


def _seeds(model: pathlib.Path) -> list[int]:
    """Lists the seeds of a model's runs, sorted as numbers."""
    names = [re.fullmatch(r"seed(\d+)", path.name) for path in model.glob("seed*")]
    return sorted(int(name[1]) for name in names if name)


def _open_settings(config: ExperimentConfig) -> dict[str, Any]:
    values = settings_of(config)
    return {name: values[name] for name in OPEN}


def _difference(config: ExperimentConfig, expected: ExperimentConfig) -> str:
    """Names the settings that are not the row's, or nothing."""
    expected = expected.replace(**_open_settings(config))
    return runs.differences(comparable(config), comparable(expected))


def _alike(
    table: Table, found: Sequence[RowRun], notes: Sequence[str]
) -> tuple[list[RowRun], list[str]]:
    """Keeps the runs whose open settings are those of most."""
    kept, left_out = list(found), list(notes)
    for name in OPEN:
        concerned = [run for run in kept if name != "vit_weights" or run.takes_vit]
        values = [_choice(table, run.config, name) for run in concerned]
        usual = Counter(values).most_common(1)[0][0] if values else None
        for run, value in zip(concerned, values, strict=True):
            if value != usual:
                reason = f"{name} {value}, not {usual}"
                left_out.append(f"{run} is left out, unlike the others ({reason}).")
                kept.remove(run)
    return kept, left_out


def _choice(table: Table, config: ExperimentConfig, name: str) -> Any:
    """Returns an open setting, as far as a table's runs must share it."""
    value = settings_of(config)[name]
    if name not in ("encoder_weights", "vit_weights") or value in ("imagenet", "none"):
        return value
    if name == "encoder_weights" and table.setting == "backbone":
        return "a file"
    return pathlib.Path(value).name


def usable_scores(
    run: RowRun, data_dir: str | None = None
) -> tuple[Report | None, str]:
    """Returns the scores of a run's `metrics.json` if a table can be made of them.

    They must be of the test cases, without options, and of the run's weights.

    Args:
        run: The run.
        data_dir: Folder of the raw data that they must be of; `None` to accept any.

    Returns:
        The scores, or `None` and why those that are there do not serve: `""` if
        there are none.
    """
    scores, reason = fresh_scores(run.run)
    if scores is None:
        return None, reason
    if scores.split != PART:
        return None, f"of the {scores.split} part"
    if scores.options != dataclasses.asdict(NO_POSTPROCESSING):
        return None, "with options"
    if data_dir and scores.data_dir != str(pathlib.Path(data_dir).resolve()):
        return None, f"of the data in {scores.data_dir}"
    return scores.to_json(), ""


def score_runs(
    found: Sequence[RowRun], evaluate: Evaluate, data_dir: str | None = None
) -> tuple[dict[str, list[Report]], str]:
    """Reads the scores of runs, or makes those that are missing or old.

    Args:
        found: The runs.
        evaluate: Scores a run.
        data_dir: Folder of the raw data, if it was named.

    Returns:
        The scores of each row, by seed; and lines on which of them were made, and
        which of those replaced others.

    Raises:
        ValueError: If two runs were not scored on the same cases.
    """
    scores: dict[str, list[Report]] = {}
    cases: list[tuple[str, str]] = []
    made, replaced = 0, []
    for run in found:
        report, reason = usable_scores(run, data_dir)
        if report is None:
            report, made = evaluate(run.run), made + 1
            if reason:
                replaced.append(f"replaced {run.run}/metrics.json: it was {reason}")
        listed = [(case["case_id"], case["patient"]) for case in report["cases"]]
        cases = cases or listed
        if listed != cases:
            raise ValueError(
                f"{run.run} was scored on other cases than {found[0].run}; "
                "delete both metrics.json, and score both on the same --data-dir"
            )
        scores.setdefault(run.row, []).append(report)
    taken = f"took the scores of {len(found) - made} as they were"
    said = f"scored {counted(made, 'run')}, {taken}"
    return scores, "\n".join([*replaced, said])


class Column(NamedTuple):
    """The scores that a column holds.

    Attributes:
        protocol: Protocol of its scores.
        class_name: Name of a class; `""` for the mean over classes.
        metric: A key of `METRICS`.
    """

    protocol: str
    class_name: str
    metric: str

    @property
    def scale(self) -> int:
        """Factor of the values: fractions are shown in percent."""
        return metric_scale(self.metric)


STRICT_DSC = Column("strict", "", "dsc")


@dataclasses.dataclass(frozen=True)
class Cell:
    """One number of a row; fields are `None` if missing or undefined.

    Attributes:
        mean: Mean over the seeds.
        sd: Standard deviation over the seeds, `n - 1` in its divisor; of 2 or more.
        interval: 95 % bootstrap interval, by patient, of the mean over the seeds; of
            2 patients or more.
        paper: Number of the paper.
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
    """A row against the baseline, in DSC by case.

    Attributes:
        difference: The row's minus the baseline's: mean over the cases, `nan` if none
            has a score in both.
        p: p-value of Wilcoxon's signed-rank test, corrected with Holm's method.
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
        reports: Reports of the row, one for each seed, of the same cases; without any,
            only the paper's numbers are set.
        columns: Columns by name.
        paper: Numbers of the paper, by the columns' names, as far as it has them.
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
            mean=fmean(known),
            sd=stdev(known) if len(known) > 1 else None,
            interval=_interval(resampled[column.protocol], column),
            paper=paper.get(name),
        )
    return cells


def compare(
    scores: Mapping[str, Sequence[Report]], baseline: str, protocol: str
) -> dict[str, Comparison]:
    """Tests each row's DSC against the baseline's, case by case.

    The score of a case's class is its mean over the seeds. Classes that only one of
    the two has a score for are left out of a case's mean.

    Args:
        scores: Reports of each row, a seed each, of the same cases.
        baseline: Key of the row that the others are tested against.
        protocol: Protocol of the scores.

    Returns:
        The comparison of each other row; none if the baseline was not run.
    """
    if baseline not in scores:
        return {}
    patients = [case["patient"] for case in scores[baseline][0]["cases"]]
    theirs = _dsc_by_case(scores[baseline], protocol)
    means, p_values = {}, {}
    for row, reports in scores.items():
        if row == baseline:
            continue
        ours = _dsc_by_case(reports, protocol)
        one_sided = np.isnan(ours) != np.isnan(theirs)
        by_case = Differences(ours - theirs, one_sided).over_classes().values
        means[row], p = paired_test(by_case, patients)
        p_values[row] = 1.0 if math.isnan(p) else p
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
    """Applies the protocol to each resample, as to all cases."""
    if protocol == "pooled":
        return bootstrap.resample_pools(
            [
                {name: Counts(*four) for name, four in case["counts"].items()}
                for case in report["cases"]
            ],
            weights,
        )
    scores = [with_nan(case[protocol]) for case in report["cases"]]
    return bootstrap.resample_averages(scores, weights)


def _dsc_by_case(reports: Sequence[Report], protocol: str) -> np.ndarray:
    """Returns float64 `(cases, classes)`: means over seeds.

    `nan` where a seed has no score: an absent structure has one only if it is falsely
    found, and one such seed must not stand for all.
    """
    by_seed = np.array(
        [
            [
                [scores["dsc"] for scores in case[protocol].values()]
                for case in report["cases"]
            ]
            for report in reports
        ],
        np.float64,  # None becomes nan.
    )
    return by_seed.mean(axis=0)
