"""The examples in the docstrings; pytest would import the peer, too, to find them."""

import doctest

import pytest

from benchmarks import report, rounds


@pytest.mark.parametrize("module", [report, rounds], ids=lambda m: m.__name__)
def test_examples_hold(module):
    found = doctest.testmod(module)
    assert found.attempted > 0 and found.failed == 0
