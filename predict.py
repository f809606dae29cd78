"""Segments images or volumes with a run or an exported model."""

from synergynet_tf.cli import command_line
from synergynet_tf.cli.predict import main, parse_args

__all__ = ["main", "parse_args"]

if __name__ == "__main__":
    command_line.run(main)
