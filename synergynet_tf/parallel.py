"""Parallel work: scoring in processes, reading ahead in a thread."""

from __future__ import annotations

import collections
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar, cast

Item = TypeVar("Item")
Argument = TypeVar("Argument")
Result = TypeVar("Result")


MOST_WORKERS_OF_WINDOWS = 61  # It waits for no more at once.


def usable_cores() -> int:
    """Returns the number of cores that this process may use.

    A job of a scheduler or a container may use fewer than the machine has.
    """
    if hasattr(os, "sched_getaffinity"):  # Linux.
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_in_processes(
    function: Callable[[Argument], Result], arguments: Iterable[Argument], workers: int
) -> Iterator[Result]:
    """Yields `function(argument)` for each argument, in order.

    At most `2 * workers` arguments wait at any time, however many there are and
    however long each took to make. The processes start afresh and import what
    `function` needs, not what this one has imported.

    Args:
        function: Function that can be pickled, as can its arguments and results.
        arguments: Arguments, taken one by one, in this process.
        workers: Number of processes; 0 calls the function in this one.

    Raises:
        OSError: If a process died, for example because memory ran out.
        Exception: Any that `function` raises.
    """
    if not workers:
        yield from map(function, arguments)
        return
    context = multiprocessing.get_context("spawn")
    if sys.platform == "win32":
        workers = min(workers, MOST_WORKERS_OF_WINDOWS)
    pool = ProcessPoolExecutor(workers, context, _leave_interrupts)
    waiting: collections.deque[Future[Result]] = collections.deque()
    try:
        for argument in arguments:
            waiting.append(pool.submit(function, argument))
            while waiting and (len(waiting) > 2 * workers or waiting[0].done()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise OSError(
            "A process ended before its time, for example for want of memory; "
            "use fewer with --workers, 0 for none"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def read_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Yields the items, each made in a thread while the caller works on the one before.

    One is waiting at any time, however fast they are made.

    Raises:
        Exception: Any that making an item raises, after the items before it.
    """
    iterator, end = iter(items), object()
    pool = ThreadPoolExecutor(1)
    try:
        coming = pool.submit(next, iterator, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, iterator, end)
            yield cast(Item, item)
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_interrupts() -> None:
    """Lets Ctrl-C end the main process alone, which ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
