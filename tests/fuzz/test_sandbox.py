import functools
import os
import sys
import time

import numpy as np
import pytest

from tests.fuzz import sandbox
from tests.fuzz.sandbox import Sandbox, Verdict, attempt, measured

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def raising(error):
    def read():
        raise error

    return read


@pytest.mark.parametrize(
    ("read", "kind", "words"),
    [
        (lambda: [1.5, None, "a", np.zeros(3)], "accepted", ""),
        (lambda: [np.array([1, np.nan])], "failed", "NaN"),
        (lambda: {"a": float("inf")}, "failed", "inf"),
        (lambda: np.array([{}]), "failed", "object"),
        (lambda: {1j}, "failed", "a set"),
        (raising(ValueError("a.png is damaged")), "refused", "a.png"),
        (raising(ValueError("damaged")), "failed", "names no file"),
        (raising(ValueError("a.png " + "x" * 5000)), "failed", "5013 characters"),
        (raising(TypeError("bug")), "failed", "bug"),
        (raising(MemoryError("8 TiB")), "failed", "asked for memory: 8 TiB"),
    ],
)
def test_verdicts(read, kind, words):
    verdict = attempt(read, ["a.png"])
    assert verdict.kind == kind and words in verdict.text


def test_what_takes_too_much_fails():
    def work():
        np.ones(2**24)  # 128 MiB
        sum(range(10**6))
        return Verdict("refused", "")

    assert measured(work, 10.0, 2**31).kind == "refused"
    assert "GiB" in measured(work, 10.0, 2**26 + 2**25).text
    assert measured(work, 0.0, 2**31).text.startswith("took 0 s")


def misbehave(how):
    if how == "die":
        os._exit(3)
    if how == "hang":
        time.sleep(60)
    if how == "print":
        os.write(2, b"Traceback (most recent call last)")
    if how == "allocate":
        return attempt(functools.partial(np.ones, 2**40), [])
    return Verdict("accepted", "")


def test_a_process_that_dies_or_hangs_is_told_and_replaced(monkeypatch):
    process = Sandbox()
    process.warm_up(functools.partial(misbehave, "fine"))
    monkeypatch.setattr(sandbox, "PATIENCE_S", 5.0)
    ways = ["fine", "die", "hang", "print", "allocate", "fine"]
    texts = [process.run(functools.partial(misbehave, way)).text for way in ways]
    process.close()
    assert texts[0] == texts[5] == ""
    assert "died: exit code 3" in texts[1]
    assert "no answer in 5 s" in texts[2]
    assert "printed a traceback" in texts[3]
    assert "asked for memory" in texts[4]
