import dataclasses

import numpy as np
import pytest

from benchmarks import steps, worker
from benchmarks.worker import WorkerError

OPTIONS = steps.Options("python", compile_peer=False, rounds=2, image_size=32)
SECONDS = {
    "r50-unet": 2.0,
    "transunet": 9.0,
    "synergynet-8s2h": 3.0,
    "eager": 4.0,
    "weights": 1.0,
    "compiled": 1.5,
}


class Pretended:
    """A worker that takes the time of its name for each call."""

    started = ()

    def __init__(self, spec):
        self.spec, self.peak_mib, self.alive = spec, 100.0, False
        self.name = spec.get("role") or spec.get("setting") or spec["mode"]

    def __enter__(self):
        self.alive = True
        return self

    def __exit__(self, *error):
        self.alive = False

    def facts(self):
        if self.name == "compiled" and self.spec["precision"] == "bfloat16":
            raise WorkerError("no compiler")
        roles = self.spec.get("roles", ())
        return {"operations": dict.fromkeys(roles, 7), "versions": {"torch": "2"}}

    def ask(self, call, times):
        assert self.alive
        self.times = times

    def seconds(self):
        return [SECONDS.get(self.name, 1.0)] * self.times

    def time(self, call, times=1):
        self.ask(call, times)
        return self.seconds()


@pytest.fixture
def pretended(monkeypatch):
    started = []

    def start(spec):
        started.append(Pretended(spec))
        return started[-1]

    monkeypatch.setattr(steps, "ours", start)
    monkeypatch.setattr(steps, "peers", lambda python, spec: start(spec))
    return started


def groups(rows):
    return {(r["mode"], r["precision"], r["batch"]) for r in rows}


def test_every_group_has_every_contestant(pretended):
    results = steps.measure_steps(OPTIONS)
    rows = results["rows"]
    assert groups(rows) == {
        ("train", "float32", 8),
        ("train", "bfloat16", 8),
        ("infer", "float32", 1),
        ("infer", "float32", 8),
        ("infer", "bfloat16", 1),
        ("infer", "bfloat16", 8),
    }
    for group in groups(rows):
        names = {r["contestant"] for r in rows if group == tuple(r.values())[:3]}
        assert set(steps.ROLES) | {f"{steps.PEER}, eager"} <= names
    assert results["operations"] == dict.fromkeys((*steps.ROLES, steps.PEER), 7)
    assert results["peer_versions"] == {"torch": "2"}
    assert results["failed"] == []
    # Each is ended with its group.
    assert not any(worker.alive for worker in pretended)


def test_some_groups(pretended):
    options = dataclasses.replace(OPTIONS, modes=["infer"], precisions=["bfloat16"])
    found = groups(steps.measure_steps(options)["rows"])
    assert found == {("infer", "bfloat16", 1), ("infer", "bfloat16", 8)}


def test_the_fastest_setting_is_the_one_to_beat(pretended):
    rows = steps.measure_steps(OPTIONS)["rows"]

    def ratio(contestant, precision):
        group = ("infer", precision, 8, contestant)
        keys = ("mode", "precision", "batch", "contestant")
        (row,) = (r for r in rows if tuple(r[k] for k in keys) == group)
        return row["ratio"]["median"], row["is_reference"]

    assert ratio("r50-unet", "float32") == (0.5, False)  # 2 s, eager 4 s.
    assert ratio(f"{steps.PEER}, eager", "float32") == (1.0, True)
    assert ratio("r50-unet", "bfloat16") == (2.0, False)  # 2 s, weights 1 s.
    assert ratio(f"{steps.PEER}, eager", "bfloat16") == (4.0, False)
    assert ratio(f"{steps.PEER}, weights", "bfloat16") == (1.0, True)


def test_what_does_not_compile_is_left_out_aloud(pretended, capsys):
    options = steps.Options("python", compile_peer=True, rounds=1, image_size=32)
    results = steps.measure_steps(options)
    compiled = f"{steps.PEER}, compiled"
    found = {r["precision"] for r in results["rows"] if r["contestant"] == compiled}
    assert found == {"float32"}
    # Of training and of predicting.
    assert results["failed"] == [f"{compiled}: no compiler"] * 2
    assert f"left out: {compiled}: no compiler" in capsys.readouterr().err


def test_anything_else_that_fails_ends_it(pretended, monkeypatch):
    def broken(worker):
        raise WorkerError("no memory")

    monkeypatch.setattr(Pretended, "facts", broken)
    with pytest.raises(WorkerError, match="no memory"):
        steps.measure_steps(OPTIONS)
    assert not any(worker.alive for worker in pretended)


def test_without_the_peer_there_are_ours_alone(pretended):
    options = steps.Options(None, compile_peer=False, rounds=1, image_size=32)
    results = steps.measure_steps(options)
    assert {r["contestant"] for r in results["rows"]} == set(steps.ROLES)
    assert {r["ratio"] for r in results["rows"]} == {None}
    assert set(steps.measure_gemm(options)["rates"]["float32"]) == {"ours"}


def test_the_rate_of_products_by_hand(pretended):
    measured = steps.measure_gemm(OPTIONS)
    # 2 x 4096^3 operations in a second.
    rate = pytest.approx(137.438953472)
    assert measured["rates"]["bfloat16"][steps.PEER]["4096"] == rate
    assert measured["best"] == {"float32": rate, "bfloat16": rate}


def test_the_batch_is_that_of_training():
    images, labels = worker.images(2, 32), worker.labels(2, 32)
    assert images.shape == (2, 32, 32, 3) and images.dtype == np.float32
    assert 0 <= images.min() and images.max() < 1
    assert labels.shape == (2, 32, 32) and labels.dtype == np.uint8
    # A disk of radius 8: pi 64 pixels of each image.
    assert labels[1].sum() == pytest.approx(201, abs=8)
    assert np.array_equal(images, worker.images(2, 32))
