"""The runs and cases that are to be scored, checked before Keras is imported.

Importing Keras takes seconds and prints lines of its own; a refusal should be one
line and come at once.
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from collections.abc import Iterable

from synergynet_tf.config import DataConfig, ExperimentConfig
from synergynet_tf.data import DATASETS, Dataset
from synergynet_tf.data.preprocess import Preprocessor
from synergynet_tf.data.splits import data_root, kept_ids, part_ids
from synergynet_tf.runs import CONFIG, SPLIT, Run


@dataclasses.dataclass(frozen=True)
class RunCases:
    """A run and the cases it is to be scored on.

    Attributes:
        run: The run; its classes are those of the data.
        trained_epochs: Number of epochs it was trained for, at most that of its config.
        part: `train`, `val` or `test`.
        dataset: Reader of its data.
        root: Folder of the data.
        case_ids: IDs of the cases, at least one.
        patients: Patient ID of each case, by case ID.
        notes: Differences between the data and that of the start of the run, a line
            each.
    """

    run: Run
    trained_epochs: int
    part: str
    dataset: Dataset
    root: pathlib.Path
    case_ids: list[str]
    patients: dict[str, str]
    notes: tuple[str, ...] = ()

    @property
    def config(self) -> ExperimentConfig:
        """The run's settings."""
        return self.run.config

    @property
    def preprocessor(self) -> Preprocessor:
        """Preprocessor of a case's image for the model."""
        return Preprocessor.of(self.config)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Foreground classes, the run's and the data's."""
        return self.run.class_names


def find_cases(
    run: Run,
    split_part: str,
    data_dir: str | pathlib.Path | None = None,
) -> RunCases:
    """Finds the cases of one part of a run's data, as they were when it was begun.

    Of a run without `split.json`, from a version that did not write it, they are drawn
    again; a note says so.

    Args:
        run: The run.
        split_part: `train`, `val` or `test`.
        data_dir: Folder of the raw data, if not the one the run was trained on.

    Raises:
        FileNotFoundError: If the run, its weights, its data or a case of this part
            are not there.
        ValueError: If the run cannot be used, or the data has other classes than it.
    """
    data: DataConfig = run.config.data
    run.weights()
    if data_dir is not None:
        data = dataclasses.replace(data, data_dir=str(data_dir))
    if data.dataset not in DATASETS:
        raise ValueError(
            f"{run.path / CONFIG} has an unknown dataset, "
            f"{data.dataset!r}; train the run again with --force"
        )
    dataset, root = DATASETS[data.dataset], data_root(data)
    if run.split is None:
        case_ids = part_ids(data, split_part)
        again = f"its cases are drawn again from {root} as it is now"
        notes = [f"{run} has no {SPLIT}: {again}"]
    else:
        unused = run.data.get("unused")
        parts, notes = kept_ids(data, run.split, [split_part], run, unused)
        case_ids = parts[split_part]
    if not case_ids:
        raise ValueError(f"The {split_part} part of {root} has no cases")
    names, found = run.class_names, tuple(dataset.class_names(root))
    if found != names:
        raise ValueError(
            f"{run} was trained on the classes {', '.join(names)}, but {root} has "
            f"{', '.join(found)}; pass the run's data as --data-dir"
        )
    owners = dataset.patients(root)
    return RunCases(
        run=run,
        trained_epochs=len(run.history),
        part=split_part,
        dataset=dataset,
        root=root,
        case_ids=case_ids,
        patients={case_id: owners[case_id] for case_id in case_ids},
        notes=tuple(notes),
    )


def say_notes(cases: Iterable[RunCases]) -> None:
    """Prints on stderr how the data differs from that which runs were begun with.

    Every command does, with its last refusal behind it, which is one line.
    """
    for note in dict.fromkeys(note for own in cases for note in own.notes):
        print(f"note: {note}", file=sys.stderr)
