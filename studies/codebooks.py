"""Ablation of the codebook options: `python -m studies.codebooks`.

Trains vqunet, whose bottleneck lets nothing but codes through, with every choice: as in
the budget `short`, but two epochs. Prints what the validation says of each: Dice, codes
used, perplexity and quantization error of the epoch whose weights are kept. The same
command goes on where it stopped. No test image is looked at.
"""

from __future__ import annotations

import argparse
import itertools
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from synergynet_tf import runs
from synergynet_tf.cli import command_line
from synergynet_tf.config import (
    PRECISIONS,
    ExperimentConfig,
    default_data_dir,
    num_logits,
)
from synergynet_tf.data import DATASETS
from synergynet_tf.data.splits import complete
from synergynet_tf.experiments import BUDGETS
from synergynet_tf.experiments.jobs import Job
from synergynet_tf.experiments.processes import run_jobs
from synergynet_tf.formats import DASH, markdown

NAMES = ("vq_init", "vq_update", "restart_every", "vq_estimator", "vq_distance")
PLAIN = ("straight_through", "euclidean")
# One of each, and what was the default before they were measured.
CHOICES = (
    *(
        (init, update, restart_every, *PLAIN)
        for init, update, restart_every in itertools.product(
            ("uniform", "kmeans"), ("gradient", "moving_average"), (0, 25)
        )
    ),
    ("first_batches", "gradient", 25, *PLAIN),
    ("kmeans", "moving_average", 25, "rotation", "euclidean"),
    ("kmeans", "moving_average", 25, "straight_through", "cosine"),
)
ROWS = {
    "-".join(map(str, choice)): dict(zip(NAMES, choice, strict=True))
    for choice in CHOICES
}
# A column of history.csv, its title, what it is multiplied by, and its digits.
COLUMNS = (
    ("val_dsc", "DSC (%)", 100, 1),
    ("val_codes_used", "codes used", 1, 0),
    ("val_perplexity", "perplexity", 1, 0),
    ("val_quantization_error", "error", 1, 2),
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__)
    add = parser.add_argument
    add("--dataset", default="acdc", choices=DATASETS, help="default: acdc")
    add("--data-dir", help="default: $SYNERGYNET_DATA/<dataset>, else data/<dataset>")
    add("--row", nargs="+", choices=ROWS, default=[*ROWS], help="default: all")
    add("--seeds", nargs="+", type=int, default=[0, 1], help="default: 0 1")
    add("--epochs", type=int, default=2, help="default: 2")
    add("--precision", default="bfloat16", choices=PRECISIONS, help="default: bfloat16")
    add("--runs", default="runs/codebooks", help="default: %(default)s")
    add("--report", action="store_true", help="train nothing, print what is finished")
    return parser.parse_args(argv)


def plan(args: argparse.Namespace) -> list[Job]:
    """Lists the runs: all rows of a seed, then the next seed's."""
    root = pathlib.Path(args.data_dir or default_data_dir(args.dataset)).resolve()
    config = ExperimentConfig().replace(
        **{**BUDGETS["short"].settings, "epochs": args.epochs},
        name="vqunet",
        dataset=args.dataset,
        data_dir=str(root),
        num_classes=num_logits(len(DATASETS[args.dataset].class_names(root))),
        precision=args.precision,
    )
    data = complete(config.data)
    config = config.replace(split=data.split, modality=data.modality)
    return [
        Job(
            row,
            config.replace(seed=seed, **ROWS[row]),
            pathlib.Path(args.runs, row),
            (),
        )
        for seed in dict.fromkeys(args.seeds)
        for row in args.row
    ]


def report(jobs: Sequence[Job]) -> str:
    """Returns a table of the finished runs: Markdown, a column's seeds side by side.

    A run of other settings, of other epochs for one, is none of them.
    """
    finished = [job for job in jobs if job.state().kind == "finished"]
    titles = [title for _, title, *_ in COLUMNS]
    lines = [["start", "update", "restart", "gradient", "distance", "seeds", *titles]]
    for row in dict.fromkeys(job.row for job in jobs):
        done = [job for job in finished if job.row == row]
        best = [_best_epoch(job.run) for job in done]
        cells = [
            " / ".join(f"{scale * epoch[name]:.{digits}f}" for epoch in best)
            for name, _, scale, digits in COLUMNS
        ]
        seeds = " / ".join(str(job.config.training.seed) for job in done)
        choice = [str(value or "none") for value in ROWS[row].values()]
        lines.append([*choice, seeds, *cells])
    rows = [[cell or DASH for cell in line] for line in lines]
    return markdown(rows, left=len(NAMES) + 1)


def _best_epoch(run: pathlib.Path) -> dict[str, Any]:
    """Returns the row of `history.csv` whose weights are kept."""
    return max(runs.Run(run).history, key=lambda epoch: epoch["val_dsc"])


def main(argv: Sequence[str] | None = None) -> None:
    """Trains what is missing, prints the table; exits with 1 if a run fails."""
    args = parse_args(argv)
    jobs = plan(args)
    failed = 0 if args.report else run_jobs(jobs, debug=args.debug)
    print(report(jobs))
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    command_line.run(main)
