"""Settings of an experiment, looked at as a whole."""

from __future__ import annotations

from typing import Any

from synergynet_tf.config import ExperimentConfig


def settings_of(config: ExperimentConfig) -> dict[str, Any]:
    """Returns every setting by its name, of whichever part."""
    return {k: v for part in vars(config).values() for k, v in vars(part).items()}


def comparable(config: ExperimentConfig) -> ExperimentConfig:
    """Returns a config without its seed, and without where and how it was computed.

    Two runs are of one row if these are equal.
    """
    return config.replace(
        data_dir="", seed=0, precision="float32", strategy="none", devices=""
    )
