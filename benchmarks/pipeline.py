"""Whether the data keeps up with the model: `python -m benchmarks.pipeline`.

Prints images a second of augmented batches made one after the other, of the same made
in parallel by tf.data, and of the training step that consumes them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

from synergynet_tf import command_line
from synergynet_tf.config import ExperimentConfig

DEFAULT = ExperimentConfig()


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__)
    parser.add_argument("--dataset", default="phantom", help="default: phantom")
    parser.add_argument("--data-dir", default="", help="default: the dataset's")
    parser.add_argument("--model", default=DEFAULT.model.name, help="method to train")
    parser.add_argument("--image-size", type=int, default=DEFAULT.model.image_size)
    parser.add_argument("--batch-size", type=int, default=DEFAULT.training.batch_size)
    parser.add_argument("--batches", type=int, default=50, help="batches to make")
    parser.add_argument("--steps", type=int, default=5, help="steps to train")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Prints three rates, each after a first batch or step to warm up."""
    args = parse_args(argv)

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
        encoder_weights="none",
    )
    data = complete(config.data)
    classes = len(DATASETS[data.dataset].class_names(data.data_dir))
    config = config.replace(num_classes=1 if classes == 1 else classes + 1)
    store = open_store(data, "train", args.image_size)
    batches = Batches(store, args.batch_size, seed=0, training=True)

    def make(index: int) -> None:
        batches.batch(*divmod(index, len(batches)))

    _print_rate("batches, one after the other", make, args.batches, args.batch_size)
    epochs = 1 + args.batches // len(batches)
    stream = iter(pipeline.dataset(batches, epochs=epochs))
    _print_rate(
        "batches, tf.data", lambda _: next(stream), args.batches, args.batch_size
    )
    model = compiled_model(config, args.steps)
    example = batches.batch(0, 0)
    _print_rate(
        f"training step of {args.model}",
        lambda _: model.train_on_batch(*example),
        args.steps,
        args.batch_size,
    )


def _print_rate(
    title: str, work: Callable[[int], object], times: int, batch_size: int
) -> None:
    """Does the work once, then `times` more, and prints images a second."""
    work(0)
    started = time.perf_counter()
    for index in range(1, times + 1):
        work(index)
    rate = times * batch_size / (time.perf_counter() - started)
    print(f"{title:<36}{rate:>9.1f} images/s")


if __name__ == "__main__":
    command_line.run(main)
