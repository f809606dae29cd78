"""Configuration: five frozen dataclasses of settings, and one of them all.

They are written into a run's `config.json` and read back from it, unchanged.
"""

from synergynet_tf.config.experiment import ExperimentConfig
from synergynet_tf.config.settings import (
    ATTENTIONS,
    AUGMENTATIONS,
    AUTO,
    OPTIMIZERS,
    PAPER_VQ,
    PRECISIONS,
    RECIPES,
    SCHEDULES,
    SPARED,
    SPLITS,
    STRATEGIES,
    STRIDES,
    VQ_CHOICES,
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    TrainingConfig,
    default_data_dir,
    num_logits,
)

__all__ = [
    "ATTENTIONS",
    "AUGMENTATIONS",
    "AUTO",
    "OPTIMIZERS",
    "PAPER_VQ",
    "PRECISIONS",
    "RECIPES",
    "SCHEDULES",
    "SPARED",
    "SPLITS",
    "STRATEGIES",
    "STRIDES",
    "VQ_CHOICES",
    "DataConfig",
    "ExperimentConfig",
    "LossConfig",
    "ModelConfig",
    "OptimizerConfig",
    "TrainingConfig",
    "default_data_dir",
    "num_logits",
]
