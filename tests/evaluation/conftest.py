import pytest

from tests.evaluation import squares


@pytest.fixture
def squares_run(tmp_path, monkeypatch):
    """A run on white squares, whose model needs no weights."""
    return squares.make_run(tmp_path, monkeypatch)
