"""Scores finished runs and sets them beside the paper: `python evaluate.py`."""

from synergynet_tf.cli import command_line
from synergynet_tf.cli.evaluate import main, parse_args

__all__ = ["main", "parse_args"]

if __name__ == "__main__":
    command_line.run(main)
