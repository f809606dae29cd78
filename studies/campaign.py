r"""The long trainings behind the results: `python -m studies.campaign --data DATA`.

Trains every run of the list below at the budget `converged`, but for what its dataset
changes, one after the other, and goes on where it stopped. DATA holds `acdc`,
`isic2017` and `msd/Task04_Hippocampus`.

On a machine with a GPU but neither the raw data nor TensorFlow, first here, then there:

    python -m studies.campaign --data DATA --pack ARRAYS
    KERAS_BACKEND=jax python -m studies.campaign --arrays ARRAYS --minutes 9

`tools.parts` cuts either folder, and those of the runs, into files of 16 MiB.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import pathlib
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

from synergynet_tf.cli import command_line
from synergynet_tf.config import (
    AUTO,
    PRECISIONS,
    DataConfig,
    ExperimentConfig,
    num_logits,
)
from synergynet_tf.data import DATASETS, prepared
from synergynet_tf.data.splits import complete
from synergynet_tf.experiments import BUDGETS
from synergynet_tf.experiments.jobs import Job, list_commands, list_states
from synergynet_tf.experiments.processes import run_jobs
from synergynet_tf.models import without_unused
from synergynet_tf.safe_io import read_json

FOLDERS = {"acdc": "acdc", "isic": "isic2017", "msd": "msd/Task04_Hippocampus"}
CHANGES: dict[str, dict[str, Any]] = {
    # No heart of the training part is cut off; a pixel is that of 160 without a crop.
    "acdc": {"center_crop": 0.8},
    "isic": {"epochs": 12},
    # Slices have about 35 x 50 pixels.
    "msd": {"image_size": 64, "epochs": 10},
}
SYNERGYNET = "synergynet-8s2h"
PAPER = {"attention": "paper"}
# In the order of what is asked first: a dataset, a seed, and the methods.
ACDC: tuple[tuple[str, dict[str, Any]], ...] = (
    (SYNERGYNET, {}),
    (SYNERGYNET, PAPER),
    ("synergynet-fusion", {}),
    ("r50-unet", {}),
    ("transunet", {}),
    ("vqunet", {}),
)
PLAN = (
    *(("acdc", seed, name, changes) for seed in (0, 1) for name, changes in ACDC),
    ("acdc", 2, SYNERGYNET, {}),
    ("acdc", 2, "r50-unet", {}),
    ("acdc", 2, "synergynet-fusion", {}),
    ("acdc", 2, "vqunet", {}),
    ("isic", 0, SYNERGYNET, {}),
    ("isic", 0, "r50-unet", {}),
    ("msd", 0, SYNERGYNET, {}),
    ("msd", 0, "r50-unet", {}),
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__.splitlines()[0] if __doc__ else None)
    add = parser.add_argument
    add("--data", type=pathlib.Path, help="folder of the raw data")
    add("--arrays", type=pathlib.Path, help="folder that --pack wrote, instead")
    add("--pack", type=pathlib.Path, metavar="ARRAYS", help="prepare only, into ARRAYS")
    add("--runs", default="runs/campaign", help="default: %(default)s")
    add(
        "--dataset", nargs="+", choices=FOLDERS, default=[*FOLDERS], help="default: all"
    )
    add("--precision", choices=PRECISIONS, default=AUTO, help="default: auto")
    add(
        "--encoder-weights", default="imagenet", help="a file where there is no network"
    )
    add("--minutes", type=float, help="stop after so many, to be continued")
    add("--list", action="store_true", help="print the commands of what is missing")
    add("--dry-run", action="store_true", help="print how far each run is")
    args = parser.parse_args(argv)
    if (args.data is None) == (args.arrays is None):
        parser.error("pass --data or --arrays")
    if args.pack and args.arrays:
        parser.error("--pack needs --data")
    return args


def plan(args: argparse.Namespace) -> list[Job]:
    """Lists the runs, in the order of `PLAN`."""
    data: dict[str, tuple[DataConfig, int]] = {}
    jobs = []
    for dataset, seed, name, changes in PLAN:
        if dataset not in args.dataset:
            continue
        if dataset not in data:
            data[dataset] = (
                _packed(args, dataset) if args.arrays else _raw(args, dataset)
            )
        config, classes = data[dataset]
        settings = {
            **BUDGETS["converged"].settings,
            **CHANGES[dataset],
            "name": name,
            "precision": args.precision,
            "encoder_weights": args.encoder_weights,
            **changes,
        }
        # The data says how many classes there are; it is no flag.
        own = {"seed": seed, "num_classes": num_logits(classes)}
        job_config = ExperimentConfig(data=config).replace(**own, **settings)
        model = without_unused(job_config.model)
        job_config = dataclasses.replace(job_config, model=model)
        kind = "paper-attention" if changes else "normalized"
        jobs.append(
            Job(
                f"{dataset} {name} {kind}",
                job_config,
                pathlib.Path(args.runs, kind),
                tuple(settings),
            )
        )
    return jobs


def _raw(args: argparse.Namespace, dataset: str) -> tuple[DataConfig, int]:
    """Returns the settings of raw data, and its number of classes."""
    root = (args.data / FOLDERS[dataset]).resolve()
    config = complete(DataConfig(dataset=dataset, data_dir=str(root)))
    return config, len(DATASETS[dataset].class_names(root))


def _packed(args: argparse.Namespace, dataset: str) -> tuple[DataConfig, int]:
    """Returns the same of packed arrays."""
    path = args.arrays / dataset / prepared.ABOUT
    if not path.is_file():
        raise FileNotFoundError(f"No {path}; write it with --pack, where the data is")
    about = read_json(path)
    return DataConfig(**about["data"]), len(about["class_names"])


def pack(jobs: Sequence[Job], folder: pathlib.Path) -> None:
    """Writes the prepared arrays of each dataset below a folder."""
    for config in {job.config.data.dataset: job.config for job in jobs}.values():
        size, place = config.model.image_size, folder / config.data.dataset
        found = prepared.prepare(config.data, size)
        prepared.save(found, config.data, size, place)
        print(f"{place}: {len(found.train.labels)} + {len(found.val.labels)} images")


def fit_arrays(
    arrays: pathlib.Path, config: ExperimentConfig, run: pathlib.Path
) -> None:
    """Trains a run from packed arrays."""
    from synergynet_tf import training

    folder = arrays / config.data.dataset
    data = prepared.load(config.data, config.model.image_size, folder)
    training.fit(config, run, prepared=data)


def main(argv: Sequence[str] | None = None) -> None:
    """Trains what is missing; exits with 1 if a run fails."""
    args = parse_args(argv)
    jobs = plan(args)
    if args.pack:
        pack(jobs, args.pack)
    elif args.list:
        print("".join(f"{command}\n" for command in list_commands(jobs)), end="")
    elif args.dry_run:
        print(list_states(jobs))
    else:
        if args.minutes:
            # As if somebody had: what trains saves and ends.
            end = threading.Timer(
                60 * args.minutes, os.kill, (os.getpid(), signal.SIGTERM)
            )
            end.daemon = True
            end.start()
        options = {}
        if args.arrays:
            options["train"] = functools.partial(fit_arrays, args.arrays)
        if run_jobs(jobs, debug=args.debug, **options):
            sys.exit(1)


if __name__ == "__main__":
    command_line.run(main)
