import pytest

from benchmarks import rounds
from benchmarks.rounds import Spread


def test_spread_by_hand():
    # Sorted: 1 2 3 4 9. The quartiles of five numbers are the second and the fourth.
    assert Spread.of([4.0, 1.0, 2.0, 3.0, 9.0]) == Spread(3.0, 2.0, 4.0)
    # Of two: a quarter of the way from either.
    assert Spread.of([2.0, 4.0]) == Spread(3.0, 2.5, 3.5)
    assert Spread.of([2.0]) == Spread(2.0, 2.0, 2.0)


def test_ratio_is_taken_within_each_round():
    # 1/2, 6/2, 4/4: the median is 1, where that of the medians would be 4/2.
    assert rounds.ratio([1.0, 6.0, 4.0], [2.0, 2.0, 4.0]).median == 1.0


def test_contestants_of_different_rounds_are_refused():
    with pytest.raises(ValueError):
        rounds.ratio([1.0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("seconds", "calls"),
    [
        (3.0, 1),
        (0.5, 1),
        (0.2, 3),  # 0.4 s would be less than a turn.
        (1e-6, 50),
    ],
)
def test_a_turn_takes_half_a_second(seconds, calls):
    assert rounds.calls_of(seconds) == calls


class Scripted:
    """A worker whose calls take a known time each, and that logs when it is asked."""

    def __init__(self, name, log, seconds):
        self.name, self.log, self.seconds_each = name, log, seconds
        self.asked = []

    def ask(self, call, times):
        self.log.append((self.name, call, times))
        self.asked.append(times)

    def seconds(self):
        # The first of several is slower, as after a pause.
        return [10.0] + [self.seconds_each] * (self.asked.pop() - 1)

    def time(self, call, times=1):
        self.ask(call, times)
        values = self.seconds()
        return values if times > 1 else [self.seconds_each]


def test_every_round_has_each_once_and_begins_with_another():
    log = []
    workers = {"a": Scripted("a", log, 0.1), "b": Scripted("b", log, 2.0)}
    seconds = rounds.interleave(workers, "step", 3)
    # The slow first call of a's turns does not count: a turn is its median.
    assert seconds == {"a": [0.1] * 3, "b": [2.0] * 3}
    warm_up, alone, *turns = [log[i : i + 2] for i in range(0, len(log), 2)]
    assert warm_up == [("a", "step", rounds.WARM_UP), ("b", "step", rounds.WARM_UP)]
    assert alone == [("a", "step", 1), ("b", "step", 1)]
    a, b = ("a", "step", 5), ("b", "step", 1)
    assert turns == [[a, b], [b, a], [a, b]]
