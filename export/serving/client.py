"""TensorFlow Serving client: `python -m export.serving.client --url URL ...`."""

from synergynet_tf.cli import command_line
from synergynet_tf.cli.serving_client import main, parse_args

__all__ = ["main", "parse_args"]

if __name__ == "__main__":
    command_line.run(main)
