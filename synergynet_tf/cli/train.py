"""Trains a method on a dataset, or all of a table of the paper.

For example `synergynet train --dataset isic`.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from synergynet_tf import runs
from synergynet_tf.cli import command_line, train_table
from synergynet_tf.config import (
    ATTENTIONS,
    AUGMENTATIONS,
    OPTIMIZERS,
    PAPER_VQ,
    PRECISIONS,
    RECIPES,
    SCHEDULES,
    SPARED,
    SPLITS,
    STRATEGIES,
    VQ_CHOICES,
    ExperimentConfig,
    default_data_dir,
    num_logits,
)
from synergynet_tf.data import DATASETS
from synergynet_tf.data.prepared import PARTS, prepare
from synergynet_tf.data.splits import complete, kept_ids, split_ids
from synergynet_tf.environment import called
from synergynet_tf.experiments import settings_of
from synergynet_tf.models import BACKBONES, METHODS, check_method
from synergynet_tf.models.lite0_weights import require_weights

# The flags that take a file, and the words that each takes instead.
_WEIGHTS = {"encoder_weights": ("imagenet", "none"), "vit_weights": ("none",)}


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; every default lives in `config`, not here."""
    parser = command_line.ArgumentParser(__doc__)
    add = parser.add_argument
    add("--dataset", choices=DATASETS, help="required, but for Tables 1 to 4")
    add("--data-dir", help="default: $SYNERGYNET_DATA/<dataset>, else data/<dataset>")
    add("--model", dest="name", choices=METHODS, help="default: synergynet-8s2h")
    add("--backbone", choices=BACKBONES, help="default: resnet50")
    add("--encoder-weights", help="imagenet (default), none, or a file")
    add("--vit-weights", help="none (default), or R50+ViT-B/16's .npz file")
    add("--runs", default="runs", help="folder of all runs (default: %(default)s)")
    add("--seed", type=int, help="default: 0")
    add("--split", choices=SPLITS, help="default: the paper's, if its data is there")
    add("--split-seed", type=int, help="default: 0")
    add("--fold", help="i/n: the i-th of n parts of the patients is the test set")
    add("--channels", nargs="+", help="up to three of the image's (default: all)")
    add("--center-crop", type=float, help="share of each side of a scan (default: 1)")
    add("--epochs", type=int, help="default: 150")
    add("--batch-size", type=int, help="default: 8, the paper's")
    add("--recipe", choices=RECIPES, help="how weights are trained (default: paper)")
    add("--optimizer", choices=OPTIMIZERS, help="default: sgd; modern: adamw")
    add("--learning-rate", type=float, help="default: 0.01; modern: 0.001")
    add("--weight-decay", type=float, help="of adamw (default: 0.01)")
    add(
        "--spared",
        choices=SPARED,
        help="from decay (default: codebook; modern: vectors)",
    )
    add("--schedule", choices=SCHEDULES, help="default: polynomial; modern: cosine")
    add("--warmup-steps", type=int, help="default: 0; modern: 300")
    add(
        "--clip-norm",
        type=float,
        help="longest gradient; 0: any (default: 0; modern: 1)",
    )
    add(
        "--ema-decay",
        type=float,
        help="of the weights' average; 0: none (default: 0; modern: 0.999)",
    )
    add("--augmentation", choices=AUGMENTATIONS, help="default: paper; modern: strong")
    add("--image-size", type=int, help="default: 224, the paper's")
    add("--num-codes", type=int, help="default: 1024, the paper's")
    add("--hidden-dim", type=int, help="default: 512, the paper's")
    add("--attention", choices=ATTENTIONS, help="default: normalized")
    add("--vq", choices=("default", "paper"), help="paper: its literal codebook")
    for name, choices in VQ_CHOICES.items():
        add(_flag(name), choices=choices, help=f"default: {choices[0]}")
    add("--restart-every", type=int, help="steps between looks for dead codes; 0: none")
    add("--precision", choices=PRECISIONS, help="auto: by hardware (default: float32)")
    add("--strategy", choices=STRATEGIES, help="how devices share (default: none)")
    add("--devices", nargs="+", help="numbers of those of mirrored (default: all)")
    add("--limit", type=int, help="most cases of each part, for trials")
    add("--early-stopping", type=int, help="epochs without a better validation DSC")
    add("--force", action="store_true", help="delete the run that is there")
    add("--dry-run", action="store_true", help="print the settings and stop")
    train_table.add_flags(parser)
    args = parser.parse_args(arguments)
    train_table.check_flags(parser, args)
    method = METHODS[args.name or ExperimentConfig().model.name]
    fits = dict.fromkeys(
        ("num_codes", "vq", *VQ_CHOICES, "restart_every"), method.has_codebook
    )
    fits |= {"hidden_dim": method.has_hidden_dim, "attention": method.has_attention}
    for name, fit in fits.items():
        if getattr(args, name) is not None and not fit:
            parser.error(f"{_flag(name)} changes nothing in {args.name}; leave it out")
    return args


