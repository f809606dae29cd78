"""Kills a training again and again: `python -m benchmarks.survival --kills 50`.

One run of tiny epochs on generated images is killed with SIGKILL at moments that a seed
draws, and continued each time by the same command: while it starts, in an epoch, and
while it writes a file. After every kill the run's newest checkpoint, and in the end its
weights, its scores and its history, must be those of a run that nobody disturbed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks import trained_run
from benchmarks.worker import ROOT
from synergynet_tf import runs
from synergynet_tf.cli import command_line

FLAGS = (
    "--dataset phantom --limit 2 --backbone resnet18 --encoder-weights none "
    "--image-size 32 --num-codes 16 --hidden-dim 16"
).split()
# How often each kind of moment is drawn, of ten.
KINDS = {"start": 2, "epoch": 4, "write": 4}
# Epochs of the run; more than a life sees before it is killed.
EPOCHS_A_KILL = 3
# About as long as an epoch takes, and the write of a file.
EPOCH_S, WRITE_S = 0.3, 0.03
POLL_S = 0.001
TEMPORARY = re.compile(r"\.[0-9a-f]{8}\.")


class Life:
    """A `train.py` that runs, no longer than this is entered.

    Args:
        folder: Holds the runs and the prepared data.
        name: Folder of its runs, below `folder`.
        epochs: Of the run.
    """

    def __init__(self, folder: pathlib.Path, name: str, epochs: int) -> None:
        flags = [*FLAGS, "--epochs", str(epochs), "--runs", str(folder / name)]
        self.run = folder / name / "phantom" / trained_run.MODEL / "seed0"
        self.log = folder / f"{name}.log"
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [sys.executable, "train.py", *flags],
                cwd=ROOT,
                env=trained_run.environment(folder),
                stdout=log,
                stderr=log,
            )

    def __enter__(self) -> Life:
        """Returns itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kills it, with SIGKILL, if it is still there."""
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """Waits for it to finish.

        Raises:
            ChildProcessError: If it fails; with its last lines.
        """
        if self.process.wait():
            raise ChildProcessError(f"train.py failed: {self._last_lines()}")

    def wait(self, seconds: float) -> None:
        """Waits while it lives.

        Raises:
            ChildProcessError: If it ends meanwhile; with its last lines.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
            raise ChildProcessError(f"train.py has ended: {self._last_lines()}")

    def wait_for(self, kind: str, draw: random.Random, starting_s: float) -> None:
        """Waits for a moment to be killed at.

        Args:
            kind: One of `KINDS`.
            draw: What the moment is drawn with.
            starting_s: What it takes to the end of the first epoch.

        Raises:
            ChildProcessError: If it ends before; with its last lines.
        """
        before, started = _newest_epoch(self.run), time.monotonic()
        limit_s = draw.uniform(0, starting_s) if kind == "start" else math.inf
        while (
            _newest_epoch(self.run) == before and time.monotonic() - started < limit_s
        ):
            self.wait(POLL_S)
        if kind == "epoch":
            self.wait(draw.uniform(0, EPOCH_S))
        if kind == "write":
            while not _temporaries(self.run):
                self.wait(POLL_S)
            self.wait(draw.uniform(0, WRITE_S))

    def _last_lines(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return " / ".join(lines[-3:])


def survive(folder: pathlib.Path, kills: int, seed: int) -> Iterator[tuple[str, bool]]:
    """Kills a run and continues it, to its end.

    Args:
        folder: An empty folder to work in.
        kills: How often.
        seed: Of the moments.

    Yields:
        For each kill, when it was and whether what was left is what an undisturbed run
        had there; then the same for the finished run.

    Raises:
        ChildProcessError: If `train.py` fails.
        ValueError: If what a kill has left is damaged.
    """
    draw, epochs = random.Random(seed), EPOCHS_A_KILL * (kills + 1)
    started = time.monotonic()
    with Life(folder, "undisturbed", epochs) as undisturbed:
        while not _newest_epoch(undisturbed.run):
            undisturbed.wait(POLL_S)
        starting_s = time.monotonic() - started
        undisturbed.end()
    expected = _rows(undisturbed.run)
    for kind in draw.choices(list(KINDS), list(KINDS.values()), k=kills):
        with Life(folder, "killed", epochs) as life:
            life.wait_for(kind, draw, starting_s)
        rows, half = _rows(life.run), len(_temporaries(life.run))
        moment = f"{kind}, after epoch {len(rows)}, {half} files half written"
        yield moment, _are_equal(rows, expected)
    with Life(folder, "killed", epochs) as life:
        life.end()
    ends = (_end(life.run), _end(undisturbed.run))
    yield f"the end, after epoch {epochs}", _are_equal(*ends)


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__)
    add = parser.add_argument
    add("--kills", type=int, default=50, help="default: %(default)s")
    add("--seed", type=int, default=0, help="of the moments (default: %(default)s)")
    args = parser.parse_args(arguments)
    if args.kills < 1:
        parser.error(f"--kills must be at least 1. Received: {args.kills}")
    return args


