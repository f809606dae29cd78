import numpy as np
import pytest

from benchmarks import surface_metrics


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(surface_metrics, "SHAPE", (20, 40, 50))
    return surface_metrics.make_pair((6, 10, 12))


def test_pair_is_two_ellipsoids_apart(small):
    true, pred = small
    assert true.shape == pred.shape == (20, 40, 50)
    # 4 / 3 pi 6 10 12, and a dent.
    assert true.sum() == pytest.approx(4 / 3 * np.pi * 720, rel=0.02)
    assert 0.7 * true.sum() < pred.sum() < true.sum()


def test_both_programs_agree(small):
    pytest.importorskip("medpy.metric.binary")
    expected = surface_metrics.medpys(*small)
    assert surface_metrics.ours(*small) == pytest.approx(expected, abs=1e-9)


def test_measurement_by_a_function_that_waits(monkeypatch):
    monkeypatch.setattr(surface_metrics, "SHAPE", (80, 261, 271))
    measured = surface_metrics.measure(lambda true, pred: 3.0, (30, 90, 90))
    assert measured.hd95 == 3.0 and measured.seconds >= 0 and measured.mib >= 0


class Pools:
    """Stands for `multiprocessing`'s context, and runs in this process."""

    def __init__(self, results):
        self.results = iter(results)

    def Pool(self, processes):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def apply(self, function, arguments):
        return surface_metrics.Measurement(*next(self.results))


def measure_organs(monkeypatch, results):
    pools = Pools(results)
    monkeypatch.setattr(
        surface_metrics.multiprocessing, "get_context", lambda method: pools
    )
    return surface_metrics.measure_organs()


def test_how_many_times_as_fast(monkeypatch):
    results = [(3.0, 0.5, 10), (3.0, 20.0, 900), (2.0, 0.1, 5), (2.0, 30.0, 800)]
    found = measure_organs(monkeypatch, results)
    # 20 / 0.5 and 30 / 0.1.
    assert found["liver"]["ratio"] == pytest.approx(40)
    assert found["gallbladder"]["ratio"] == pytest.approx(300)
    assert found["liver"]["medpy"] == {"hd95": 3.0, "seconds": 20.0, "mib": 900}


def test_programs_that_disagree_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="liver: HD95 must agree"):
        measure_organs(monkeypatch, [(3.0, 0.5, 10), (3.1, 20.0, 900)])
