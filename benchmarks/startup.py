"""Start-up time: of `--help`, of an error message, and to the first training step.

The run that is trained here is also what `benchmarks.exports` exports.
"""

from __future__ import annotations

import fcntl
import os
import pathlib
import pty
import re
import statistics
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.worker import ROOT

MODEL = "synergynet-8s2h"
HELPS = (
    ("train.py",),
    ("evaluate.py",),
    ("predict.py",),
    ("-m", "export.saved_model"),
    ("-m", "export.tflite"),
    ("-m", "synergynet_tf.models"),
)
# Each command, and the code it has to end with.
COMMANDS = {
    **{" ".join((*command, "--help")): ((*command, "--help"), 0) for command in HELPS},
    "train.py, its data missing": (
        ("train.py", "--dataset", "isic", "--data-dir", "no-such-folder"),
        2,
    ),
}
ROUNDS = 5
# What the progress bar shows once a step is done: `| 1/12 [`.
STEP_DONE = re.compile(rb"\| *[1-9]\d*/\d+ \[")


def measure(folder: pathlib.Path, image_size: int) -> dict[str, Any]:
    """Times every command, in turn, and the start of a training.

    Args:
        folder: In which `train` has prepared the data.
        image_size: Of that training.

    Returns:
        `commands`: the median seconds of each. `first_step`: seconds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, (arguments, code) in COMMANDS.items():
            seconds[name].append(time_command(arguments, code))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {"commands": medians, "first_step": time_first_step(folder, image_size)}


def time_command(arguments: tuple[str, ...], code: int) -> float:
    """Returns the seconds that a command takes, start of Python to end.

    Raises:
        ChildProcessError: If it ends with another code.
    """
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True
    )
    seconds = time.perf_counter() - started
    if done.returncode != code:
        raise ChildProcessError(
            f"{' '.join(arguments)} must end with code {code}. Received: "
            f"{done.returncode}, {done.stderr[-300:]}"
        )
    return seconds


def time_first_step(folder: pathlib.Path, image_size: int) -> float:
    """Returns the seconds from the launch of train.py to its first step's end.

    Read off its progress bar, for which it is given a terminal. It is ended then.

    Raises:
        ChildProcessError: If it ends before.
    """
    command = train_command(folder, "second", image_size)
    ours, its = pty.openpty()
    # A bar has no room on a new terminal, which is 0 columns wide.
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    started = time.perf_counter()
    with open(ours, "rb", buffering=0) as terminal:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=environment(folder),
            stdout=subprocess.DEVNULL,
            stderr=its,
        )
        os.close(its)
        shown = b""
        try:
            while not STEP_DONE.search(shown):
                shown += _read(terminal.fileno())
        except EOFError as error:
            text = shown.decode(errors="replace").strip()
            raise ChildProcessError(f"{' '.join(command)} ended: {text}") from error
        finally:
            seconds = time.perf_counter() - started
            process.kill()
            process.wait()
    return seconds


def _read(terminal: int) -> bytes:
    """Returns what was written next.

    Raises:
        EOFError: If whoever wrote has ended, which Linux tells by an error.
    """
    try:
        text = os.read(terminal, 4096)
    except OSError:
        text = b""
    if not text:
        raise EOFError
    return text


def train_command(folder: pathlib.Path, runs: str, image_size: int) -> list[str]:
    """Returns the command that trains one epoch on generated images."""
    return [
        *("train.py", "--dataset", "phantom", "--model", MODEL),
        *("--encoder-weights", "none", "--limit", "8", "--epochs", "1"),
        *("--image-size", str(image_size), "--runs", str(folder / runs)),
    ]


def environment(folder: pathlib.Path) -> dict[str, str]:
    """Returns the environment in which prepared data is kept below `folder`."""
    cache = str(folder / "cache")
    return {**os.environ, "SYNERGYNET_CACHE": cache, "TF_CPP_MIN_LOG_LEVEL": "3"}


def call(arguments: Sequence[str], folder: pathlib.Path) -> None:
    """Runs Python from the project's folder.

    Raises:
        ChildProcessError: If it fails; with its last lines.
    """
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment(folder),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        last = " / ".join(done.stderr.splitlines()[-3:])
        raise ChildProcessError(f"{' '.join(arguments)} failed: {last}")


def train(folder: pathlib.Path, image_size: int) -> pathlib.Path:
    """Trains a run of one epoch, and so prepares its data; returns its folder."""
    call(train_command(folder, "runs", image_size), folder)
    return folder / "runs" / "phantom" / MODEL / "seed0"
