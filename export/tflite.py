"""TFLite export: `python -m export.tflite --run RUN --out X.tflite`."""

from synergynet_tf.cli import command_line
from synergynet_tf.cli.tflite import main, parse_args

__all__ = ["main", "parse_args"]

if __name__ == "__main__":
    command_line.run(main)
