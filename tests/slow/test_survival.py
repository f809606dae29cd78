"""Crash safety: a training killed by SIGKILL resumes to bit-identical results.

One run of tiny epochs on generated images is killed at moments that a seed draws, and
resumed each time by the same command: while it starts, in an epoch, and while it writes
a file. After every kill the run's newest checkpoint, and in the end its weights, its
scores and its history, must be those of a run that was not interrupted.

`SURVIVAL_KILLS` and `SURVIVAL_SEED` set the number of kills and the seed.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import pathlib
import random
import re
import subprocess
import sys
import time

import numpy as np
import pytest

from synergynet_tf import runs
from tests.conftest import ROOT

# The default seed draws one moment of each kind.
KILLS = int(os.environ.get("SURVIVAL_KILLS", "3"))
SEED = int(os.environ.get("SURVIVAL_SEED", "8"))
MODEL = "synergynet-8s2h"
FLAGS = (
    f"--dataset phantom --model {MODEL} --limit 2 --backbone resnet18 "
    "--encoder-weights none --image-size 32 --num-codes 16 --hidden-dim 16"
).split()
# How often each kind of moment is drawn, of ten.
KINDS = {"start": 2, "epoch": 4, "write": 4}
# Epochs of the run; more than a process sees before it is killed.
EPOCHS_A_KILL = 3
# About as long as an epoch takes, and the write of a file.
EPOCH_S, WRITE_S = 0.3, 0.03
POLL_S = 0.001
TEMPORARY = re.compile(r"\.[0-9a-f]{8}\.")


class Training:
    """A `train.py` process, killed with SIGKILL when the context ends."""

    def __init__(self, folder, name, epochs):
        flags = [*FLAGS, "--epochs", str(epochs), "--runs", str(folder / name)]
        self.run = folder / name / "phantom" / MODEL / "seed0"
        self.log = folder / f"{name}.log"
        cache = {"SYNERGYNET_CACHE": str(folder / "cache")}
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [sys.executable, "train.py", *flags],
                cwd=ROOT,
                env={**os.environ, **cache, "TF_CPP_MIN_LOG_LEVEL": "3"},
                stdout=log,
                stderr=log,
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def finish(self):
        """Waits for it to finish."""
        assert self.process.wait() == 0, self.log.read_text("utf-8", "replace")

    def wait(self, seconds):
        """Waits while it runs; it must not end."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
            pytest.fail(f"ended: {self.log.read_text('utf-8', 'replace')}")

    def wait_for(self, kind, draw, starting_s):
        """Waits for a moment to kill it at.

        Args:
            kind: One of `KINDS`.
            draw: What the moment is drawn with.
            starting_s: What it takes to the end of the first epoch.
        """
        before, started = newest_epoch(self.run), time.monotonic()
        limit_s = draw.uniform(0, starting_s) if kind == "start" else math.inf
        while newest_epoch(self.run) == before and time.monotonic() - started < limit_s:
            self.wait(POLL_S)
        if kind == "epoch":
            self.wait(draw.uniform(0, EPOCH_S))
        if kind == "write":
            while not temporaries(self.run):
                self.wait(POLL_S)
            self.wait(draw.uniform(0, WRITE_S))


@pytest.mark.slow
def test_killed_training_resumes_to_identical_results(tmp_path):
    draw, epochs = random.Random(SEED), EPOCHS_A_KILL * (KILLS + 1)
    started = time.monotonic()
    with Training(tmp_path, "undisturbed", epochs) as undisturbed:
        while not newest_epoch(undisturbed.run):
            undisturbed.wait(POLL_S)
        starting_s = time.monotonic() - started
        undisturbed.finish()
    expected = rows_of(undisturbed.run)
    kinds = draw.choices(list(KINDS), list(KINDS.values()), k=KILLS)
    if (KILLS, SEED) == (3, 8):
        assert set(kinds) == set(KINDS)
    for kind in kinds:
        with Training(tmp_path, "killed", epochs) as killed:
            killed.wait_for(kind, draw, starting_s)
        rows, half = rows_of(killed.run), len(temporaries(killed.run))
        moment = f"{kind}, after epoch {len(rows)}, {half} files half written"
        print(moment)
        assert are_equal(rows, expected), moment
    with Training(tmp_path, "killed", epochs) as killed:
        killed.finish()
    assert are_equal(end_of(killed.run), end_of(undisturbed.run))


def test_what_differs():
    row = {"epoch": 1, "loss": 0.5, "seconds": 3.0}
    assert are_equal([], [row])
    assert are_equal([{**row, "seconds": 9.0}], [row, row])
    assert not are_equal([{**row, "loss": 0.25}], [row])
    assert not are_equal([row, row], [row])


def rows_of(run):
    """Returns the history in the newest checkpoint, which must be whole."""
    found = checkpoints(run)
    if not found:
        return []
    runs.check_seal(found[-1])
    with np.load(found[-1]) as file:
        return json.loads(str(file["log"]))["rows"]


def end_of(run):
    """Returns what a finished run comes to: history, result, variables, files."""
    with np.load(checkpoints(run)[-1]) as file:
        variables = {name: file[name].tobytes() for name in file.files if name != "log"}
    runs.Run(run).weights()  # Their digest is part of the result.
    result = json.loads((run / runs.FINISHED).read_text(encoding="utf-8"))
    files = sorted(path.name for path in run.iterdir())
    return [*runs.Run(run).history, result, variables, {"files": files}]


def are_equal(some, more):
    """Compares `some` with the first of `more`, but for the seconds."""
    return len(some) <= len(more) and all(
        {**ours, "seconds": 0} == {**theirs, "seconds": 0}
        for ours, theirs in zip(some, more, strict=False)
    )


def checkpoints(run: pathlib.Path):
    return sorted((run / runs.CHECKPOINTS).glob("epoch_*.npz"))


def newest_epoch(run):
    found = checkpoints(run)
    return int(found[-1].stem.removeprefix("epoch_")) if found else 0


def temporaries(run):
    """Lists the files that are being written, or were when the writer was killed."""
    paths = (*run.glob(".*"), *run.glob(f"{runs.CHECKPOINTS}/.*"))
    return [path for path in paths if TEMPORARY.match(path.name)]
