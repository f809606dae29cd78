"""Worker processes that time calls on request, ours and the peer's alike.

A worker holds something to time. It is asked by a line of JSON on its stdin and answers
by one on its stdout:

    (started)                          {"facts": {...}}
    {"call": "batch 8", "times": 3}    {"seconds": [0.51, 0.49, 0.5], "peak_mib": 812.0}

or `{"error": "..."}`. Between two requests it sleeps, so that many can be alive and be
timed in turn, on the same cores and within seconds of each other.

NumPy and Python's library alone: the peers' environment runs this file, too.
"""

from __future__ import annotations

import json
import os
import pathlib
import resource
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np

ROOT = pathlib.Path(__file__).parents[1]
# Of one answer: compiling a peer's training step takes minutes on a slow machine.
PATIENCE_SECONDS = 900.0
STATUS = pathlib.Path("/proc/self/status")
# `ru_maxrss` counts bytes on macOS and KiB elsewhere.
RSS_PER_MIB = 2**20 if sys.platform == "darwin" else 2**10

Calls = Mapping[str, Callable[[], object]]


class WorkerError(ChildProcessError):
    """What a worker said, or left on stderr, when it could not do its work."""


def peak_mib() -> float:
    """Returns the largest memory that this process ever had."""
    if STATUS.is_file():
        # Linux's `ru_maxrss` begins with that of the process that started this one.
        text = STATUS.read_text(encoding="ascii")
        return int(text.partition("VmHWM:")[2].split()[0]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / RSS_PER_MIB


def serve(build: Callable[[dict[str, Any]], tuple[Calls, dict[str, Any]]]) -> None:
    """Answers requests until stdin ends.

    Args:
        build: From the object that the command line gives as JSON to what can be
            timed, by name, and facts about it.
    """
    # Libraries print to stdout as they like; answers must stand alone.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        calls, facts = build(json.loads(sys.argv[1]))
        print(json.dumps({"facts": facts}), file=answers)
        for line in sys.stdin:
            print(json.dumps(_answer(calls, json.loads(line))), file=answers)
    except Exception as error:
        # Whatever a framework raises is for the one who asked.
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=answers)
        raise


def _answer(calls: Calls, request: dict[str, Any]) -> dict[str, Any]:
    call, seconds = calls[request["call"]], []
    for _ in range(request["times"]):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return {"seconds": seconds, "peak_mib": peak_mib()}


def images(batch: int, size: int) -> np.ndarray:
    """Returns a batch of noise in [0, 1], float32 `(batch, size, size, 3)`."""
    generator = np.random.default_rng(0)
    return generator.random((batch, size, size, 3), np.float32)


def labels(batch: int, size: int) -> np.ndarray:
    """Returns their labels, a disk in each image, uint8 `(batch, size, size)`."""
    row, column = np.ogrid[:size, :size]
    radius = size / 4
    disk = (row - size / 2) ** 2 + (column - size / 2) ** 2 < radius**2
    return np.repeat(disk[None].astype(np.uint8), batch, axis=0)


class Worker:
    """The other end: starts the process, asks, and ends it.

    Args:
        command: The program and its arguments, without the specification.
        spec: What `serve` hands to `build`.

    Example:
        with Worker([sys.executable, "-m", "benchmarks.ours"], spec) as worker:
            facts = worker.facts()
            seconds = worker.time("batch 8", times=3)
    """

    def __init__(self, command: Sequence[str], spec: dict[str, Any]) -> None:
        self.name = " ".join([*command, json.dumps(spec)])
        self.peak_mib = 0.0
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        self._process = subprocess.Popen(
            [*command, json.dumps(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=ROOT,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def facts(self) -> dict[str, Any]:
        """Waits until it is built; asked once, and before anything else."""
        return dict(self._receive()["facts"])

    def ask(self, call: str, times: int) -> None:
        """Sends a request and does not wait."""
        stdin = self._process.stdin
        # Of one that has died, `seconds` tells.
        if stdin is not None and self._process.poll() is None:
            print(json.dumps({"call": call, "times": times}), file=stdin, flush=True)

    def seconds(self) -> list[float]:
        """Waits for the answer to `ask`: how long each call took."""
        answer = self._receive()
        self.peak_mib = answer["peak_mib"]
        return list(answer["seconds"])

    def time(self, call: str, times: int = 1) -> list[float]:
        """Asks and waits."""
        self.ask(call, times)
        return self.seconds()

    def close(self) -> None:
        """Ends the process at once: it holds nothing that is to be kept."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            if stream is not None:
                stream.close()

    def _receive(self) -> dict[str, Any]:
        """Reads an answer.

        Raises:
            WorkerError: If it is an error, or none came.
        """
        stdout = self._process.stdout
        ready = stdout and select.select([stdout], [], [], PATIENCE_SECONDS)[0]
        line = stdout.readline() if stdout and ready else ""
        if not line:
            why = "no answer" if not ready else f"ended; stderr: {self._last_words()}"
            raise WorkerError(f"{self.name}: {why}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"{self.name}: {answer['error']}")
        return answer

    def _last_words(self) -> str:
        self._process.wait()
        self._log.seek(0)
        return " / ".join(self._log.read().splitlines()[-3:])
