"""Hyperparameters, presets and their defaults, all in one place."""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any

from synergynet_tf.safe_io import shown

SPLITS = ("paper", "official", "random")
AUTO = "auto"
PRECISIONS = (AUTO, "float32", "bfloat16", "float16")
STRATEGIES = (AUTO, "none", "mirrored", "multiworker")
STRIDES = (16, 32)
ATTENTIONS = ("normalized", "paper")
# Choices of each option of a codebook, the default first.
VQ_CHOICES = {
    "vq_init": ("kmeans", "first_batches", "uniform"),
    "vq_update": ("moving_average", "gradient"),
    "vq_estimator": ("straight_through", "rotation"),
    "vq_distance": ("euclidean", "cosine"),
    "vq_loss": ("mean", "sum"),
}
# The literal reading of the paper's section 2.1.2, which collapses; see
# docs/assumptions.md.
PAPER_VQ: dict[str, Any] = {
    "commitment_cost": 1.0,
    "restart_every": 0,
    "vq_init": "uniform",
    "vq_update": "gradient",
    "vq_estimator": "straight_through",
    "vq_distance": "euclidean",
    "vq_loss": "sum",
}
OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("polynomial", "cosine")
AUGMENTATIONS = ("paper", "strong")
# Weights without decay: each choice includes those of the one before.
SPARED = ("none", "codebook", "vectors")
# Recipes of training: a recipe is a set of settings, each a flag as well.
RECIPES: dict[str, dict[str, Any]] = {
    "paper": {},
    "modern": {
        "optimizer": "adamw",
        "learning_rate": 1e-3,
        "schedule": "cosine",
        "warmup_steps": 300,
        "clip_norm": 1.0,
        "spared": "vectors",
        "ema_decay": 0.999,
        "augmentation": "strong",
    },
}


def _require(ok: bool, name: str, rule: str, value: object) -> None:
    if not ok:
        raise ValueError(f"`{name}` must be {rule}. Received: {name}={shown(value)}")


def _require_choices(config: object, **choices: Sequence[str]) -> None:
    """Refuses settings that are not among their choices, which are given by name."""
    for name, known in choices.items():
        value = getattr(config, name)
        _require(value in known, name, f"one of {', '.join(known)}", value)


