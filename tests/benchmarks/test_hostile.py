"""The short form of `python -m benchmarks.hostile`, and what it notices."""

import os
import time

import numpy as np
import pytest

from benchmarks.hostile import workers
from benchmarks.hostile.__main__ import main
from benchmarks.hostile.jobs import Job, mutate
from benchmarks.hostile.readers import READERS
from benchmarks.hostile.workers import Verdict, attempt, measured

# The others take seconds to import Keras.
LIGHT = "isic folder acdc msd bts synapse scan store run metrics split env card torch"


def test_no_reader_fails_on_mutated_files(capsys):
    main(["--files", "160", "--workers", "2", "--readers", *LIGHT.split()])
    *_, last = capsys.readouterr().out.splitlines()
    name, accepted, refused, failed = last.split()
    assert (name, failed) == ("all", "0")
    assert int(accepted) > 20 and int(refused) > 60


@pytest.mark.parametrize("reader", ["isic .jpg", "msd dataset.json", "synapse .npz"])
def test_a_seed_makes_the_same_files(reader, tmp_path):
    for number in range(12):
        contents = []
        for name in "ab":
            job = Job(7, number, reader, tmp_path / name, None)
            job.space.mkdir(exist_ok=True)
            path, how = mutate(job)
            contents.append((how, path.is_file() and path.read_bytes()))
        assert contents[0] == contents[1]


@pytest.mark.parametrize("name", [n for n in READERS if "weights" not in n])
def test_whole_samples_are_accepted(name, tmp_path):
    reader = READERS[name]
    if name.startswith(("transformer", "checkpoint")):
        pytest.skip("takes seconds to import Keras")
    reader.sample(tmp_path, None)
    verdict = attempt(lambda: reader.read(tmp_path), [])
    assert verdict == Verdict("accepted", "")


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


def test_what_takes_too_much_fails(monkeypatch):
    def read():
        np.ones(2**24)  # 128 MiB
        sum(range(10**6))
        return Verdict("refused", "")

    assert measured(read).kind == "refused"
    monkeypatch.setattr(workers, "MOST_BYTES", 2**26)
    assert "GiB" in measured(read).text
    monkeypatch.setattr(workers, "MOST_SECONDS", 0.0)
    assert measured(read).text.startswith("took 0 s")


def prepare(job):
    return job


def misbehave(job, prepared):
    if job == "die":
        os._exit(3)
    if job == "hang":
        time.sleep(60)
    if job == "print":
        os.write(2, b"Traceback (most recent call last)")
    return Verdict("accepted", "")


def test_a_process_that_dies_or_hangs_is_told_and_replaced(monkeypatch):
    monkeypatch.setattr(workers, "PATIENCE_SECONDS", 2.0)
    jobs = ["fine", "die", "hang", "print", "fine"]
    verdicts = list(workers.run(iter(jobs), prepare, misbehave, 1))
    assert [job for job, _ in verdicts] == jobs
    texts = [verdict.text for _, verdict in verdicts]
    assert texts[0] == texts[4] == ""
    assert "died: exit code 3" in texts[1]
    assert "no answer in 2 s" in texts[2]
    assert "printed a traceback" in texts[3]


def test_flags(capsys):
    for flags in (["--files", "0"], ["--workers", "0"]):
        with pytest.raises(SystemExit):
            main(flags)
        assert capsys.readouterr().err.startswith("error: --files and --workers")
    with pytest.raises(ValueError, match="has such a word"):
        main(["--readers", "nonsense"])
