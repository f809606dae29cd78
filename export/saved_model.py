"""SavedModel export: `python -m export.saved_model --run RUN --out DIR`."""

from synergynet_tf.cli import command_line
from synergynet_tf.cli.saved_model import main, parse_args

__all__ = ["main", "parse_args"]

if __name__ == "__main__":
    command_line.run(main)
