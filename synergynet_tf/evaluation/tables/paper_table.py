"""A table of the paper with our numbers beside it, before it is formatted."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from synergynet_tf.config import ExperimentConfig
from synergynet_tf.data import DATASETS
from synergynet_tf.evaluation.tables.console import NAMES, PROTOCOL_TITLES
from synergynet_tf.evaluation.tables.rows import (
    STRICT_DSC,
    Cell,
    Column,
    Comparison,
    RowRun,
    columns_of,
    compare,
    make_cells,
)
from synergynet_tf.experiments import Budget, Table, settings_of
from synergynet_tf.formats import cases_title, counted, data_title
from synergynet_tf.metrics.bootstrap import RESAMPLES
from synergynet_tf.models import METHODS

Report = dict[str, Any]
# Settings whose differences from the paper's recipe are named, so that no table is
# mistaken for it.
RECIPE = (
    "image_size",
    "epochs",
    "batch_size",
    "limit",
    "encoder_weights",
    "split",
    "center_crop",
    "precision",
    "backbone",
    "hidden_dim",
    "num_codes",
    "optimizer",
    "learning_rate",
    "schedule",
    "warmup_steps",
    "clip_norm",
    "ema_decay",
    "augmentation",
)
STRICT = "strict_dsc"
# The protocol of the test, which is ours against ours: TransUNet's rewards a structure
# that is not there, and a pooled score says nothing of a case.
TESTED = "strict"


@dataclasses.dataclass(frozen=True)
class Line:
    """A row of the table.

    Attributes:
        row: Key of the row.
        seeds: Seeds of its runs; none if it was not run.
        cells: Cells by column.
        comparison: Comparison with the baseline; `None` for the baseline and for a row
            that was not run.
    """

    row: str
    seeds: tuple[int, ...]
    cells: Mapping[str, Cell]
    comparison: Comparison | None


@dataclasses.dataclass(frozen=True)
class PaperTable:
    """A table of our scores beside the paper's.

    Attributes:
        name: Name for a label, such as `table2-acdc-short`.
        columns: Columns by name, the paper's first.
        titles: Titles of the columns, by name.
        lines: A line for each row of the paper's table.
        baseline: Key of the row that the others are tested against.
        settings: Settings of the runs, for a program: the budget and what belongs to
            it.
        caption: Sentences on what was run, and on what the numbers are.
        notes: Sentences on what is missing or was left out.
    """

    name: str
    columns: Mapping[str, Column]
    titles: Mapping[str, str]
    lines: Sequence[Line]
    baseline: str
    settings: Mapping[str, Any]
    caption: Sequence[str]
    notes: Sequence[str]


def make_table(
    table: Table,
    dataset: str,
    budget: Budget,
    found: Sequence[RowRun],
    scores: Mapping[str, Sequence[Report]],
    baseline: str,
    notes: Sequence[str] = (),
) -> PaperTable:
    """Sets the scores of a table's runs beside the paper's numbers.

    Args:
        table: Table of the paper.
        dataset: Name of one of the table's datasets.
        budget: Budget of the runs.
        found: Runs of the table.
        scores: Reports of each row that was run, one for each seed.
        baseline: Key of the row that the others are tested against.
        notes: Further sentences for the table's notes.
    """
    protocol = DATASETS[dataset].PAPER_PROTOCOL
    columns = {**columns_of(table.columns, protocol), STRICT: STRICT_DSC}
    comparisons = compare(scores, baseline, TESTED)
    lines = []
    for key, row in table.rows.items():
        reports = scores.get(key, ())
        cells = make_cells(reports, columns, row.paper[dataset])
        seeds = tuple(report["seed"] for report in reports)
        lines.append(Line(key, seeds, cells, comparisons.get(key)))
    notes = list(notes)
    if missing := [line.row for line in lines if not line.seeds]:
        notes.append(f"Not run: {', '.join(missing)}.")
    if baseline not in scores:
        notes.append(f"{baseline} was not run, so nothing is tested against it.")
    notes += _precisions(found)
    unlike = _unlike_paper(table, found)
    caption = [
        f"The paper's Table {table.number} and ours: {_cases(dataset, scores)}.",
        f"Budget {budget.name}: {_recipe(found) or 'no run yet'}.",
        *unlike,
        f"Protocol: {PROTOCOL_TITLES[protocol]}; beside it strict DSC, the mean of "
        f"cases. Percent{', HD95 in voxels' if 'hd95' in columns else ''}.",
        "Ours: mean over seeds, SD over seeds (n - 1), and the 95 % bootstrap interval "
        f"of that mean ({RESAMPLES:,} resamples of the patients; the seeds are not "
        "resampled).",
        *_tested(baseline, len(comparisons)),
        f"Paper: {table.note}",
    ]
    return PaperTable(
        name=f"table{table.number}-{dataset}-{budget.name}",
        columns=columns,
        titles={name: _title(name) for name in columns},
        lines=lines,
        baseline=baseline,
        settings=_settings(table, dataset, budget, found, unlike),
        caption=caption,
        notes=notes,
    )


def _tested(baseline: str, count: int) -> list[str]:
    """Returns a sentence on the tests, if there are any."""
    if not count:
        return []
    return [
        f"Against {baseline}: mean over cases of the difference in DSC (protocol "
        f"{TESTED}; a case's DSC is its mean over seeds), and p of Wilcoxon's "
        "signed-rank test, a difference a patient, with Holm's "
        f"correction for {counted(count, 'test')}."
    ]


def _title(column: str) -> str:
    if column == STRICT:
        return "strict DSC"
    return NAMES.get(column, column.replace("_", " "))


def _cases(dataset: str, scores: Mapping[str, Sequence[Report]]) -> str:
    if not scores:
        return dataset
    report = next(iter(scores.values()))[0]
    return f"{data_title(report)}: {cases_title(report)}"


def _recipe(found: Sequence[RowRun]) -> str:
    """Says how the runs were trained; they are alike but for precision and seed."""
    if not found:
        return ""
    config = found[0].config
    model, training = config.model, config.training
    precisions = sorted({run.config.training.precision for run in found})
    seeds = sorted({run.config.training.seed for run in found})
    return (
        f"{model.image_size} px, {counted(training.epochs, 'epoch')} of batches of "
        f"{training.batch_size}, encoder weights {_file(model.encoder_weights)}, "
        f"{_transformer(found)}{' and '.join(precisions)}; "
        f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
    )


def _precisions(found: Sequence[RowRun]) -> list[str]:
    """Returns a sentence on which runs were computed how, if not all alike."""
    by_precision: dict[str, list[str]] = {}
    for run in found:
        by_precision.setdefault(run.config.training.precision, []).append(str(run))
    if len(by_precision) < 2:
        return []
    parts = [f"{name}: {', '.join(runs)}" for name, runs in by_precision.items()]
    return [f"Not all were computed alike. {'; '.join(parts)}."]


def _transformer(found: Sequence[RowRun]) -> str:
    """Names the weights of the methods with a transformer that takes some."""
    weights = [run.config.model.vit_weights for run in found if run.takes_vit]
    return f"transformer weights {_file(weights[0])}, " if weights else ""


def _file(weights: str) -> str:
    return pathlib.Path(weights).name


def unlike_recipe(configs: Sequence[ExperimentConfig], of_row: str = "") -> list[str]:
    """Names settings that differ from the paper's recipe, in runs that share them.

    Args:
        configs: Settings of the runs.
        of_row: Setting in which the rows of a table differ; it is not looked at.
    """
    ours, recipe = settings_of(configs[0]), settings_of(ExperimentConfig())
    recipe["split"] = "paper"
    changes = [
        f"{name} {ours[name]}, not {recipe[name]}"
        for name in RECIPE
        # A file may well hold ImageNet's weights.
        if ours[name] != recipe[name]
        and name != of_row
        and (name != "encoder_weights" or ours[name] == "none")
    ]
    models = [config.model for config in configs]
    if any(
        m.vit_weights == "none" for m in models if METHODS[m.name].takes_vit_weights
    ):
        changes.append("transformer weights none, not ImageNet-21k's")
    return changes


def _unlike_paper(table: Table, found: Sequence[RowRun]) -> list[str]:
    """Returns a sentence on what is not the paper's recipe, if anything."""
    configs = [run.config for run in found]
    changes = unlike_recipe(configs, table.setting) if found else []
    if not changes:
        return []
    return [
        f"This is not the paper's recipe ({'; '.join(changes)}): the difference to the "
        "paper's numbers says nothing about the methods."
    ]


def _settings(
    table: Table,
    dataset: str,
    budget: Budget,
    found: Sequence[RowRun],
    unlike: Sequence[str],
) -> dict[str, Any]:
    named = ("image_size", "epochs", "batch_size", "encoder_weights", "split", "limit")
    values = settings_of(found[0].config) if found else {}
    return {
        "table": table.number,
        "dataset": dataset,
        "budget": budget.name,
        **{name: values.get(name, "") for name in named},
        "is_paper_recipe": "no" if unlike else "yes" if found else "",
    }
