"""Experiment configuration: what a run's `config.json` holds."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

from synergynet_tf.config.settings import (
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    TrainingConfig,
)
from synergynet_tf.safe_io import parse_json, shown

# Settings of runs whose config.json, of an older version, lacks them.
_ABSENT: dict[str, dict[str, Any]] = {
    "data": {"center_crop": 1.0},
    "model": {"attention": "paper", "vq_loss": "mean"},
    "optimizer": {
        "optimizer": "sgd",
        "weight_decay": 0.01,
        "spared": "none",
        "schedule": "polynomial",
        "warmup_steps": 0,
        "clip_norm": 0.0,
        "ema_decay": 0.0,
    },
    "training": {"augmentation": "paper"},
}


@dataclasses.dataclass(frozen=True)
class ExperimentConfig:
    """One run: its data, model, loss, optimizer and training."""

    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)

    def replace(self, **values: Any) -> ExperimentConfig:
        """Returns a copy in which each named field, of whichever part, is set.

        Raises:
            ValueError: If no part, or more than one, has a field of that name.
        """
        parts: dict[str, dict[str, Any]] = {}
        for name, value in values.items():
            owners = [p for p, settings in vars(self).items() if name in vars(settings)]
            if len(owners) != 1:
                raise ValueError(f"`{name}` is not the name of one setting: {owners}")
            parts.setdefault(owners[0], {})[name] = value
        changed = {
            part: dataclasses.replace(getattr(self, part), **fields)
            for part, fields in parts.items()
        }
        return dataclasses.replace(self, **changed)

    def with_weights_named(self) -> ExperimentConfig:
        """Returns a copy whose files of weights have names, and no folders.

        Files of one name are taken for the same, wherever they are.
        """
        names = ("encoder_weights", "vit_weights")
        return self.replace(
            **{name: pathlib.PurePath(getattr(self.model, name)).name for name in names}
        )

    def to_json(self) -> str:
        """Returns the config as indented JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> ExperimentConfig:
        """Reads what `to_json` wrote, also that of an older version.

        Raises:
            ValueError: If it is not JSON, or a part or field is missing, unknown or
                of the wrong type: the file is damaged or of another version.
        """
        try:
            values = parse_json(text)
        except ValueError as error:
            raise ValueError(f"not JSON: {error}") from error
        defaults: dict[str, Any] = vars(cls())
        _check_names("the config", values, set(defaults))
        built = {}
        for part, default in defaults.items():
            kinds = {f.name: f.type for f in dataclasses.fields(default)}
            settings = values[part]
            if isinstance(settings, dict):
                settings = {**_ABSENT.get(part, {}), **settings}
            _check_names(part, settings, set(kinds))
            for name, value in settings.items():
                _check_type(name, str(kinds[name]), value)
            built[part] = dataclasses.replace(default, **settings)
        return cls(**built)


def _check_names(where: str, values: object, expected: set[str]) -> None:
    if not isinstance(values, dict):
        raise ValueError(f"{where} must be an object. Received: {shown(values)}")
    if missing := expected - set(values):
        raise ValueError(f"{where} lacks {', '.join(sorted(missing))}")
    if unknown := set(values) - expected:
        raise ValueError(
            f"{where} has unknown {', '.join(map(shown, sorted(unknown)))}"
        )


def _check_type(name: str, kind: str, value: object) -> None:
    kinds: dict[str, tuple[type, ...]] = {
        "str": (str,),
        "int": (int,),
        "float": (int, float),
        "int | None": (int, type(None)),
    }
    if isinstance(value, bool) or not isinstance(value, kinds[kind]):
        raise ValueError(f"`{name}` must be {kind}. Received: {name}={shown(value)}")
