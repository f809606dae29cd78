import numpy as np
import pytest

from benchmarks import pipeline, surface_metrics


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


def test_rates_leave_out_the_first_call(capsys):
    called = []
    pipeline._print_rate("title", called.append, times=4, batch_size=2)
    assert called == [0, 1, 2, 3, 4]
    assert "images/s" in capsys.readouterr().out
