import sys
import time

import pytest

from benchmarks import worker
from benchmarks.worker import Worker, WorkerError

COMMAND = [sys.executable, "-m", "tests.benchmarks.counting_worker"]


@pytest.fixture
def counting():
    with Worker(COMMAND, {"image_size": 7}) as started:
        yield started


def test_facts_then_seconds(counting):
    assert counting.facts() == {"given": {"image_size": 7}}
    assert len(counting.time("count", 3)) == 3
    # Of 20 ms each, asked for together.
    seconds = counting.time("wait", 2)
    assert len(seconds) == 2 and all(0.02 <= s < 5 for s in seconds)
    # A Python that did little.
    assert 1 < counting.peak_mib < 1000


def test_asking_does_not_wait(counting):
    counting.facts()
    started = time.monotonic()
    counting.ask("wait", 25)
    assert time.monotonic() - started < 0.4
    assert sum(counting.seconds()) >= 0.5


def test_what_fails_is_said(counting):
    counting.facts()
    counting.time("count")
    with pytest.raises(WorkerError, match="ArithmeticError: after 1"):
        counting.time("fail")


def test_what_cannot_be_built_is_said():
    with (
        Worker(COMMAND, {"broken": True}) as started,
        pytest.raises(WorkerError, match="ValueError: no such thing"),
    ):
        started.facts()


def test_a_death_is_noticed(counting):
    counting.facts()
    with pytest.raises(WorkerError, match="last words"):
        counting.time("complain")
    with pytest.raises(WorkerError, match="ended"):
        counting.time("count")


def test_patience_ends(counting, monkeypatch):
    counting.facts()
    monkeypatch.setattr(worker, "PATIENCE_SECONDS", 0.1)
    with pytest.raises(WorkerError, match="no answer"):
        counting.time("sleep")
