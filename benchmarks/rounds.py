"""Interleaved timing: contestants take turns, round by round.

Two programs measured one after the other meet two machines: a neighbor wakes up, a core
heats. Here every contestant has its turn in every round, a ratio is taken within a
round, and the median of the rounds is reported, with their quartiles.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence

from benchmarks.worker import Worker

# A turn of fast calls repeats them for about this long.
TURN_SECONDS = 0.5
MAX_CALLS = 50
WARM_UP = 2


@dataclasses.dataclass(frozen=True)
class Spread:
    """A quantity over the rounds: its median, and quartiles around it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarizes one number a round.

        Example:
        >>> Spread.of([4.0, 1.0, 2.0, 3.0, 9.0])
        Spread(median=3.0, low=2.0, high=4.0)
        """
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)


def ratio(seconds: Sequence[float], reference: Sequence[float]) -> Spread:
    """Compares two contestants within each round: above 1 is slower."""
    return Spread.of([a / b for a, b in zip(seconds, reference, strict=True)])


def interleave(
    workers: Mapping[str, Worker], call: str, rounds: int
) -> dict[str, list[float]]:
    """Times one call of every worker, in turn.

    Each is called `WARM_UP` times first, all at once, because compiling takes long and
    is not measured; then once alone, which tells how often a turn repeats the call.

    Args:
        workers: By name.
        call: What to time.
        rounds: At least 1. Each begins with another worker.

    Returns:
        For each name a number a round: the median of its calls, in seconds.
    """
    for worker in workers.values():
        worker.ask(call, WARM_UP)
    for worker in workers.values():
        worker.seconds()
    times = {name: calls_of(worker.time(call)[0]) for name, worker in workers.items()}
    names = list(workers)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            turn = workers[name].time(call, times[name])
            seconds[name].append(statistics.median(turn))
    return seconds


def calls_of(seconds: float) -> int:
    """Returns how many calls that take so long make a turn."""
    return min(MAX_CALLS, max(1, math.ceil(TURN_SECONDS / seconds)))
