"""ONNX export: `python -m export.onnx --run RUN --out X.onnx`."""

from synergynet_tf.cli import command_line
from synergynet_tf.cli.onnx import main, parse_args

__all__ = ["main", "parse_args"]

if __name__ == "__main__":
    command_line.run(main)
