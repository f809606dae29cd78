"""Plan of a table: its runs, how far each is, and the command of each."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import shlex
from collections.abc import Sequence
from typing import NamedTuple

from synergynet_tf import errors, runs
from synergynet_tf.config import ExperimentConfig
from synergynet_tf.environment import called
from synergynet_tf.experiments import (
    BUDGETS,
    TABLES,
    comparable,
    runs_folder,
    settings_of,
)
from synergynet_tf.models import check_method, without_unused

# Settings that may be given for all rows alike; the others are the row's and budget's.
SHARED = (
    "precision",
    "strategy",
    "devices",
    "split",
    "split_seed",
    "center_crop",
    "encoder_weights",
    "vit_weights",
)
# Words that `--encoder-weights` takes besides a file.
WORDS = ("imagenet", "none")


class State(NamedTuple):
    """Progress of a run.

    Attributes:
        kind: `finished`, `refused` or `open`.
        text: Description of the state for a reader; for `refused`, the reason.
    """

    kind: str
    text: str


@dataclasses.dataclass(frozen=True)
class Job:
    """One run of a row.

    Attributes:
        row: The row's key.
        config: The run's settings.
        runs: The `--runs` folder it is in.
        changed: Fields of `config` that the row, the budget or the user set.
    """

    row: str
    config: ExperimentConfig
    runs: pathlib.Path
    changed: tuple[str, ...]

    def __str__(self) -> str:
        """Names the row and the seed."""
        return f"{self.row} seed {self.config.training.seed}"

    @property
    def run(self) -> pathlib.Path:
        """The run's folder."""
        return runs.run_dir(self.runs, self.config)

    @property
    def command(self) -> str:
        """Shell command that trains this run alone, on any machine with the data."""
        values, defaults = settings_of(self.config), settings_of(ExperimentConfig())
        changed = [name for name in self.changed if values[name] != defaults[name]]
        words = called("train").split()
        for name in dict.fromkeys(
            ["dataset", "data_dir", "split", "name", *changed, "seed"]
        ):
            flag = "model" if name == "name" else name.replace("_", "-")
            words += [f"--{flag}", str(values[name])]
        return shlex.join([*words, "--runs", str(self.runs)])

    def state(self) -> State:
        """Looks at the run's folder.

        A finished run counts wherever and however precisely it was computed; one that
        is to be continued must have every setting of `config`, or be of whichever
        precision if that is `auto`.
        """
        run = runs.Run(self.run)
        try:
            if run.is_finished() and comparable(run.config) == comparable(self.config):
                precision = run.config.training.precision
                return State("finished", f"finished in {precision}")
            runs.check_startable(run.path, self.config, force=False)
            if not (run.path / runs.HISTORY).is_file():
                return State("open", "not begun")
            done, epochs = run.history, self.config.training.epochs
            return State("open", f"continues after epoch {len(done)} of {epochs}")
        except errors.REFUSALS as error:
            return State("refused", errors.message(error))


def plan(args: argparse.Namespace, base: ExperimentConfig) -> list[Job]:
    """Lists the runs that the flags ask for: all rows of a seed, then the next seed's.

    Args:
        args: Flags of `train.py`, with `--table`.
        base: Settings of a run on the table's dataset, complete.

    Raises:
        ValueError: If the table has no such row, a setting is out of its range or
            does not fit the row's method, or one file of weights is for several
            backbones.
    """
    budget = BUDGETS[args.budget or "paper"]
    values = settings_of(base)
    shared = {name: values[name] for name in SHARED if getattr(args, name) is not None}
    jobs = []
    for seed in dict.fromkeys(args.seeds or (0,)):
        for row in TABLES[args.table].pick_rows(args.row):
            settings = {**budget.settings, **row.settings, **shared}
            config = base.replace(**settings, seed=seed)
            config = dataclasses.replace(config, model=without_unused(config.model))
            check_method(config.model)
            folder = runs_folder(args.runs, budget, row)
            jobs.append(Job(row.key, config, folder, tuple(settings)))
    backbones = dict.fromkeys(job.config.model.backbone for job in jobs)
    if shared.get("encoder_weights", "none") not in WORDS and len(backbones) > 1:
        raise ValueError(
            f"--encoder-weights {shared['encoder_weights']} is of one backbone, and "
            f"the rows have {', '.join(backbones)}: name one with --row"
        )
    return jobs


def describe(args: argparse.Namespace, jobs: Sequence[Job]) -> str:
    """Describes the runs to be trained, their progress and their cost."""
    table, budget = TABLES[args.table], BUDGETS[args.budget or "paper"]
    given = [name for name in SHARED if getattr(args, name) is not None]
    defaults = settings_of(ExperimentConfig())
    changed = []
    for name in dict.fromkeys([*budget.settings, *given]):
        values = {str(settings_of(job.config)[name]) for job in jobs}
        if others := sorted(values - {str(defaults[name])}):
            changed.append(f"{name} {' or '.join(others)}")
    data = jobs[0].config.data
    finished = sum(job.state().kind == "finished" for job in jobs)
    return (
        f"Table {table.number} on {data.dataset}, {data.split} split, budget "
        f"{budget.name} ({', '.join(changed) or 'the defaults'}): {len(jobs)} runs, "
        f"{finished} of them finished.\n{table.cost} {budget.cost}"
    )


def list_states(jobs: Sequence[Job]) -> str:
    """Returns a line for each run: its folder and its progress."""
    width = max(len(str(job)) for job in jobs)
    return "\n".join(f"{job!s:<{width}}  {job.run}: {job.state().text}" for job in jobs)


def list_commands(jobs: Sequence[Job]) -> list[str]:
    """Returns the command of each run that is not finished."""
    return [job.command for job in jobs if job.state().kind != "finished"]
