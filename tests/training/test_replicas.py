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
import pytest

from synergynet_tf import runs
from synergynet_tf.config import RECIPES
from tests.training import tiny_fit

ROOT = pathlib.Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
# A killed partner is noticed after some 10 seconds, or 50 on a busy machine.
PATIENCE_S = 120
# Codes that move after the first step, so that it is seen whether they move alike.
FIRST_BATCHES = {"vq_init": "first_batches", "vq_update": "gradient"}

if keras.backend.backend() != "tensorflow":
    pytest.skip("tf.distribute needs TensorFlow", allow_module_level=True)


# A step of float16 for each device on which it overflows, and one where none does.
OVERFLOW = """
import keras, numpy as np, tensorflow as tf
from synergynet_tf.training import distribution
from synergynet_tf.training.optimizer import CoupledSGD, SharedLossScale

with distribution.scope("mirrored", "0 1"):
    weight = keras.Variable(np.ones(2, "float32"))
    optimizer = SharedLossScale(CoupledSGD(learning_rate=0.5, momentum=0.0))
    optimizer.build([weight])

    @tf.function
    def step(overflown):
        def of_one():
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            whole = optimizer.dynamic_scale * tf.constant([1.0, 0.5])
            infinite = tf.constant([np.inf, 1.0], "float32")
            gradient = tf.where(tf.equal(replica, overflown), infinite, whole)
            optimizer.apply([gradient], [weight])

        tf.distribute.get_strategy().run(of_one)

    for overflown in (0, 1, 2):
        step(tf.constant(overflown))
        print(*weight.numpy(), float(optimizer.dynamic_scale.numpy()))
"""


def test_a_step_that_overflows_on_any_device_is_skipped():
    done = subprocess.run(
        [sys.executable, "-c", OVERFLOW],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
    # The scale of 2^15 is halved twice; then both devices' gradients are summed.
    assert found == [(1, 1, 2.0**14), (1, 1, 2.0**13), (0, 0.5, 2.0**13)]


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
        pytest.param(2, 4, 7, FIRST_BATCHES, marks=pytest.mark.slow),
        (2, 4, 7, {**FIRST_BATCHES, **RECIPES["modern"], "clip_norm": 0.1}),
        pytest.param(2, 4, 50, FIRST_BATCHES, marks=pytest.mark.slow),
        pytest.param(4, 4, 50, FIRST_BATCHES, marks=pytest.mark.slow),
        # 1 + 1 + 2 images; and what a moving average adds up.
        pytest.param(
            *(3, 4, 20, {**FIRST_BATCHES, "vq_update": "moving_average"}),
            marks=pytest.mark.slow,
        ),
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
    # In a quarter of the steps at least no rounding has flipped a ReLU or a choice of a
    # code, on any processor and with any number of threads. A wrong sum over replicas
    # would be in every step.
    changes = sorted(row["change"] for row in rows)
    assert changes[len(rows) // 4] < 1e-4 and changes[-1] < 0.1
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
    assert runs.Run(tmp_path / "many").config == many
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


@pytest.mark.slow
def test_two_workers_train_as_one_device_does(tiny, tmp_path):
    tiny = tiny.replace(epochs=1)
    with two_workers(
        tiny.replace(strategy="multiworker"), tmp_path / "workers", tmp_path / "log"
    ) as processes:
        codes = [process.wait(timeout=500) for process in processes]
    logs = [(tmp_path / f"log{index}").read_text() for index in range(2)]
    assert codes == [0, 0], logs
    # Only the chief writes.
    assert "finished" in logs[0] and "finished" not in logs[1]
    subprocess.run(
        tiny_fit.command((tiny, tmp_path / "one")), env=ENVIRONMENT, check=True
    )
    (workers,), (one,) = (
        tiny_fit.history(tmp_path / name) for name in ("workers", "one")
    )
    # Of four steps, in which rounding is enlarged, but a wrong gradient more so.
    for name in ("loss", "val_loss", "codes_used", "learning_rate"):
        assert workers[name] == pytest.approx(one[name], rel=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "signum"), [(0, signal.SIGKILL), (1, signal.SIGKILL), (1, signal.SIGTERM)]
)
def test_the_end_of_one_worker_ends_the_run_and_the_same_command_continues_it(
    tiny, tmp_path, place, signum
):
    run = tmp_path / "run"
    config = tiny.replace(strategy="multiworker", epochs=1000)
    with two_workers(config, run, tmp_path / "log") as processes:
        wait_for_epoch(run, 1, processes)
        processes[place].send_signal(signum)
        codes = [process.wait(timeout=PATIENCE_S) for process in processes]
    other = (tmp_path / f"log{1 - place}").read_text().splitlines()[-1]
    if signum == signal.SIGKILL:
        assert codes[1 - place] == 2
        assert other.startswith("error: another machine of TF_CONFIG is gone")
    else:
        assert codes == [128 + signum] * 2
        assert other.startswith(f"stopped {run} after") and "all is saved" in other
    done = len(tiny_fit.history(run))
    with two_workers(config, run, tmp_path / "again") as processes:
        wait_for_epoch(run, done + 1, processes)
    words = f"continuing {run} after epoch {done}"
    assert words in (tmp_path / "again0").read_text()


def wait_for_epoch(run, epoch, processes):
    deadline = time.monotonic() + 500
    while not (run / runs.HISTORY).exists() or len(tiny_fit.history(run)) < epoch:
        assert time.monotonic() < deadline
        assert [process.poll() for process in processes] == [None, None]
        time.sleep(0.1)
