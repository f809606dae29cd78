"""A run that is stopped, at whatever moment, ends like one that was not."""

import os
import signal

import pytest

from synergynet_tf import runs, signals
from synergynet_tf.training import callbacks, fit
from synergynet_tf.training.callbacks import RunFiles
from tests.training.test_fit import assert_equal_runs, history


@pytest.fixture
def heard():
    """Lets Ctrl-C be heard, which a shell has its background processes ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def stop_at(monkeypatch, heard):
    """Returns what trains a run and sends it a signal at a moment of its training."""

    def stop(config, run, epoch, moment, step, signum=signal.SIGTERM):
        def before(self, *args, **kwargs):
            # Of a save nothing but its beginning is a moment.
            if (self.epoch, self.step) == (epoch, step):
                os.kill(os.getpid(), signum)
            return wrapped(self, *args, **kwargs)

        wrapped = getattr(RunFiles, moment)
        with monkeypatch.context() as patch, pytest.raises(signals.Stopped) as stopped:
            patch.setattr(RunFiles, moment, before)
            fit(config, run)
        assert stopped.value.code == 128 + signum
        assert not runs.Run(run).is_finished()
        return str(stopped.value)

    return stop


def names(run):
    return sorted(path.name for path in (run / runs.CHECKPOINTS).iterdir())


def assert_ended_alike(run, undisturbed):
    assert runs.Run(run).is_finished()
    assert_equal_runs(undisturbed, run)
    for ours, theirs in zip(history(run), history(undisturbed), strict=True):
        assert {**ours, "seconds": ""} == {**theirs, "seconds": ""}
    files = [{path.name for path in folder.iterdir()} for folder in (run, undisturbed)]
    assert files[0] == files[1]


def test_a_run_that_is_stopped_everywhere(tiny, tmp_path, stop_at):
    tiny = tiny.replace(batch_size=2)  # Eight steps an epoch.
    run, undisturbed = tmp_path / "stopped", tmp_path / "undisturbed"
    fit(tiny, undisturbed)
    # In the middle of an epoch, and of the rest of it.
    line = stop_at(tiny, run, 0, "on_train_batch_end", step=1)
    assert line.startswith(f"stopped {run} after step 2 of 8 in epoch 1: all is saved")
    assert names(run) == ["epoch_0000_step_000002.npz"]
    line = stop_at(tiny, run, 0, "on_train_batch_end", 4, signal.SIGINT)
    assert "after step 5 of 8 in epoch 1:" in line
    # In the validation, which is all that is left of the epoch then.
    assert "after step 8 of 8 in epoch 1" in stop_at(
        tiny, run, 0, "on_test_batch_end", 8
    )
    # While the next epoch is saved.
    assert "after epoch 2:" in stop_at(tiny, run, 1, "on_epoch_end", 8)
    assert names(run) == ["epoch_0001.npz", "epoch_0002.npz"]
    # After a last step, before the validation.
    assert "after step 8 of 8 in epoch 3" in stop_at(
        tiny, run, 2, "on_train_batch_end", 7
    )
    # Where nothing was done since the start, there is nothing to save.
    before = names(run)
    assert stop_at(tiny, run, 2, "on_test_batch_end", 8) == ""
    assert names(run) == before
    fit(tiny, run)
    assert_ended_alike(run, undisturbed)


@pytest.mark.parametrize(
    "name", ["transunet", pytest.param("r50-unet", marks=pytest.mark.slow)]
)
def test_other_methods_go_on_in_the_middle_of_an_epoch(name, tiny, tmp_path, stop_at):
    tiny = tiny.replace(name=name, epochs=1)
    fit(tiny, tmp_path / "undisturbed")
    stop_at(tiny, tmp_path / "stopped", 0, "on_train_batch_end", 1)
    fit(tiny, tmp_path / "stopped")
    assert_ended_alike(tmp_path / "stopped", tmp_path / "undisturbed")


def test_long_epochs_are_saved_in_between(tiny, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(callbacks, "_SAVE_EVERY_S", 0)
    fit(tiny.replace(epochs=1), tmp_path / "saved")
    assert names(tmp_path / "saved") == ["epoch_0000_step_000004.npz", "epoch_0001.npz"]
    assert_equal_runs(trained, tmp_path / "saved")