def main(arguments: Sequence[str]) -> None:
    """Kills and compares; exits with 1 if anything differs."""
    args = parse_args(arguments)
    started, equal = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="synergynet-survival-") as folder:
        for moment, same in survive(pathlib.Path(folder), args.kills, args.seed):
            equal.append(same)
            number = f"kill {len(equal)}: " if len(equal) <= args.kills else ""
            print(f"{number}{moment}: {'equal' if same else 'DIFFERENT'}", flush=True)
    minutes = (time.monotonic() - started) / 60
    print(
        f"{sum(equal[:-1])} of {args.kills} kills left what an undisturbed run had, "
        f"and the end is {'equal' if equal[-1] else 'DIFFERENT'} ({minutes:.1f} min)"
    )
    if not all(equal):
        sys.exit(1)


def _rows(run: pathlib.Path) -> list[dict[str, Any]]:
    """Reads the history in the newest checkpoint; empty if there is none.

    Raises:
        ValueError: If that checkpoint is damaged.
    """
    found = _checkpoints(run)
    if not found:
        return []
    runs.check_seal(found[-1])
    with np.load(found[-1]) as file:
        return json.loads(str(file["log"]))["rows"]


def _end(run: pathlib.Path) -> list[dict[str, Any]]:
    """Returns what a finished run comes to: history, result, variables, files."""
    with np.load(_checkpoints(run)[-1]) as file:
        variables = {name: file[name].tobytes() for name in file.files if name != "log"}
    runs.Run(run).weights()  # Their digest is part of the result.
    result = json.loads((run / runs.FINISHED).read_text(encoding="utf-8"))
    files = sorted(path.name for path in run.iterdir())
    return [*runs.Run(run).history, result, variables, {"files": files}]


def _are_equal(some: list[dict[str, Any]], more: list[dict[str, Any]]) -> bool:
    """Compares `some` with the first of `more`, but for the seconds."""
    return len(some) <= len(more) and all(
        {**ours, "seconds": 0} == {**theirs, "seconds": 0}
        for ours, theirs in zip(some, more, strict=False)
    )


def _checkpoints(run: pathlib.Path) -> list[pathlib.Path]:
    return sorted((run / runs.CHECKPOINTS).glob("epoch_*.npz"))


def _newest_epoch(run: pathlib.Path) -> int:
    found = _checkpoints(run)
    return int(found[-1].stem.removeprefix("epoch_")) if found else 0


def _temporaries(run: pathlib.Path) -> list[pathlib.Path]:
    """Lists the files that are being written, or were when the writer was killed."""
    paths = (*run.glob(".*"), *run.glob(f"{runs.CHECKPOINTS}/.*"))
    return [path for path in paths if TEMPORARY.match(path.name)]


if __name__ == "__main__":
    command_line.run(main)
