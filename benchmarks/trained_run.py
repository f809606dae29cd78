"""A run of one epoch on generated images, made by the commands that a user calls."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence

from benchmarks.worker import ROOT

MODEL = "synergynet-8s2h"


def train_command(folder: pathlib.Path, runs: str, image_size: int) -> list[str]:
    """Returns the command that trains below `folder/runs`."""
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


def make(folder: pathlib.Path, image_size: int) -> pathlib.Path:
    """Trains the run, and so prepares its data; returns its folder."""
    call(train_command(folder, "runs", image_size), folder)
    return folder / "runs" / "phantom" / MODEL / "seed0"
