"""A run whose files cannot be written, or are gone or damaged, and what is left."""

import os
import resource
import shutil

import numpy as np
import pytest

from synergynet_tf import runs
from synergynet_tf.training import checkpoint, fit
from synergynet_tf.training.callbacks import RunFiles, epoch_line
from synergynet_tf.training.fit import compiled_model


@pytest.fixture
def before_epoch_two(monkeypatch):
    """Returns what makes something happen at the begin of a run's second epoch."""

    def happen(action):
        begin = RunFiles.on_epoch_begin

        def on_epoch_begin(self, epoch, logs=None):
            begin(self, epoch, logs)
            if epoch == 1:
                action()

        monkeypatch.setattr(RunFiles, "on_epoch_begin", on_epoch_begin)

    return happen


def test_a_checkpoint_that_cannot_be_written_loses_nothing(
    tiny, tmp_path, before_epoch_two
):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    path = tmp_path / runs.CHECKPOINTS / "epoch_0001.npz"

    def fill_the_disk():
        size = path.stat().st_size // 2
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))

    before_epoch_two(fill_the_disk)
    try:
        with pytest.raises(OSError, match=r"(no room for|cannot be written).*is kept"):
            fit(tiny.replace(epochs=2), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    runs.check_seal(path)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert not list(tmp_path.glob(".*"))
    assert len(runs.Run(tmp_path).history) == 1


def test_a_run_that_is_removed_is_not_made_again(tiny, tmp_path, before_epoch_two):
    run = tmp_path / "run"
    before_epoch_two(lambda: shutil.rmtree(run))
    with pytest.raises(FileNotFoundError, match="run was removed while it was"):
        fit(tiny.replace(epochs=2), run)
    assert not run.exists()


def test_a_run_that_another_process_trains_is_refused(tiny, tmp_path):
    with runs.lock(tmp_path):
        for force in (False, True):
            with pytest.raises(BlockingIOError, match="is being trained by process"):
                fit(tiny, tmp_path, force=force)


def test_a_checkpoint_with_a_flipped_bit_is_refused(tiny, tmp_path, capsys):
    model = compiled_model(tiny, 4)
    log = {"rows": []}
    checkpoint.save(model, tmp_path, 1, log)
    checkpoint.save(model, tmp_path, 1, log, step=2)
    assert checkpoint.restore(model, tmp_path) == log
    older, path = sorted(tmp_path.iterdir())
    assert path.name == "epoch_0001_step_000002.npz"
    sound = path.read_bytes()
    generator = np.random.default_rng(0)
    for offset in generator.integers(len(sound), size=100):
        flipped = bytearray(sound)
        flipped[offset] ^= 1 << generator.integers(8)
        path.write_bytes(flipped)
        assert checkpoint.restore(model, tmp_path) == log
        err = capsys.readouterr().err
        assert err == f"{path} cannot be used (it is not what was written)\n"
    path.unlink()
    os.mkfifo(path)
    assert checkpoint.restore(model, tmp_path) == log
    assert "is no file, but a pipe" in capsys.readouterr().err
    older.write_bytes(b"")
    with pytest.raises(ValueError, match=r"No checkpoint in .* can be used.*--force"):
        checkpoint.restore(model, tmp_path)


def test_weights_that_are_damaged_while_a_run_trains_do_not_end_in_a_finished_run(
    tiny, tmp_path, monkeypatch
):
    def damage(self, logs=None):
        (tmp_path / runs.BEST_WEIGHTS).write_bytes(b"damaged")

    monkeypatch.setattr(RunFiles, "on_train_end", damage)
    tiny = tiny.replace(epochs=1, name="r50-unet")
    with pytest.raises(ValueError, match=r"best\.weights\.h5 is damaged.*--force"):
        fit(tiny, tmp_path)
    assert not runs.Run(tmp_path).is_finished()


def test_a_damaged_record_of_the_machine_is_begun_anew(tiny, trained, tmp_path, capsys):
    tiny = tiny.replace(epochs=1)
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    (tmp_path / runs.FINISHED).unlink()
    (tmp_path / "environment.json").write_text("[" * 10**5)
    fit(tiny, tmp_path)
    assert "environment.json is damaged" in capsys.readouterr().err
    assert runs.Run(tmp_path).is_finished()


def test_an_epoch_is_a_line_of_under_100_columns():
    logs = {"dsc": 0.38406, "loss": 0.90349, "val_dsc": 0.77002, "val_loss": 0.40291}
    expected = "epoch   1/150  val DSC 0.7700  DSC 0.3841  loss 0.903, val 0.403  "
    assert epoch_line(1, 150, logs, 63.6) == f"{expected}1:04 min"
    logs |= {"codes_used": 1024.0, "val_codes_used": 182.0, "perplexity": 121.8}
    line = epoch_line(150, 150, logs, 6000)
    assert line.endswith("  codes 1024, val 182  100:00 min")
    assert len(line) < 100
