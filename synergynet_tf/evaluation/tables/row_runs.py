"""The finished runs of a table's rows, and their scores: there already, or made."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from synergynet_tf import runs
from synergynet_tf.config import ExperimentConfig
from synergynet_tf.evaluation.postprocess import NO_POSTPROCESSING
from synergynet_tf.evaluation.scores import fresh_scores
from synergynet_tf.experiments import (
    Budget,
    Row,
    Table,
    comparable,
    runs_folder,
    settings_of,
)
from synergynet_tf.models import METHODS, without_unused
from synergynet_tf.runs import Run

Report = dict[str, Any]
Evaluate = Callable[[Run], Report]
PART = "test"
# What depends on the data, or may be chosen for all rows alike.
OPEN = (
    "split",
    "split_seed",
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
        table: Whose rows.
        dataset: One of the table's.
        budget: Of the runs.
        folder: The `--runs` folder that all budgets are in.
        seeds: Those to look for; all that are there if left out.

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


def read_scores(run: RowRun) -> tuple[Report | None, str]:
    """Returns the scores of a run's `metrics.json` if a table can be made of them.

    They must be of the test cases, without options, and newer than the weights.

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
    return scores.to_json(), ""


def score_runs(
    found: Sequence[RowRun], evaluate: Evaluate
) -> tuple[dict[str, list[Report]], str]:
    """Reads the scores of runs, or makes those that are missing or old.

    Args:
        found: The runs.
        evaluate: Scores a run.

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
        report, reason = read_scores(run)
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
    count = f"scored {made} run{'' if made == 1 else 's'}"
    said = f"{count}, took the scores of {len(found) - made} as they were"
    return scores, "\n".join([*replaced, said])
