"""Runs the speed benchmarks: `python -m benchmarks --peer-python PYTHON`.

`make bench` sets up both environments and runs all of it. Quit whatever else uses the
machine before: contestants take turns, so a ratio survives a busy neighbor, but a share
of the machine's rate does not.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import (
    exports,
    pipeline,
    report,
    startup,
    steps,
    surface_metrics,
)
from synergynet_tf import runs
from synergynet_tf.cli import command_line
from synergynet_tf.config import ModelConfig

Part = Callable[[], dict[str, Any]]
PARTS = ("gemm", "steps", "exports", "startup", "pipeline", "surface")


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__)
    add = parser.add_argument
    add("--peer-python", help="of an environment with benchmarks/requirements.txt")
    add("--compile-peer", action="store_true", help="try torch.compile too: minutes")
    add("--only", nargs="+", choices=PARTS, help="default: every part")
    modes, precisions = tuple(steps.BATCHES), steps.PRECISIONS
    add("--mode", choices=modes, help="of steps (default: both)")
    add("--precision", choices=precisions, help="of steps (default: both)")
    add("--rounds", type=int, default=7, help="turns of each (default: %(default)s)")
    add("--image-size", type=int, default=ModelConfig().image_size)
    add("--out", default="speed.json", help="file to write (default: %(default)s)")
    add("--write", metavar="PAGE", help="a page whose marked part to replace, too")
    args = parser.parse_args(arguments)
    if args.rounds < 1:
        parser.error(f"--rounds must be at least 1. Received: {args.rounds}")
    if args.compile_peer and not args.peer_python:
        parser.error("only with --peer-python: --compile-peer")
    ModelConfig(image_size=args.image_size)  # Which says what is wrong with it.
    return args


def check_peers(python: str) -> None:
    """Refuses a Python in which the peer cannot be imported.

    Raises:
        FileNotFoundError: If there is no such program.
        ImportError: If it cannot import the peer.
    """
    advice = "`make bench` sets one up from benchmarks/requirements.txt"
    command = [python, "-c", "import segmentation_models_pytorch"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise FileNotFoundError(
            f"--peer-python {python} cannot be run ({error.strerror}); {advice}"
        ) from error
    if done.returncode:
        why = (done.stderr.splitlines() or ["no reason given"])[-1]
        raise ImportError(
            f"--peer-python {python} cannot import segmentation_models_pytorch "
            f"({why}); {advice}"
        )


def main(arguments: Sequence[str]) -> None:
    """Runs the parts one after the other, writes their numbers and prints a report."""
    args = parse_args(arguments)
    runs.require_writable(pathlib.Path(args.out).parent, "--out")
    if args.peer_python:
        check_peers(args.peer_python)
    else:
        print("without the peer: no --peer-python, so no ratios", file=sys.stderr)
    options = steps.Options(
        args.peer_python,
        args.compile_peer,
        args.rounds,
        args.image_size,
        modes=[args.mode] if args.mode else tuple(steps.BATCHES),
        precisions=[args.precision] if args.precision else steps.PRECISIONS,
    )
    results: dict[str, Any] = {
        "machine": report.describe_machine(),
        "settings": {
            "rounds": args.rounds,
            "image_size": args.image_size,
            "peers": bool(args.peer_python),
        },
    }
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="synergynet-bench-") as folder:
        parts = _parts(options, pathlib.Path(folder))
        for name in args.only or PARTS:
            print(f"{name} ...", file=sys.stderr)
            results[name] = parts[name]()
            results["minutes"] = (time.monotonic() - started) / 60
            # After each, because the next may fail, and this took minutes.
            runs.write_json(args.out, results)
    text = report.render(results)
    print(text, end="")
    if args.write:
        report.replace(args.write, text)


def _parts(options: steps.Options, folder: pathlib.Path) -> dict[str, Part]:
    """Returns what measures each part; `folder` takes the files that they need."""
    size = options.image_size

    @functools.cache
    def run() -> pathlib.Path:
        return startup.train(folder, size)

    def measure_startup() -> dict[str, Any]:
        run()  # Which prepares the data of a second start.
        return startup.measure(folder, size)

    def measure_pipeline() -> dict[str, Any]:
        model = ["--model", "r50-unet", "--precision", "bfloat16"]
        args = pipeline.parse_args([*model, "--image-size", str(size)])
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return pool.apply(pipeline.measure, (args,))

    return {
        "gemm": lambda: steps.measure_gemm(options),
        "steps": lambda: steps.measure_steps(options),
        "exports": lambda: exports.measure(run(), folder, options.rounds),
        "startup": measure_startup,
        "pipeline": measure_pipeline,
        "surface": surface_metrics.measure_organs,
    }


if __name__ == "__main__":
    command_line.run(main)
