"""Lists what every method costs: `python -m synergynet_tf.models`.

Parameters, operations to segment one image (a multiplication and its addition count as
two; convolutions, dense layers, attention and codebooks), tokens of the bottleneck, and
the memory that a process of its own grows by to build the model and segment one image.
"""

import concurrent.futures
import multiprocessing
import sys

from synergynet_tf import command_line
from synergynet_tf.config import ModelConfig
from synergynet_tf.models.methods import BACKBONES, METHODS, check_method

_HEADER = ("method", "parameters (M)", "GFLOPs", "tokens", "memory (MiB)")


def parse_args(arguments=None):
    """Reads the command line."""
    default = ModelConfig()
    parser = command_line.ArgumentParser(__doc__)
    add = parser.add_argument
    add(
        "--model",
        action="append",
        choices=METHODS,
        help="repeatable; default: every method",
    )
    add("--backbone", choices=BACKBONES, help=f"default: {default.backbone}")
    add("--image-size", type=int, help=f"pixels; default: {default.image_size}")
    return parser.parse_args(arguments)


def main(arguments):
    """Prints the table; what is being measured goes to stderr."""
    flags = parse_args(arguments)
    given = {
        name: value
        for name, value in vars(flags).items()
        if name in ("backbone", "image_size") and value is not None
    }
    configs = [ModelConfig(name=name, **given) for name in flags.model or METHODS]
    for config in configs:
        check_method(config)
    rows = [_HEADER]
    for config in configs:
        print(f"{config.name} ...", file=sys.stderr)
        rows.append((config.name, *_cells(_measure_alone(config))))
    print(f"{configs[0].backbone}, {configs[0].image_size} pixels, one image\n")
    print(format_table(rows))


def format_table(rows):
    """Aligns columns of text, the first one left and the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)]
        )
        for row in rows
    )


def _measure_alone(config):
    """Measures in a process of its own, whose peak of memory is one model's."""
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, spawn) as pool:
        return pool.submit(_measure, config).result()


def _measure(config):
    from synergynet_tf.models import cost  # Keras, in the process of a model alone.

    return cost.measure(config)


def _cells(cost):
    return (
        f"{cost.parameters / 1e6:.1f}",
        f"{cost.operations / 1e9:.1f}",
        f"{cost.tokens}",
        f"{cost.memory / 2**20:.0f}",
    )


if __name__ == "__main__":
    command_line.run(main)
