"""Lists what every method costs, or the shipped models: `synergynet models [--zoo]`.

Parameters, operations to segment one image (FLOPs: a multiplication and its addition
count as two; convolutions, dense layers, attention and codebooks), and tokens of the
bottleneck.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from synergynet_tf import formats, zoo
from synergynet_tf.cli import command_line
from synergynet_tf.config import ModelConfig
from synergynet_tf.export.exported_model import find_exported
from synergynet_tf.models.methods import BACKBONES, METHODS, check_method
from synergynet_tf.safe_io import shown

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
    add("--zoo", action="store_true", help="list the shipped models instead")
    args = parser.parse_args(arguments)
    if args.zoo and (args.model or args.backbone or args.image_size):
        parser.error("--zoo goes with no other flag")
    return args


def main(arguments: Sequence[str]) -> None:
    """Prints the table; what is being measured goes to stderr."""
    flags = parse_args(arguments)
    if flags.zoo:
        print(format_zoo())
        return
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


def format_zoo() -> str:
    """Returns the shipped models in columns, with their scores on test cases."""
    rows: list[tuple[str, ...]] = [
        ("name", "labels", "license", "MB", "DSC (%)", "", "baseline")
    ]
    notes = []
    for name in zoo.names():
        card = find_exported(name).card
        try:
            row, note = _zoo_row(name, card.values)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(
                f"{zoo.FOLDER / name}.json is damaged ({type(error).__name__}: "
                f"{shown(str(error))}); install the package again"
            ) from error
        rows.append(row)
        notes.append(note)
    return "\n".join(
        [
            formats.columns(rows, left=3),
            "",
            *notes,
            "",
            "synergynet predict IMAGE --model NAME --output FOLDER",
        ]
    )


def _zoo_row(name: str, values: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    """Returns a shipped model's line of the table, and its note, from its card."""
    about = values[zoo.SECTION]
    protocol, baseline = about["protocol"], about["baseline"]
    block = values["scores"]["protocols"][protocol]
    row = (
        name,
        str(about["title"]),
        str(about["license"]),
        f"{values['tflite']['bytes'] / 1e6:.1f}",
        formats.score("dsc", block["mean"]["dsc"]),
        formats.in_brackets(block["mean_interval"]["dsc"], scale=100),
        formats.score("dsc", baseline["protocols"][protocol]["mean"]["dsc"]),
    )
    said = [values["scores_note"], f"Trained on {about['data']['name']}."]
    return row, " ".join([f"{name}:", *said, about["note"]]).rstrip()