def experiment(args: argparse.Namespace) -> ExperimentConfig:
    """Turns the flags into settings; looks at the data to complete them.

    Raises:
        FileNotFoundError: If the data or a weights file is not there.
        ValueError: If a setting is out of its range.
    """
    settings = settings_of(ExperimentConfig())
    flags: dict[str, Any] = {
        name: value
        for name, value in vars(args).items()
        if value is not None and name in settings
    }
    for name, words in _WEIGHTS.items():
        if name in flags:
            flags[name] = _weights(name, flags[name], words)
    if args.vq == "paper":
        flags = {**PAPER_VQ, **flags}
    flags = {**RECIPES[args.recipe or "paper"], **flags}
    dataset = DATASETS[args.dataset]
    root = pathlib.Path(args.data_dir or default_data_dir(args.dataset))
    flags["data_dir"] = os.path.realpath(root)
    for name in ("channels", "devices"):
        if name in flags:
            flags[name] = " ".join(flags[name])
    # First, because without a file there is nothing to look for classes in.
    dataset.case_ids(root)
    flags["num_classes"] = num_logits(len(dataset.class_names(root)))
    config = ExperimentConfig().replace(**flags)
    config = dataclasses.replace(config, data=complete(config.data))
    if args.table is None:  # `train_table` plans its rows, and checks each.
        check_method(config.model)
        if args.weight_decay is not None and config.optimizer.optimizer == "sgd":
            raise ValueError(
                "--weight-decay changes nothing with sgd; leave it out or pass "
                "--optimizer adamw"
            )
    lite0 = config.model.backbone == "efficientnetlite0"
    if lite0 and config.model.encoder_weights == "imagenet":
        require_weights()
    return config


def _weights(name: str, value: str, words: Sequence[str]) -> str:
    """Returns one of `words`, or the full path of a file that is there."""
    if value in words:
        return value
    path = pathlib.Path(value)
    if not path.is_file():
        raise FileNotFoundError(
            f"No weights file {value}; pass {_flag(name)} {', '.join(words)}, or the "
            "path of a file"
        )
    return str(path.resolve())


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def main(arguments: Sequence[str]) -> None:
    """Builds the experiment and hands it to the trainer."""
    args = parse_args(arguments)
    if args.table:
        train_table.train_table(args, experiment)
        return
    config = experiment(args)
    run = runs.run_dir(args.runs, config)
    runs.check_startable(run, config, args.force)
    begun = runs.Run(run)
    if args.force or begun.split is None:
        parts = split_ids(config.data)
    else:
        unused = begun.data.get("unused")
        parts, notes = kept_ids(config.data, begun.split, PARTS, run, unused)
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
    counts = f"{len(parts['train'])} training and {len(parts['val'])} validation cases"
    print(f"{run}: {config.data.split} split, {counts}")
    if config.model.vq_loss == "sum" and METHODS[config.model.name].has_codebook:
        print(
            "warning: under --vq-loss sum, the printed loss, the encoder shrinks its "
            "features to a fifth, and few codes are used (docs/codebook.md)",
            file=sys.stderr,
        )
    if args.dry_run:
        print(config.to_json(), end="")
        return
    # Before Keras is imported, which takes seconds and prints lines of its own, so
    # that a damaged image is refused at once and in one line.
    prepared = prepare(config.data, config.model.image_size, parts)
    from synergynet_tf import training

    training.fit(config, run, force=args.force, prepared=prepared)
    print(f"next: {called('evaluate')} --run {run}")
