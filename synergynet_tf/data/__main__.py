"""Dataset summary and check: `python -m synergynet_tf.data --dataset acdc`."""

from synergynet_tf.cli import command_line
from synergynet_tf.cli.data import main, parse_args

__all__ = ["main", "parse_args"]

if __name__ == "__main__":
    command_line.run(main)
