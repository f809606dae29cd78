"""Training throughput on one device and on several: `python -m benchmarks.devices`.

Prints images a second at the same batch, each number of devices in a process of its
own. Without GPUs the CPU is divided: its cores then have the same work and, besides,
that of sharing, which is what the ratio shows.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
from collections.abc import Sequence

from benchmarks.pipeline import add_step_flags, calls_a_second
from synergynet_tf.cli import command_line
from synergynet_tf.config import ExperimentConfig

DEFAULT = ExperimentConfig().replace(
    dataset="phantom", split="official", num_classes=4, encoder_weights="none"
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__)
    parser.add_argument(
        "--numbers", nargs="+", type=int, default=[1, 2], help="of devices"
    )
    add_step_flags(parser)
    parser.add_argument("--steps", type=int, default=10, help="steps to train")
    return parser.parse_args(argv)


def measure(config: ExperimentConfig, number: int, steps: int) -> float:
    """Returns the images a second of `number` devices, after a first step."""
    # Keras takes seconds to import; what can be refused is refused before.
    from synergynet_tf.data import pipeline
    from synergynet_tf.data.batches import Batches
    from synergynet_tf.data.store import open_store
    from synergynet_tf.training import distribution, replicas
    from synergynet_tf.training.fit import compiled_model

    batch_size = config.training.batch_size
    store = open_store(config.data, "train", config.model.image_size)
    batches = Batches(store, batch_size, seed=0, training=True)
    serve = functools.partial(pipeline.dataset, batches, 0, 1 + steps // len(batches))
    with distribution.scope("mirrored", " ".join(map(str, range(number)))):
        distribution.check_batch_size(batch_size)
        model = compiled_model(config, steps + 1)
        stream = iter(replicas.divided(serve))
        step = replicas.replicated(model.train_step)

        def train(_: int) -> None:
            step(next(stream))
            # A GPU is waited for.
            float(model.get_metrics_result()["loss"])

        return calls_a_second(train, steps) * batch_size


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the rates."""
    args = parse_args(argv)
    config = DEFAULT.replace(
        name=args.model,
        precision=args.precision,
        image_size=args.image_size,
        batch_size=args.batch_size,
    )
    context = multiprocessing.get_context("spawn")
    first = None
    for number in args.numbers:
        with context.Pool(1) as pool:
            rate = pool.apply(measure, (config, number, args.steps))
        first = first or rate
        print(f"{number:>3} devices{rate:>9.2f} images/s{rate / first:>7.2f}")


if __name__ == "__main__":
    command_line.run(main)
