import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from synergynet_tf import runs
from synergynet_tf.config import ExperimentConfig
from synergynet_tf.experiments.jobs import Job
from synergynet_tf.experiments.processes import run_jobs
from synergynet_tf.formats import duration

ROOT = pathlib.Path(__file__).parents[2]


def make_jobs(folder, *names):
    """Returns a job for each model; nothing is looked up."""
    return [
        Job(name, ExperimentConfig().replace(name=name), folder, ("name",))
        for name in names
    ]


def train(config, run):
    """Stands for training, in the process that would train; fails as it is told."""
    name = config.model.name
    if name == "refused":
        # More than a pipe holds.
        raise ValueError("the data\nis not there" + 100_000 * " and on")
    if name == "broken":
        raise RuntimeError("ran out")
    if name == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "ended":
        os._exit(3)
    if name == "endless":
        runs.write_text(run / "pid", str(os.getpid()))
        time.sleep(600)
    runs.write_text(run / "config.json", config.to_json())
    runs.write_json(run / runs.FINISHED, {})


def test_a_failing_row_does_not_end_the_others(tmp_path, capfd):
    names = ("first", "refused", "broken", "killed", "ended", "last")
    jobs = make_jobs(tmp_path, *names)
    assert run_jobs(jobs, train) == 4
    printed = capfd.readouterr()
    ends = dict(line.split(" seed 0") for line in printed.out.splitlines()[-6:])
    assert [name.strip() for name in ends] == list(names)
    assert "trained in" in ends["first"] and "trained in" in ends["last"]
    assert ": the data is not there and on" in ends["refused"]
    assert ends["refused"].endswith("and on ...")
    assert ends["broken"].endswith(": RuntimeError: ran out")
    assert "SIGKILL" in ends["killed"] and "memory" in ends["killed"]
    assert ends["ended"].endswith("ended with code 3")
    assert [name for name in names if (tmp_path / "isic" / name).exists()] == [
        "first",
        "last",
    ]
    # Only of what is not the input's fault.
    assert printed.err.count("Traceback") == 1


def test_places_and_what_is_left_are_said(tmp_path, capfd):
    run_jobs(make_jobs(tmp_path, "first", "second", "last"), train)
    printed = capfd.readouterr().out
    assert "[1/3] first seed 0: not begun" in printed
    assert "[3/3] last seed 0: trained in" in printed
    assert printed.count("to be trained: 2 more, in about") == 1
    assert printed.count("to be trained: 1 more, in about") == 1


def test_finished_runs_are_skipped_and_others_refused(tmp_path, capfd):
    jobs = make_jobs(tmp_path, "first", "begun", "last")
    train(jobs[0].config, jobs[0].run)
    before = (jobs[0].run / runs.FINISHED).stat().st_mtime_ns
    other = jobs[1].config.replace(epochs=9)
    runs.write_text(jobs[1].run / "config.json", other.to_json())
    assert run_jobs(jobs, train) == 1
    lines = capfd.readouterr().out.splitlines()[-3:]
    assert lines[0].endswith("finished in float32")
    assert "failed: " in lines[1] and "epochs 9, not 150" in lines[1]
    assert "trained in" in lines[2]
    assert (jobs[0].run / runs.FINISHED).stat().st_mtime_ns == before


PROGRAM = """
import pathlib, signal, sys
from synergynet_tf.cli import command_line
from tests.experiments.test_processes import make_jobs, run_jobs, train

# What runs the tests may itself have been started in the background, without Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

def main(arguments):
    run_jobs(make_jobs(pathlib.Path(arguments[0]), "first", "endless", "last"), train)

if __name__ == "__main__":
    command_line.run(main)
"""


@pytest.fixture
def endless(tmp_path):
    """Starts a command whose second run does not end; returns both processes."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    process = subprocess.Popen(
        [sys.executable, program, tmp_path],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    path = tmp_path / "isic/endless/seed0/pid"
    while not path.exists():
        assert process.poll() is None
        time.sleep(0.05)
    yield process, int(path.read_text())
    # Whatever a failing test has left.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def wait_for_end(pid):
    deadline = time.monotonic() + 20
    while pathlib.Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not pathlib.Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_signal_ends_all_and_it_is_said_how_far_it_came(endless, signum, code):
    process, pid = endless
    # To the whole group, as a terminal and a scheduler do.
    os.killpg(process.pid, signum)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert wait_for_end(pid)
    assert err.splitlines() == ["interrupted"]
    ends = [line.split("seed 0")[1].strip() for line in out.splitlines()[-3:]]
    assert ends[0].startswith("trained")
    assert ends[1:] == ["interrupted", "not trained"]


def test_no_training_outlives_the_command(endless):
    process, pid = endless
    process.kill()
    process.wait()
    assert wait_for_end(pid)


def test_durations():
    assert duration(99) == "99 s"
    assert duration(150) == "2 min"
    assert duration(11100) == "3 h 05 min"