def _are_numbers(text: str) -> bool:
    """Tells whether a text is empty or holds only different numbers."""
    words = text.split()
    return words == re.findall(r"\d+", text) and len(set(map(int, words))) == len(words)


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Settings of the images, and of their training, validation and test sets.

    Attributes:
        dataset: A key of `synergynet_tf.data.DATASETS`.
        data_dir: Folder of the raw data.
        split: `paper`, `official` or `random`; `""` takes the dataset's own
            choice for the files that are there. A run's config never holds `""`.
        split_seed: Seed of whatever the split draws at random, at least 0.
        fold: `i/n`: the `i`-th of `n` parts of the patients, drawn with the split's
            seed, is the test set, and a tenth of the others selects; `""` for none.
            Its split is `random`.
        limit: Largest number of cases of each part, at least 1; `None` for all.
        channels: Up to three channels of the image, such as `"0 1 3"`; `""` for all.
        modality: Scaling of intensities to [0, 1], one of `data.preprocess.MODALITIES`;
            `""` takes the dataset's. A run's config never holds `""`.
        center_crop: Share of each side of a slice, in (0, 1], that the network sees:
            what is around is cut off, and predicted as background. 1 sees all.
    """

    dataset: str = "isic"
    data_dir: str = ""
    split: str = ""
    split_seed: int = 0
    fold: str = ""
    limit: int | None = None
    channels: str = ""
    modality: str = ""
    center_crop: float = 1.0

    def __post_init__(self) -> None:
        rule = f"one of {', '.join(SPLITS)}"
        _require(self.split in ("", *SPLITS), "split", rule, self.split)
        _require(self.split_seed >= 0, "split_seed", "at least 0", self.split_seed)
        fold = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", self.fold)
        fold_ok = fold and int(fold[1]) <= int(fold[2]) and int(fold[2]) >= 2
        rule = "i/n, such as 1/5: the number of a fold, and of at least 2 folds"
        _require(not self.fold or bool(fold_ok), "fold", rule, self.fold)
        alone = not self.fold or self.split in ("", "random")
        _require(alone, "split", f"random for --fold {self.fold}", self.split)
        rule = 'up to three different numbers, such as "0 1 3"'
        channels_ok = _are_numbers(self.channels) and len(self.channels.split()) <= 3
        _require(channels_ok, "channels", rule, self.channels)
        limit_ok = self.limit is None or self.limit >= 1
        _require(limit_ok, "limit", "at least 1", self.limit)
        crop = self.center_crop
        _require(0 < crop <= 1, "center_crop", "above 0 and at most 1", crop)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Settings of the model that `synergynet_tf.models.build_model` builds.

    Attributes:
        name: A key of `synergynet_tf.models.METHODS`.
        backbone: A key of `synergynet_tf.models.ENCODERS`.
        image_size: Height and width of the input in pixels, a multiple of
            `bottleneck_stride`.
        num_classes: Channels of the logits: 1 (sigmoid) for one foreground class,
            else background and the classes (softmax).
        num_codes: Codebook size `K`, at least 2 (paper, section 3).
        hidden_dim: Channels of the bottleneck, `dim` (paper, section 3).
        encoder_weights: `imagenet`, `none`, or a weights file.
        bottleneck_stride: 16 or 32.
            Assumption: 16, TransUNet's, because the paper prints TransUNet's
            numbers beside its own and does not name the stride.
        commitment_cost: Weight of the commitment loss, at least 0.
            Assumption: 0.25, as VQ-VAE (arXiv:1711.00937v2, section 3.2), which
            the paper says it follows. Its printed loss has no stop-gradient,
            which equals 1.0: `--vq paper`.
        restart_every: Training steps between two searches for dead codes; 0 never
            searches.
            Assumption: 25. Without it the codebook collapses to one code from
            scratch at the paper's learning rate; `--vq paper` sets 0.
        vq_init: Initialization of the codes: `kmeans` of the first batches' vectors;
            `first_batches`, where unused codes move to vectors of the first step; or
            `uniform` in [-1/K, 1/K], as in PyTorch ports of VQ-VAE (its authors' code
            scales the variance).
            Assumption: the paper does not say how codes begin; `--vq paper` takes
            `uniform`.
        vq_update: `moving_average`, which trains codes without the optimizer
            (arXiv:1711.00937v2, appendix A.1), or `gradient`, the paper's.
            Assumption: the moving average. Under SGD the gradient moves a code by
            5e-7 of its length a step, so that it learns nothing (docs/codebook.md).
        vq_estimator: Gradient through the choice of a code: `straight_through`, the
            paper's, or `rotation` (arXiv:2410.06424).
        vq_distance: `euclidean`, the paper's, or `cosine`, where vectors and codes,
            and so the output, have unit length (arXiv:2110.04627, section 3.2): in
            SynergyNet's sum little beside the continuous features, which are about
            16 long (512 channels); it was tried in vqunet alone.
        vq_loss: Reduction of the quantizer's loss over channels: `mean`, or `sum`, the
            paper's.
        attention: Computation of DisConX and the refinement. `normalized`: tokens are
            centered and scaled, positions added to queries and keys, scores are cosines
            with a learned temperature, and a layer normalization follows. `paper`: eq.
            5 to 7 without any of that; attention stays nearly uniform.
        vit_layers: Number of blocks of the transformer, in the methods that have one;
            at least 1 (TransUNet: 12, those of ViT-B).
        vit_dim: Channels of the transformer, a multiple of 64 (TransUNet: 768).
        vit_weights: `none`, or a file of the published R50+ViT-B/16, `.npz`.
    """

    name: str = "synergynet-8s2h"
    backbone: str = "resnet50"
    image_size: int = 224
    num_classes: int = 1
    num_codes: int = 1024
    hidden_dim: int = 512
    encoder_weights: str = "imagenet"
    bottleneck_stride: int = 16
    commitment_cost: float = 0.25
    restart_every: int = 25
    vq_init: str = VQ_CHOICES["vq_init"][0]
    vq_update: str = VQ_CHOICES["vq_update"][0]
    vq_estimator: str = VQ_CHOICES["vq_estimator"][0]
    vq_distance: str = VQ_CHOICES["vq_distance"][0]
    vq_loss: str = VQ_CHOICES["vq_loss"][0]
    attention: str = ATTENTIONS[0]
    vit_layers: int = 12
    vit_dim: int = 768
    vit_weights: str = "none"

    def __post_init__(self) -> None:
        stride = self.bottleneck_stride
        _require(stride in STRIDES, "bottleneck_stride", "16 or 32", stride)
        size = self.image_size
        nearest = max(stride, round(size / stride) * stride)
        rule = f"a positive multiple of {stride} (the nearest: {nearest})"
        _require(size > 0 and size % stride == 0, "image_size", rule, size)
        least = {"num_classes": 1, "num_codes": 2, "hidden_dim": 1, "vit_layers": 1}
        for name, low in {**least, "commitment_cost": 0, "restart_every": 0}.items():
            value = getattr(self, name)
            _require(value >= low, name, f"at least {low}", value)
        _require_choices(self, **VQ_CHOICES, attention=ATTENTIONS)
        vit_dim_ok = self.vit_dim > 0 and self.vit_dim % 64 == 0
        _require(vit_dim_ok, "vit_dim", "a positive multiple of 64", self.vit_dim)


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """Weights of `L_seg = BCE + (1 - Dice)` (paper, section 2.1.1, eq. 1).

    Attributes:
        cross_entropy_weight: Weight of the cross-entropy (BCE), at least 0; the paper's
            is 1.
        dice_weight: Weight of the Dice loss, at least 0; the paper's is 1.
        smooth: Added to both sides of the Dice ratio, above 0.
            Assumption: 1e-5, TransUNet's.
    """

    cross_entropy_weight: float = 1.0
    dice_weight: float = 1.0
    smooth: float = 1e-5

    def __post_init__(self) -> None:
        for name in ("cross_entropy_weight", "dice_weight"):
            value = getattr(self, name)
            _require(value >= 0, name, "at least 0", value)
        _require(self.smooth > 0, "smooth", "above 0", self.smooth)


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Settings of the optimizer; the defaults are the paper's (Implementation Details).

    Attributes:
        optimizer: `sgd` with momentum, or `adamw` (arXiv:1711.05101v3, algorithm 2;
            momenta 0.9 and 0.999).
        learning_rate: Highest learning rate, above 0.
        momentum: Momentum of `sgd`, in [0, 1).
        l2: L2 penalty of `sgd`: added to the gradient as `l2 * weight`, as torch does;
            at least 0.
        weight_decay: Weight decay of `adamw`: a step shrinks a weight by the share
            `learning_rate * weight_decay`; at least 0.
        spared: The weights that neither of the two touches: `codebook`; `vectors`,
            which are that, biases, scales and offsets of normalizations and the
            temperatures of attention; or `none`.
            Assumption: `codebook`. torch would spare none, but decay is twenty times
            what the gradient of a codebook is.
        schedule: `polynomial`, `learning_rate * (1 - step / steps) ** decay_power`, or
            `cosine`, `learning_rate * (1 + cos(pi * step / steps)) / 2`.
            Assumption: the first, TransUNet's; the paper names none.
        decay_power: Exponent of `polynomial`, at least 0.
            Assumption: 0.9, TransUNet's.
        warmup_steps: Steps over which the rate rises from 0, at least 0; at most a
            tenth of all steps are.
        clip_norm: Largest norm of the gradient, over all weights as one vector; a
            longer one is scaled down to it. 0 clips none.
        ema_decay: Decay of the exponential moving average (EMA) of the weights that is
            validated and saved, in [0, 1). 0 takes the weights themselves.
    """

    optimizer: str = "sgd"
    learning_rate: float = 0.01
    momentum: float = 0.9
    l2: float = 1e-4
    weight_decay: float = 0.01
    spared: str = "codebook"
    schedule: str = "polynomial"
    decay_power: float = 0.9
    warmup_steps: int = 0
    clip_norm: float = 0.0
    ema_decay: float = 0.0

    def __post_init__(self) -> None:
        _require_choices(self, optimizer=OPTIMIZERS, spared=SPARED, schedule=SCHEDULES)
        rate = self.learning_rate
        _require(0 < rate < math.inf, "learning_rate", "above 0 and finite", rate)
        for name in ("momentum", "ema_decay"):
            value = getattr(self, name)
            _require(0 <= value < 1, name, "in [0, 1)", value)
        for name in ("l2", "weight_decay", "decay_power", "warmup_steps", "clip_norm"):
            value = getattr(self, name)
            _require(0 <= value < math.inf, name, "at least 0 and finite", value)


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Settings of the training: its length, precision, devices and augmentation.

    Attributes:
        epochs: Number of epochs, at least 1.
            Assumption: 150, TransUNet's; the paper names none.
        batch_size: Images per step, over all devices (paper, section 3: 8).
        seed: Seed of the weights, the order of the images and their augmentation.
        precision: `float32`, `bfloat16` or `float16`; the last two are mixed:
            weights, codebook, logits and loss stay float32. `auto` takes the run's
            own, or what suits the hardware. A run's config never holds `auto`.
        strategy: `none` for one device, `mirrored` for those of the machine,
            `multiworker` for those of all machines of `TF_CONFIG`; `auto` takes what
            is there. A run's config never holds `auto`.
        devices: Numbers of the devices of `mirrored`, such as `"0 1"`; `""` for all.
        early_stopping: Epochs without a better validation DSC after which training
            ends; `None` never ends early.
        augmentation: `paper`, flips and rotations, or `strong`, which also changes
            scale, contrast and brightness and adds noise; `data.augment` has both.
    """

    epochs: int = 150
    batch_size: int = 8
    seed: int = 0
    precision: str = "float32"
    strategy: str = "none"
    devices: str = ""
    early_stopping: int | None = None
    augmentation: str = AUGMENTATIONS[0]

    def __post_init__(self) -> None:
        _require(self.epochs >= 1, "epochs", "at least 1", self.epochs)
        _require(self.batch_size >= 1, "batch_size", "at least 1", self.batch_size)
        _require(0 <= self.seed < 2**32, "seed", "in [0, 2**32)", self.seed)
        _require_choices(
            self,
            precision=PRECISIONS,
            strategy=STRATEGIES,
            augmentation=AUGMENTATIONS,
        )
        rule = 'different numbers, such as "0 1"'
        _require(_are_numbers(self.devices), "devices", rule, self.devices)
        devices_ok = not self.devices or self.strategy == "mirrored"
        rule = "left out but for --strategy mirrored"
        _require(devices_ok, "devices", rule, self.devices)
        patience_ok = self.early_stopping is None or self.early_stopping >= 1
        _require(patience_ok, "early_stopping", "at least 1", self.early_stopping)


def num_logits(num_classes: int) -> int:
    """Returns the channels of a model's logits for a number of foreground classes.

    One class has one channel (sigmoid); several have one more, for the background
    (softmax).
    """
    return num_classes + 1 if num_classes > 1 else 1


def default_data_dir(dataset: str) -> pathlib.Path:
    """Returns `$SYNERGYNET_DATA/<dataset>`, else `data/<dataset>`."""
    return pathlib.Path(os.environ.get("SYNERGYNET_DATA", "data"), dataset)
