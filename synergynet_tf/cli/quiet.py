"""Log filter: keeps TensorFlow's start-up lines out of the terminal, errors in it."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

PATIENCE_S = 1.0
# Messages of TensorFlow's C++ code: on every start, without a GPU, on a CPU without one
# of oneDNN's kernels, and about the options of its 8-bit converter.
NOISE = re.compile(
    rb"(?:[IW]\d{4} \d\d:\d\d|[IW]0000 00:00:|WARNING: All log messages before absl"
    rb"|\d{4}-\d\d-\d\d [\d:.]+: [IW] |INFO: Created TensorFlow Lite XNNPACK delegate"
    rb"|E.*cuda_platform\.cc.*cuInit|E.*oneDNN supports DT_INT64 only"
    rb"|To enable the following instructions|fully_quantize: \d)"
)


@contextmanager
def quiet() -> Iterator[None]:
    """Drops the lines of `NOISE` that C++ code writes to the standard error.

    Python's own `sys.stderr` goes past the filter, so progress bars see the terminal.
    The level of TensorFlow's log is its own variable, `TF_CPP_MIN_LOG_LEVEL`.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        stderr = sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):  # Tests and notebooks replace it.
        yield
        return
    if stderr != 2:
        yield
        return
    terminal = os.dup(2)
    reader, writer = os.pipe()
    python, own = sys.stderr, os.fdopen(os.dup(terminal), "w", buffering=1)
    own.reconfigure(errors=python.errors)
    finish = _filter(reader, writer, terminal)
    os.dup2(writer, 2)
    os.close(writer)
    sys.stderr = own
    try:
        yield
    finally:
        own.flush()
        sys.stderr = python
        os.dup2(terminal, 2)  # Closes the pipe's last end, unless a child holds it.
        finish()
        own.close()


def _filter(reader: int, writer: int, terminal: int) -> Callable[[], None]:
    """Begins to copy lines from a pipe, in a process of its own where there can be one.

    A process outlives this one, if C++ code ends it: the line that says why is on its
    way then, and a thread would end with it.

    Returns:
        Function that waits for the last lines, a second at most.
    """
    if not hasattr(os, "fork"):  # Windows.
        thread = threading.Thread(target=_copy, args=(reader, terminal), daemon=True)
        thread.start()
        return lambda: thread.join(PATIENCE_S)
    child = os.fork()
    if not child:
        # Ctrl-C and SIGTERM are for the other, which may have something to say.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            os.close(writer)
            # Whoever reads what this command prints waits for its end alone.
            for descriptor in (0, 1, 2):
                os.close(descriptor)
            _copy(reader, terminal)
        finally:
            os._exit(0)
    os.close(reader)

    def finish() -> None:
        end = time.monotonic() + PATIENCE_S
        with suppress(ChildProcessError):  # Whoever ignores SIGCHLD has none.
            while os.waitpid(child, os.WNOHANG) == (0, 0) and time.monotonic() < end:
                time.sleep(0.002)

    return finish


def _copy(reader: int, terminal: int) -> None:
    """Copies lines from one file to another, but those of `NOISE`."""
    with os.fdopen(reader, "rb") as lines:
        for line in lines:
            if not NOISE.match(line):
                os.write(terminal, line)
