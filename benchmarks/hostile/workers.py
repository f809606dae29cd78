"""Processes that read mutated files, and may hang, swell or die of it."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import resource
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

MOST_SECONDS = 10.0
MOST_BYTES = 2 * 2**30
# Of a process that has ceased to work: more than seconds of the CPU, which it counts.
PATIENCE_SECONDS = 30.0
STATUS = pathlib.Path("/proc/self/status")
RESET_PEAK = pathlib.Path("/proc/self/clear_refs")


class Verdict(NamedTuple):
    """What a reader did with a file.

    Attributes:
        kind: `accepted`, `refused` or `failed`.
        text: The refusal, or what is wrong.
    """

    kind: str
    text: str


Prepare = Callable[[Any], Any]
Read = Callable[[Any, Any], Verdict]


def serve(
    pipe: multiprocessing.connection.Connection, prepare: Prepare, read: Read
) -> None:
    """Reads what it is told to, and answers with a verdict; ends with the pipe.

    It sends `None` when it begins to read: what comes before takes time to import.
    """
    log = os.memfd_create("stderr")
    os.dup2(log, sys.stderr.fileno())
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        prepared = prepare(job)
        pipe.send(None)
        before = os.lseek(log, 0, os.SEEK_END)
        with limited():
            verdict = read(job, prepared)
        printed = os.pread(log, 2**20, before).decode(errors="replace")
        if "Traceback" in printed and verdict.kind != "failed":
            verdict = Verdict("failed", f"printed a traceback: {printed[-800:]}")
        pipe.send(verdict)


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Lets the process take half as much memory again as a reader may, and no more."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = status("VmSize") + MOST_BYTES + MOST_BYTES // 2
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def measured(read: Callable[[], Verdict]) -> Verdict:
    """Reads, and fails what took too long or too much."""
    RESET_PEAK.write_text("5")
    before, started = status("VmHWM"), time.process_time()
    verdict = read()
    seconds, grown = time.process_time() - started, status("VmHWM") - before
    if verdict.kind == "failed":
        return verdict
    if seconds > MOST_SECONDS:
        return Verdict("failed", f"took {seconds:.0f} s: {verdict.text}")
    if grown > MOST_BYTES:
        return Verdict("failed", f"took {grown / 2**30:.1f} GiB: {verdict.text}")
    return verdict


def status(name: str) -> int:
    """Returns a size of this process in bytes."""
    text = STATUS.read_text(encoding="ascii")
    return int(text.partition(f"{name}:")[2].split()[0]) * 1024


def attempt(read: Callable[[], Any], names: Sequence[str]) -> Verdict:
    """Reads as a command does.

    Args:
        read: Returns what the file holds; that must be finite.
        names: A refusal has one of these.
    """
    from synergynet_tf.cli import command_line

    said, seen = io.StringIO(), []

    def main(arguments: Sequence[str]) -> None:
        try:
            seen.append(read())
        except Exception as error:
            if (memory := _memory_error(error)) is not None:
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
        return _judge_refusal(said.getvalue(), end.code, names)
    except BaseException:
        return Verdict("failed", traceback.format_exc(limit=-3, chain=False))
    return Verdict("accepted", "")


def _judge_refusal(said: str, code: object, names: Sequence[str]) -> Verdict:
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


def _memory_error(error: BaseException | None) -> BaseException | None:
    """Returns the want of memory that an error goes back to."""
    while error is not None and not isinstance(error, MemoryError):
        error = error.__cause__ or error.__context__
    return error


def require_finite(value: Any) -> None:
    """Raises a TypeError for what no reader may return."""
    import numpy as np

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


class Worker:
    """The other end of `serve`: one process, started again when it had to be ended."""

    def __init__(self, prepare: Prepare, read: Read) -> None:
        self._work, self.job = (prepare, read), None
        self._context = multiprocessing.get_context("spawn")
        self._start()

    def _start(self) -> None:
        self.pipe, other = self._context.Pipe()
        self._process = self._context.Process(target=serve, args=(other, *self._work))
        self._process.start()
        other.close()

    def submit(self, job: Any) -> None:
        """Sends a job; `pipe` has its verdict later, or the end of the process."""
        self.job, self.deadline = job, time.monotonic() + 10 * PATIENCE_SECONDS
        self.pipe.send(job)

    def verdict(self) -> Verdict | None:
        """Takes the verdict, or says how the process ended; `None`: it reads."""
        try:
            self.deadline = time.monotonic() + PATIENCE_SECONDS
            return self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            code = self._process.exitcode
            self._start()
            return Verdict("failed", f"the process died: exit code {code}")

    def give_up(self) -> Verdict:
        """Ends a process that does not answer."""
        self.close()
        self._start()
        return Verdict("failed", f"no answer in {PATIENCE_SECONDS:.0f} s")

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.join()
        self.pipe.close()


def run(
    jobs: Iterator[Any], prepare: Prepare, read: Read, count: int
) -> Iterator[tuple[Any, Verdict]]:
    """Yields each job with its verdict, as they come."""
    workers = [Worker(prepare, read) for _ in range(count)]
    try:
        idle, busy = list(workers), []
        while True:
            while idle and (job := next(jobs, None)) is not None:
                worker = idle.pop()
                worker.submit(job)
                busy.append(worker)
            if not busy:
                return
            ready = multiprocessing.connection.wait([w.pipe for w in busy], 1.0)
            for worker in list(busy):
                late = time.monotonic() > worker.deadline
                if worker.pipe not in ready and not late:
                    continue
                there = worker.pipe in ready
                verdict = worker.verdict() if there else worker.give_up()
                if verdict is None:
                    continue
                busy.remove(worker)
                idle.append(worker)
                yield worker.job, verdict
    finally:
        for worker in workers:
            worker.close()


def keep(folder: pathlib.Path, target: pathlib.Path) -> None:
    """Copies a job's folder; pipes cannot be."""
    with contextlib.suppress(shutil.Error):
        shutil.copytree(folder, target, symlinks=True, dirs_exist_ok=True)


def remove(folder: pathlib.Path) -> None:
    """Removes a job's folder, whatever is in it."""
    shutil.rmtree(folder, ignore_errors=True)
