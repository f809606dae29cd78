"""Parity of exports: `python -m export.parity --run RUN --model FILE_OR_DIR ...`."""

from synergynet_tf.cli import command_line
from synergynet_tf.cli.parity import main, parse_args

__all__ = ["main", "parse_args"]

if __name__ == "__main__":
    command_line.run(main)
