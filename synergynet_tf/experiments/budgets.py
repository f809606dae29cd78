"""Presets of the recipe (`--budget`), and the settings by which runs are compared."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from synergynet_tf.config import RECIPES, ExperimentConfig
from synergynet_tf.experiments.table import Row


@dataclasses.dataclass(frozen=True)
class Budget:
    """A preset of the recipe, which all rows share: what is spent on a run.

    Attributes:
        name: A key of `BUDGETS`.
        cost: Cost of a run, in words.
        settings: Fields of `ExperimentConfig` that it sets in every row, except those
            that the row itself sets.
    """

    name: str
    cost: str
    settings: Mapping[str, Any]


BUDGETS = {
    budget.name: budget
    for budget in (
        Budget(
            "smoke",
            "About a minute a run on two CPU cores: shows that every row runs; its "
            "scores mean nothing.",
            {
                "image_size": 32,
                "epochs": 1,
                "batch_size": 2,
                # 16 steps of photographs; after fewer, the averages of batch
                # normalization are still so far off that losses are infinite.
                "limit": 32,
                "encoder_weights": "none",
            },
        ),
        Budget(
            "short",
            "7 to 32 minutes a run on two busy CPU cores, in bfloat16: "
            "compares the methods far from convergence.",
            {"image_size": 128, "epochs": 3, "encoder_weights": "none"},
        ),
        Budget(
            "converged",
            "20 epochs of the modern recipe at 128 pixels, from ImageNet: 20 minutes a "
            "run on ACDC on one idle CPU core with AVX-512. Validation then rises no "
            "more.",
            {
                **RECIPES["modern"],
                "backbone": "efficientnetlite0",
                "image_size": 128,
                "hidden_dim": 128,
                "num_codes": 256,
                "epochs": 20,
            },
        ),
        Budget(
            "paper",
            "150 epochs at 224 pixels: two days or more a run on two CPU cores, some "
            "hours on a GPU (estimated, not measured).",
            {},
        ),
    )
}


def runs_folder(runs: str | pathlib.Path, budget: Budget, row: Row) -> pathlib.Path:
    """Returns the `--runs` folder of a row: `RUNS/<budget>[/<variant>]`."""
    return pathlib.Path(runs, budget.name, row.variant(budget.settings))


def settings_of(config: ExperimentConfig) -> dict[str, Any]:
    """Returns every setting by its name, of whichever part."""
    return {k: v for part in vars(config).values() for k, v in vars(part).items()}


def comparable(config: ExperimentConfig) -> ExperimentConfig:
    """Returns a config without its seed, and without where and how it was computed.

    Two runs are of one row if these are equal.
    """
    return config.with_weights_named().replace(
        data_dir="", seed=0, precision="float32", strategy="none", devices=""
    )
