"""Replicas on several devices, and processes on several machines, train as one does."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from synergynet_tf import runs
from tests.training import tiny_fit

ROOT = pathlib.Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
# A killed partner is noticed after some 10 seconds, or 50 on a busy machine.
PATIENCE_S = 120

if keras.backend.backend() != "tensorflow":
    pytest.skip("tf.distribute needs TensorFlow", allow_module_level=True)


def in_lock_step(config, devices, steps):
    program = ["-m", "tests.training.lock_step", str(devices), str(steps)]
    process = subprocess.run(
        [sys.executable, *program],
        input=config.to_json(),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("devices", "batch_size", "steps", "changes"),
    [
        (2, 4, 7, {}),
        pytest.param(2, 4, 50, {}, marks=pytest.mark.slow),
        pytest.param(4, 4, 50, {}, marks=pytest.mark.slow),
        # 1 + 1 + 2 images; and what a moving average adds up.
        pytest.param(3, 4, 20, {"vq_update": "moving_average"}, marks=pytest.mark.slow),
    ],
)
def test_every_step_is_that_of_one_device(tiny, devices, batch_size, steps, changes):
    config = tiny.replace(batch_size=batch_size, **changes)
    found = in_lock_step(config, devices, steps)
    rows = found["steps"]
    for row in rows:
        one, many = row["losses"]
        # Relative: the loss falls from 2.7 to 0.5. Sums of float32 in another order.
        assert many == pytest.approx(one, rel=1e-5)
        assert row["statistics"] < 1e-5
        # The first batch's vectors, then what dead codes are moved to.
        if row["other_codes"] == 0:
            assert row["moved"][0] == row["moved"][1]
            assert row["places"] < 1e-4
    assert rows[0]["moved"][0] and rows[2]["moved"][0]
    # Half the time at least no rounding has flipped a ReLU or a choice of a code.
    changes = [row["change"] for row in rows]
    assert np.median(changes) < 1e-4 and max(changes) < 0.1
    assert sum(row["other_codes"] > 0 for row in rows) <= len(rows) / 5
    assert found["unequal"] == [] and found["copies"] == [devices]


def test_epochs_and_validation_are_those_of_one_device(tiny, tmp_path):
    config = tiny_fit.still(tiny)
    many = config.replace(strategy="mirrored", devices="0 1")
    # First the replicas, because the CPU is divided before it is used.
    subprocess.run(
        tiny_fit.command((many, tmp_path / "many"), (config, tmp_path / "one")),
        env=ENVIRONMENT,
        check=True,
    )
    assert runs.read_config(tmp_path / "many") == many
    for one, many in zip(
        tiny_fit.history(tmp_path / "one"),
        tiny_fit.history(tmp_path / "many"),
        strict=True,
    ):
        assert many == pytest.approx(one, rel=1e-4)


@contextlib.contextmanager
def two_workers(config, run, logs):
    """Starts two processes on loopback, ends them at the end, and gives them."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        workers = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    processes = []
    for index in range(2):
        task = {"type": "worker", "index": index}
        cluster = {"cluster": {"worker": workers}, "task": task}
        with open(f"{logs}{index}", "w") as log:
            processes.append(
                subprocess.Popen(
                    tiny_fit.command((config, run)),
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**ENVIRONMENT, "TF_CONFIG": json.dumps(cluster)},
                )
            )
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def arrays(run):
    (path, *_) = sorted((run / "checkpoints").glob("*.npz"), reverse=True)
    with np.load(path) as file:
        return {name: file[name] for name in file.files if name != "log"}


@pytest.mark.slow
def test_two_workers_train_as_two_devices_do(tiny, tmp_path):
    config = tiny.replace(strategy="multiworker")
    with two_workers(config, tmp_path / "workers", tmp_path / "log") as processes:
        codes = [process.wait(timeout=500) for process in processes]
    logs = [(tmp_path / f"log{index}").read_text() for index in range(2)]
    assert codes == [0, 0], logs
    # Only the chief writes.
    assert "finished" in logs[0] and "finished" not in logs[1]
    mirrored = tiny.replace(strategy="mirrored", devices="0 1")
    subprocess.run(
        tiny_fit.command((mirrored, tmp_path / "devices")), env=ENVIRONMENT, check=True
    )
    workers, devices = arrays(tmp_path / "workers"), arrays(tmp_path / "devices")
    assert workers.keys() == devices.keys()
    # Bit for bit: a sum of two does not depend on their order.
    for name, array in workers.items():
        np.testing.assert_array_equal(array, devices[name], err_msg=name)
    assert tiny_fit.history(tmp_path / "workers") == tiny_fit.history(
        tmp_path / "devices"
    )


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_worker_ends_the_run_and_the_same_command_continues_it(
    tiny, tmp_path, killed
):
    run = tmp_path / "run"
    config = tiny.replace(strategy="multiworker", epochs=1000)
    with two_workers(config, run, tmp_path / "log") as processes:
        deadline = time.monotonic() + 500
        while not (run / "history.csv").exists():
            assert time.monotonic() < deadline
            assert processes[killed].poll() is None
            time.sleep(0.1)
        processes[killed].send_signal(signal.SIGKILL)
        other = 1 - killed
        assert processes[other].wait(timeout=PATIENCE_S) == 2
    last = (tmp_path / f"log{other}").read_text().splitlines()[-1]
    assert last.startswith("error: another machine of TF_CONFIG is gone")
    done = len(tiny_fit.history(run))
    # The same settings but the strategy: a run goes on with however many devices.
    with two_workers(config, run, tmp_path / "again") as processes:
        while len(tiny_fit.history(run)) == done:
            assert time.monotonic() < deadline + 500
            assert [process.poll() for process in processes] == [None, None]
            time.sleep(0.1)
    assert (
        f"continuing {run} after epoch {done} of 1000"
        in (tmp_path / "again0").read_text()
    )
