"""Lock of a run: one process trains it.

    <run>/.lock    names the process; removed at the end, without effect after a kill

It is `flock`, which the kernel keeps for the open file. On a network file system it
holds between machines if the server does; where it cannot be had at all, that is said.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import sys
import time
from collections.abc import Iterator
from typing import IO

from synergynet_tf.safe_io import require_file

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
# A process that only looks, `check_unlocked`, holds the lock for a moment.
_PATIENCE_S = 1.0


class Lock:
    """A run's lock, held.

    Args:
        path: The lock file.
        file: The lock file, open and locked.
    """

    def __init__(self, path: pathlib.Path, file: IO[str]) -> None:
        self.path = path
        self.file = file

    def is_there(self) -> bool:
        """Tells whether the run's folder is the one that was locked."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self.file.fileno()))
        except FileNotFoundError:
            return False

    def require(self) -> None:
        """Refuses to go on in a folder that was removed, or removed and made again.

        Raises:
            FileNotFoundError: If it was.
        """
        if not self.is_there():
            raise FileNotFoundError(
                f"{self.path.parent} was removed while it was trained; nothing more is "
                "written to it. Train the run again, or name another folder with --runs"
            )


@contextlib.contextmanager
def lock(run: str | pathlib.Path) -> Iterator[Lock]:
    """Holds the lock of a run, whose folder is made if it is not there.

    Raises:
        BlockingIOError: If another process holds it.
    """
    path = pathlib.Path(run, LOCK)
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        with open(path, "a+", encoding="utf-8") as file:
            held = Lock(path, file)
            if not _try(file, shared=False):
                if time.monotonic() > deadline:
                    raise _in_use(path)
                time.sleep(0.05)
                continue
            if not held.is_there():
                continue  # The process that held it has just removed it.
            file.truncate(0)
            file.write(f"{os.getpid()} {socket.gethostname()}")
            file.flush()
            try:
                yield held
            finally:
                if held.is_there():
                    # Windows removes no open file; one that nobody holds locks nothing.
                    with contextlib.suppress(PermissionError):
                        path.unlink()
            return


def check_unlocked(run: str | pathlib.Path) -> None:
    """Refuses a run that another process trains; changes nothing.

    Raises:
        BlockingIOError: If one does.
        OSError: If the lock is no file, but a pipe or a device.
    """
    path = pathlib.Path(run, LOCK)
    with contextlib.suppress(FileNotFoundError):
        require_file(path)
        with open(path, encoding="utf-8") as file:
            if not _try(file, shared=True):
                raise _in_use(path)


def _try(file: IO[str], shared: bool) -> bool:
    """Locks an open file; returns whether it could, or locks cannot be had."""
    if fcntl is None:
        return True
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if not shared:
            print(
                f"warning: {file.name} cannot be locked ({error.strerror}): see to it "
                "that no other process trains this run",
                file=sys.stderr,
            )
    return True


def _in_use(path: pathlib.Path) -> BlockingIOError:
    pid, _, host = path.read_text(encoding="utf-8").partition(" ")
    by = f"process {pid} on {host}" if host else "another process"
    return BlockingIOError(
        f"{path.parent} is being trained by {by}. Wait for it or end it, or name "
        "another folder with --runs"
    )
