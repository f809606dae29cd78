"""Lists what every method costs: `python -m synergynet_tf.models`.

Parameters, operations to segment one image (FLOPs: a multiplication and its addition
count as two; convolutions, dense layers, attention and codebooks), and tokens of the
bottleneck.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from synergynet_tf import formats
from synergynet_tf.cli import command_line
from synergynet_tf.config import ModelConfig
from synergynet_tf.models.methods import BACKBONES, METHODS, check_method

if TYPE_CHECKING:
    from synergynet_tf.models.cost import Cost

HEADER = ("method", "parameters (M)", "GFLOPs", "tokens")


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
    # Keras takes seconds to import; what can be refused is refused before.
    from synergynet_tf.models import cost

    costs = {}
    for config in configs:
        print(f"{config.name} ...", file=sys.stderr)
        costs[config.name] = cost.measure(config)
    print(f"{configs[0].backbone}, {configs[0].image_size} pixels, one image\n")
    print(format_costs(costs))


def format_costs(costs: Mapping[str, Cost]) -> str:
    """Returns a header and a line for each model, in columns."""
    rows = [HEADER]
    for name, cost in costs.items():
        millions = f"{cost.parameters / 1e6:.1f}"
        billions = f"{cost.operations / 1e9:.1f}"
        rows.append((name, millions, billions, str(cost.tokens)))
    return formats.columns(rows)
