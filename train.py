"""Trains a method on a dataset, or a table of the paper: `train.py --dataset isic`."""

from synergynet_tf.cli import command_line
from synergynet_tf.cli.train import main, parse_args

__all__ = ["main", "parse_args"]

if __name__ == "__main__":
    command_line.run(main)
