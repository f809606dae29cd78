"""Lists what every method costs: `python -m synergynet_tf.models`.

Parameters, operations to segment one image (a multiplication and its addition count as
two; convolutions, dense layers, attention and codebooks), tokens of the bottleneck, and
the memory that a process of its own grows by to build the model and segment one image.
"""

import argparse
import sys
from collections.abc import Sequence

from synergynet_tf.cli import command_line
from synergynet_tf.config import ModelConfig
from synergynet_tf.models.cost_table import format_costs, measure_alone
from synergynet_tf.models.methods import BACKBONES, METHODS, check_method


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
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


def main(arguments: Sequence[str]) -> None:
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
    costs = {}
    for config in configs:
        print(f"{config.name} ...", file=sys.stderr)
        costs[config.name] = measure_alone(config)
    print(f"{configs[0].backbone}, {configs[0].image_size} pixels, one image\n")
    print(format_costs(costs))
