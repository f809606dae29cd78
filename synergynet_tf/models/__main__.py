"""Lists what every method costs: `python -m synergynet_tf.models`."""

from synergynet_tf.cli import command_line
from synergynet_tf.cli.models import main, parse_args

__all__ = ["main", "parse_args"]

if __name__ == "__main__":
    command_line.run(main)
