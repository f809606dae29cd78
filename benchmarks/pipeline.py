"""Throughput of the input pipeline and of training: `python -m benchmarks.pipeline`.

Prints images a second of augmented batches made one after the other, of the same made
in parallel by tf.data, and of the training step that consumes them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.steps import PRECISIONS
from synergynet_tf.cli import command_line
from synergynet_tf.config import ExperimentConfig, num_logits

DEFAULT = ExperimentConfig()


def add_step_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the settings of the training step that is measured."""
    parser.add_argument("--model", default=DEFAULT.model.name, help="method to train")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default=DEFAULT.training.precision
    )
    parser.add_argument("--image-size", type=int, default=DEFAULT.model.image_size)
    parser.add_argument("--batch-size", type=int, default=DEFAULT.training.batch_size)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__)
    parser.add_argument("--dataset", default="phantom", help="default: phantom")
    parser.add_argument("--data-dir", default="", help="default: the dataset's")
    add_step_flags(parser)
    parser.add_argument("--batches", type=int, default=200, help="batches to make")
    parser.add_argument("--steps", type=int, default=5, help="steps to train")
    return parser.parse_args(argv)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Measures in this process, each after a first batch or step to warm up.

    Returns:
        `rates`: images a second, of batches made in either way and of the training.
        `ratio`: how many times the training's rate tf.data reaches.
    """
    # Keras takes seconds to import; what can be refused is refused before.
    from synergynet_tf.data import DATASETS, pipeline
    from synergynet_tf.data.batches import Batches
    from synergynet_tf.data.splits import complete
    from synergynet_tf.data.store import open_store
    from synergynet_tf.training.fit import compiled_model

    config = DEFAULT.replace(
        dataset=args.dataset,
        data_dir=args.data_dir,
        name=args.model,
        image_size=args.image_size,
        batch_size=args.batch_size,
        precision=args.precision,
        encoder_weights="none",
    )
    data = complete(config.data)
    classes = DATASETS[data.dataset].class_names(data.data_dir)
    config = config.replace(num_classes=num_logits(len(classes)))
    store = open_store(data, "train", args.image_size)
    batches = Batches(store, args.batch_size, seed=0, training=True)
    model = compiled_model(config, args.steps)
    example = batches.batch(0, 0)
    alone = calls_a_second(
        lambda index: batches.batch(*divmod(index, len(batches))), args.batches
    )
    # Made now: it begins to work at once, ahead of what is asked for.
    stream = iter(pipeline.dataset(batches, epochs=1 + args.batches // len(batches)))
    parallel = calls_a_second(lambda _: next(stream), args.batches)
    taken = calls_a_second(lambda _: model.train_on_batch(*example), args.steps)
    rates = {
        "one after the other": alone,
        "by tf.data": parallel,
        f"taken by {args.model} in training, {args.precision}": taken,
    }
    return {
        "rates": {title: args.batch_size * rate for title, rate in rates.items()},
        "ratio": parallel / taken,
    }


def calls_a_second(work: Callable[[int], object], times: int) -> float:
    """Does the work once, then `times` more, which count."""
    work(0)
    started = time.perf_counter()
    for index in range(1, times + 1):
        work(index)
    return times / (time.perf_counter() - started)


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the rates."""
    measured = measure(parse_args(argv))
    for title, rate in measured["rates"].items():
        print(f"{title:<48}{rate:>9.1f} images/s")
    print(f"the step has its data {measured['ratio']:.1f} times as fast as it takes it")


if __name__ == "__main__":
    command_line.run(main)
