"""The examples in the docstrings; pytest would import the peer, too, to find them."""

import doctest

from benchmarks import rounds


def test_examples_hold():
    found = doctest.testmod(rounds)
    assert found.attempted > 0 and found.failed == 0
