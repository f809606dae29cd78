"""Tables of the paper: rows, each with its settings and its numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from synergynet_tf.config import ExperimentConfig


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        key: Name of the row in the table.
        settings: Fields of `ExperimentConfig` that make it.
        paper: Metrics of each dataset, as printed: fractions in [0, 1], `hd95` in
            voxels.
    """

    key: str
    settings: Mapping[str, Any]
    paper: Mapping[str, Mapping[str, float]]

    def variant(self, settings: Mapping[str, Any]) -> str:
        """Names what it sets besides the model, such as `num_codes-512`.

        A row with the settings that all rows share has no such name, so that it is one
        run for all the tables that it is in.

        Args:
            settings: The fields of `ExperimentConfig` that all rows share.
        """
        shared = {**vars(ExperimentConfig().model), **settings}
        changed = {k: v for k, v in self.settings.items() if v != shared[k]}
        return "_".join(f"{k}-{v}" for k, v in changed.items() if k != "name")


@dataclasses.dataclass(frozen=True)
class Table:
    """One table of the paper.

    Attributes:
        number: Number of the table in the paper.
        datasets: Keys of `synergynet_tf.data.DATASETS`, in the order of the columns.
        note: Remark to read before comparing.
        cost: Main factors of the cost of its runs, in words.
        columns: Metrics, the same for each dataset; those named after a class are
            its DSC.
        printed: A line for each row, its key first: percent, `hd95` in voxels.
        baseline: Key of the row that the others are tested against.
        setting: Field of `ModelConfig` that tells the rows apart.
        value: Function from a row's key to the value of that field.
    """

    number: int
    datasets: tuple[str, ...]
    note: str
    cost: str
    columns: str
    printed: str
    baseline: str
    setting: str = "name"
    value: Callable[[str], Any] = str

    @property
    def rows(self) -> dict[str, Row]:
        """The rows by their keys."""
        lines = [line.split() for line in self.printed.strip().splitlines()]
        return {
            key: Row(key, {self.setting: self.value(key)}, self._paper(numbers))
            for key, *numbers in lines
        }

    def pick_rows(self, keys: Sequence[str] | None = None) -> list[Row]:
        """Returns the rows of some keys, or all of them.

        Raises:
            ValueError: If the table has no such row.
        """
        rows = self.rows
        if unknown := [key for key in keys or () if key not in rows]:
            raise ValueError(
                f"Table {self.number} has no row {', '.join(unknown)}; choose from "
                f"{', '.join(rows)}"
            )
        return [rows[key] for key in dict.fromkeys(keys or rows)]

    def pick_dataset(self, dataset: str | None = None) -> str:
        """Returns the dataset that was asked for, or the table's only one.

        Raises:
            ValueError: If the table is of others, or of several and none is named.
        """
        if dataset in self.datasets:
            return dataset
        if dataset is None and len(self.datasets) == 1:
            return self.datasets[0]
        raise ValueError(
            f"Table {self.number} is of {' and '.join(self.datasets)}: name "
            f"{'it' if len(self.datasets) == 1 else 'one of them'} with --dataset. "
            f"Received: dataset={dataset!r}"
        )

    def _paper(self, numbers: list[str]) -> dict[str, dict[str, float]]:
        names = [(d, c) for d in self.datasets for c in self.columns.split()]
        paper: dict[str, dict[str, float]] = {dataset: {} for dataset in self.datasets}
        for (dataset, column), text in zip(names, numbers, strict=True):
            is_distance = column == "hd95"
            value = float(text) if is_distance else round(float(text) / 100, 4)
            paper[dataset][column] = value
        return paper
