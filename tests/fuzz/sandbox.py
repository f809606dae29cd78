"""A child process that reads hostile files, with limits of time and memory.

A reader may accept a file, if what it returns is finite, or refuse it as a command
does: in one line that names the file. Whatever else it does is a failure.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import pathlib
import resource
import sys
import time
import traceback
from typing import NamedTuple

import numpy as np

from synergynet_tf.cli import command_line

MAX_SECONDS = 10.0  # Of the CPU.
MAX_BYTES = 2 * 2**30
# Until a process that does not answer is killed.
PATIENCE_S = 60.0
STATUS = pathlib.Path("/proc/self/status")
RESET_PEAK = pathlib.Path("/proc/self/clear_refs")


class Verdict(NamedTuple):
    """What a reader did: `accepted`, `refused` or `failed`, and what it said."""

    kind: str
    text: str


class Sandbox:
    """Runs work in a child process, which is started again when it died or hung."""

    def __init__(self):
        self._warm_up = None
        self._start()

    def _start(self):
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=serve, args=(other,), daemon=True)
        self._process.start()
        other.close()
        if self._warm_up is not None:
            self._ask(self._warm_up, None, 10 * PATIENCE_S)

    def warm_up(self, work):
        """Runs work without limits, now and after each restart: imports take long."""
        self._warm_up = work
        return self._ask(work, None, 10 * PATIENCE_S)

    def run(self, work):
        """Returns the verdict of `work()`, which must be picklable."""
        return self._ask(work, (MAX_SECONDS, MAX_BYTES), PATIENCE_S)

    def _ask(self, work, limits, patience):
        self._pipe.send((work, limits))
        try:
            if self._pipe.poll(patience):
                return self._pipe.recv()
            text = f"no answer in {patience:.0f} s"
        except (EOFError, ConnectionResetError):
            self._process.join()
            text = f"the process died: exit code {self._process.exitcode}"
        self.close()
        self._start()
        return Verdict("failed", text)

    def close(self):
        self._process.kill()
        self._process.join()
        self._pipe.close()


def serve(pipe):
    """Does the work that is sent through a pipe, until it is closed."""
    log = os.memfd_create("stderr")
    os.dup2(log, sys.stderr.fileno())
    while True:
        try:
            work, limits = pipe.recv()
        except EOFError:
            return
        start = os.lseek(log, 0, os.SEEK_END)
        verdict = measured(work, *limits) if limits else work()
        printed = os.pread(log, 2**20, start).decode(errors="replace")
        if "Traceback" in printed and verdict.kind != "failed":
            verdict = Verdict("failed", f"printed a traceback: {printed[-800:]}")
        pipe.send(verdict)


def measured(work, max_seconds, max_bytes):
    """Does work that may take half as much memory again, and fails what took more."""
    RESET_PEAK.write_text("5")
    before, started = status("VmHWM"), time.process_time()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = status("VmSize") + max_bytes + max_bytes // 2
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        verdict = work()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    seconds, grown = time.process_time() - started, status("VmHWM") - before
    if verdict.kind != "failed" and seconds > max_seconds:
        return Verdict("failed", f"took {seconds:.0f} s: {verdict.text}")
    if verdict.kind != "failed" and grown > max_bytes:
        return Verdict("failed", f"took {grown / 2**30:.1f} GiB: {verdict.text}")
    return verdict


def status(name):
    """Returns a size of this process in bytes."""
    text = STATUS.read_text(encoding="ascii")
    return int(text.partition(f"{name}:")[2].split()[0]) * 1024


def attempt(read, names):
    """Reads as a command does; a refusal must have one of the names."""
    said, seen = io.StringIO(), []

    def main(arguments):
        try:
            seen.append(read())
        except Exception as error:
            if (memory := memory_error(error)) is not None:
                raise AssertionError(f"asked for memory: {error}") from memory
            raise

    try:
        with (
            contextlib.redirect_stderr(said),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            command_line.run(main)
        require_finite(seen[0])
    except SystemExit as end:
        return judge_refusal(said.getvalue(), end.code, names)
    except BaseException:
        return Verdict("failed", traceback.format_exc(limit=-3, chain=False))
    return Verdict("accepted", "")


def judge_refusal(said, code, names):
    # Before it, a resumed training says which of its checkpoints it passes over.
    *before, text = said.splitlines() or [""]
    if code != 2 or not text.startswith("error: "):
        return Verdict("failed", f"ended with {code}: {said!r}")
    if not all(line.isprintable() for line in (*before, text)):
        return Verdict("failed", f"printed control characters: {said!r}")
    if not any(name in said for name in names):
        return Verdict("failed", f"names no file: {text}")
    if len(text) > 4000:
        return Verdict("failed", f"a line of {len(text)} characters: {text[:200]}")
    return Verdict("refused", text)


def memory_error(error):
    """Returns the MemoryError that an error goes back to, if any."""
    while error is not None and not isinstance(error, MemoryError):
        error = error.__cause__ or error.__context__
    return error


def require_finite(value):
    """Raises a TypeError for what no reader may return."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biufU":
            raise TypeError(f"an array of {value.dtype}")
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise TypeError("an array with NaN or infinite values")
    elif isinstance(value, dict):
        require_finite([*value.keys(), *value.values()])
    elif isinstance(value, list | tuple):
        for entry in value:
            require_finite(entry)
    elif hasattr(value, "spacing_mm"):
        require_finite([value.image, value.label, value.spacing_mm])
    elif isinstance(value, float):
        if not np.isfinite(value):
            raise TypeError(f"the number {value}")
    elif not isinstance(value, str | int | pathlib.Path | None):
        raise TypeError(f"a {type(value).__name__}")
