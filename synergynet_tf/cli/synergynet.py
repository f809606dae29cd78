"""The `synergynet` command: finds the module of a command and runs it."""

from __future__ import annotations

import importlib
import sys

from synergynet_tf import __version__
from synergynet_tf.cli import command_line

# Command -> its module, and one line about it.
COMMANDS = {
    "train": ("cli.train", "train a method on a dataset, or a table of the paper"),
    "evaluate": ("cli.evaluate", "score finished runs, beside the paper's numbers"),
    "predict": (
        "cli.predict",
        "segment images with a shipped model, a run or an export",
    ),
    "compare": ("cli.compare", "score label maps of any framework, and compare them"),
    "report": ("cli.report", "write report.html of scored runs"),
    "figures": ("cli.figures", "draw overlays, contours and Grad-CAM of several runs"),
    "codes": ("cli.codes", "show what the codes of a run stand for"),
    "calibrate": ("cli.calibrate", "make a run's probabilities mean what they say"),
    "export": ("", "export a run: saved-model, tflite, onnx, web"),
    "parity": ("cli.parity", "compare an export with its run on real cases"),
    "client": (
        "cli.serving_client",
        "segment images with a running TensorFlow Serving",
    ),
    "data": ("cli.data", "describe and check a dataset"),
    "models": ("cli.models", "list methods and what each costs, or shipped models"),
    "doctor": ("cli.doctor", "say what this machine can do"),
}
EXPORTS = {
    "saved-model": ("cli.saved_model", "for TensorFlow Serving"),
    "tflite": ("cli.tflite", "for devices: float32, float16 or 8 bits"),
    "onnx": ("cli.onnx", "for onnxruntime and OpenVINO: float32"),
    "web": ("cli.web", "for browsers: one HTML file that needs no network"),
}


def main() -> None:
    """Runs `synergynet COMMAND ...`."""
    table, path, arguments = COMMANDS, "synergynet", sys.argv[1:]
    if arguments[:1] == ["export"]:
        table, path, arguments = EXPORTS, "synergynet export", arguments[1:]
    name, *flags = arguments or ["--help"]
    if name in ("-h", "--help"):
        print(_help(path, table), end="")
    elif name == "--version":
        print(f"synergynet-tf {__version__}")
    elif name in table:
        module = importlib.import_module(f"synergynet_tf.{table[name][0]}")
        # The parser shows it as the program's name.
        sys.argv = [f"{path} {name}", *flags]
        command_line.run(module.main)
    else:
        command_line.refuse(
            f"there is no command {path} {name}; choose {', '.join(table)}"
        )


def _help(path: str, table: dict[str, tuple[str, str]]) -> str:
    lines = [f"usage: {path} COMMAND ...", ""]
    lines += [f"  {name:<12} {text}" for name, (_, text) in table.items()]
    return "\n".join(
        [*lines, "", f"{path} COMMAND --help lists a command's flags.", ""]
    )
