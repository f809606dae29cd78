"""Log filter: keeps TensorFlow's start-up lines out of the terminal, errors in it."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

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
    os.dup2(writer, 2)
    os.close(writer)
    thread = threading.Thread(target=_copy, args=(reader, terminal), daemon=True)
    thread.start()
    sys.stderr = own
    try:
        yield
    finally:
        own.flush()
        sys.stderr = python
        os.dup2(terminal, 2)  # Closes the pipe's last end, unless a child holds it.
        thread.join(timeout=1)
        own.close()


def _copy(reader: int, terminal: int) -> None:
    """Copies lines from one file to another, but those of `NOISE`."""
    with os.fdopen(reader, "rb") as lines:
        for line in lines:
            if not NOISE.match(line):
                os.write(terminal, line)
