"""Segments images or volumes: `python predict.py --run RUN --input PATH --output DIR`."""

from synergynet_tf.cli import command_line
from synergynet_tf.cli.predict import main, parse_args

__all__ = ["main", "parse_args"]

if __name__ == "__main__":
    command_line.run(main)
