"""Shows what the codes of a run stand for."""

from synergynet_tf.cli import command_line
from synergynet_tf.cli.codes import main, parse_args

__all__ = ["main", "parse_args"]

if __name__ == "__main__":
    command_line.run(main)
