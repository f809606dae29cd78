"""Figures of several runs: `python -m synergynet_tf.evaluation.figures`."""

from synergynet_tf.cli import command_line
from synergynet_tf.cli.figures import main, parse_args

__all__ = ["main", "parse_args"]

if __name__ == "__main__":
    command_line.run(main)
