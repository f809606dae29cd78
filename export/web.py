"""Web export: `python -m export.web --run RUN --out page.html`."""

from synergynet_tf.cli import command_line
from synergynet_tf.cli.web import main, parse_args

__all__ = ["main", "parse_args"]

if __name__ == "__main__":
    command_line.run(main)
