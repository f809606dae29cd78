import pytest

from benchmarks import pipeline


def test_rates_leave_out_the_first_call(monkeypatch):
    clock = iter([10.0, 12.0])
    monkeypatch.setattr(pipeline.time, "perf_counter", lambda: next(clock))
    called = []
    # Four calls in two seconds; the one to warm up is not among them.
    assert pipeline.calls_a_second(called.append, times=4) == 2.0
    assert called == [0, 1, 2, 3, 4]


def test_everything_is_measured_on_the_phantom(tiny, monkeypatch):
    monkeypatch.setattr(pipeline, "DEFAULT", tiny)
    size = "--image-size=32 --batch-size=2 --batches=2 --steps=1".split()
    args = pipeline.parse_args([*size, "--model", "r50-unet"])
    measured = pipeline.measure(args)
    alone, parallel, taken = measured["rates"].values()
    assert alone > 0
    assert measured["ratio"] == pytest.approx(parallel / taken)
