"""The runs and cases that are to be scored, checked before Keras is imported.

Importing Keras takes seconds and prints lines of its own; a refusal should be one
line and come at once.
"""

from __future__ import annotations

import dataclasses
import pathlib

from synergynet_tf import runs
from synergynet_tf.config import DataConfig, ExperimentConfig
from synergynet_tf.data import DATASETS, Dataset
from synergynet_tf.data.splits import data_root, part_ids


@dataclasses.dataclass(frozen=True)
class RunCases:
    """A run and the cases it is to be scored on.

    Attributes:
        config: The run's.
        trained_epochs: How many epochs it was trained for, up to its config's.
        part: `train`, `val` or `test`.
        dataset: The reader of its data.
        root: Folder of the data.
        class_names: Foreground classes, the run's and the data's.
        case_ids: At least one.
        patients: The patient of each of them.
    """

    config: ExperimentConfig
    trained_epochs: int
    part: str
    dataset: Dataset
    root: pathlib.Path
    class_names: tuple[str, ...]
    case_ids: list[str]
    patients: dict[str, str]


def find_cases(
    run: str | pathlib.Path,
    split_part: str,
    data_dir: str | pathlib.Path | None = None,
) -> RunCases:
    """Finds the cases of one part of a run's data.

    Args:
        run: Folder of the run.
        split_part: `train`, `val` or `test`.
        data_dir: Folder of the raw data, if not the one the run was trained on.

    Raises:
        FileNotFoundError: If the run, its weights or its data are not there.
        ValueError: If the run cannot be used, its data cannot be split as it was, or
            the data has other classes than the run.
    """
    config = runs.read_config(run)
    runs.require_weights(run)
    data: DataConfig = config.data
    if data_dir is not None:
        data = dataclasses.replace(data, data_dir=str(data_dir))
    if data.dataset not in DATASETS:
        raise ValueError(
            f"{pathlib.Path(run, 'config.json')} has an unknown dataset, "
            f"{data.dataset!r}; train the run again with --force"
        )
    dataset, root = DATASETS[data.dataset], data_root(data)
    case_ids = part_ids(data, split_part)
    if not case_ids:
        raise ValueError(f"The {split_part} part of {root} has no cases")
    names, found = runs.class_names(run), tuple(dataset.class_names(root))
    if found != names:
        raise ValueError(
            f"{run} was trained on the classes {', '.join(names)}, but {root} has "
            f"{', '.join(found)}; pass the run's data as --data-dir"
        )
    owners = dataset.patients(root)
    return RunCases(
        config=config,
        trained_epochs=len(runs.read_history(run)),
        part=split_part,
        dataset=dataset,
        root=root,
        class_names=names,
        case_ids=case_ids,
        patients={case_id: owners[case_id] for case_id in case_ids},
    )
