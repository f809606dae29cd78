"""Signal handling: Ctrl-C and SIGTERM, at once or after the current step."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """A signal has ended the command.

    Args:
        signum: Number of the signal.
        message: Message to the user; may be empty.

    Attributes:
        code: Exit code of a command that it ended, 128 + `signum`, as shells count.
    """

    def __init__(self, signum: int, message: str = "") -> None:
        super().__init__(message)
        self.code = 128 + signum


class Stop:
    """Takes Ctrl-C and SIGTERM while it is entered.

    A signal raises `Stopped` where it arrives. Once `wait` is set it is only kept in
    `signum`, for whoever has set it to look at soon; then Ctrl-C, a second one too,
    ends the process at once, whatever that is doing. A signal that was ignored stays
    so, and in a thread other than the main one none is taken.

    Attributes:
        wait: Whether signals are kept.
        signum: The signal that was kept, or `None`.
    """

    def __init__(self) -> None:
        self.wait = False
        self.signum: int | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Stop:
        """Takes the signals over."""
        if threading.current_thread() is threading.main_thread():
            for signum in SIGNALS:
                if signal.getsignal(signum) is not signal.SIG_IGN:
                    self._before[signum] = signal.signal(signum, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        """Hands the signals back."""
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def _take(self, signum: int, frame: FrameType | None) -> None:
        if not self.wait:
            raise Stopped(signum)
        self.signum = self.signum or signum
        if signal.SIGINT in self._before:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
