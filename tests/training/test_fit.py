import csv
import errno
import importlib
import json
import os
import shutil

import h5py
import keras
import numpy as np
import pytest

from synergynet_tf import runs
from synergynet_tf.config import PAPER_VQ, RECIPES
from synergynet_tf.data.batches import Batches
from synergynet_tf.data.store import open_store
from synergynet_tf.layers import VectorQuantizer
from synergynet_tf.models.weights import load_weights
from synergynet_tf.training import checkpoint, codebook, fit
from synergynet_tf.training.averaged_weights import ValidateAverage
from synergynet_tf.training.callbacks import RunFiles
from synergynet_tf.training.codebook import CodebookMonitor
from synergynet_tf.training.fit import compiled_model
from synergynet_tf.training.pooled_dice import PooledDice


def weights(run):
    """Returns every array of the best weights and of the last checkpoint."""
    arrays = {}
    with h5py.File(run / runs.BEST_WEIGHTS) as file:
        file.visititems(
            lambda name, item: (
                arrays.update({name: item[()]})
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    last = sorted((run / "checkpoints").iterdir())[-1]
    with np.load(last) as file:
        arrays |= {name: file[name] for name in file.files if name != "log"}
    return arrays


def assert_equal_runs(first, second):
    a, b = weights(first), weights(second)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def history(run):
    with open(run / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def interrupt(patch, epoch, step):
    """Makes training die after a step in the middle of an epoch."""
    begin = RunFiles.on_epoch_begin

    def on_epoch_begin(self, now, logs=None):
        begin(self, now, logs)
        self.now = now

    def on_train_batch_end(self, batch, logs=None):
        if (self.now, batch) == (epoch, step):
            raise KeyboardInterrupt

    patch.setattr(RunFiles, "on_epoch_begin", on_epoch_begin)
    patch.setattr(RunFiles, "on_train_batch_end", on_train_batch_end)


def test_a_run_has_its_files(tiny, tmp_path):
    run = runs.run_dir(tmp_path, tiny)
    fit(tiny, run)
    assert [found.path for found in runs.find_runs(tmp_path)] == [run]
    assert runs.Run(run).config == tiny
    assert runs.Run(run).image_channels == 1
    rows = history(run)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    measured = {"loss", "dsc", "codes_used", "perplexity", "quantization_error"}
    expected = measured | {f"val_{name}" for name in measured}
    assert set(rows[0]) == expected | {"epoch", "learning_rate", "seconds"}
    # Steps 0, 4 and 8 of 12: 0.01 (1 - step / 12)^0.9.
    rates = [float(row["learning_rate"]) for row in rows]
    assert rates == pytest.approx([0.01 * (1 - s / 12) ** 0.9 for s in (0, 4, 8)])
    best = max(rows, key=lambda row: float(row["val_dsc"]))
    finished = json.loads((run / "finished.json").read_text())
    assert finished["best_epoch"] == int(best["epoch"])
    assert 1 <= float(rows[0]["codes_used"]) <= 16
    assert {p.name for p in (run / "checkpoints").iterdir()} == {
        "epoch_0002.npz",
        "epoch_0003.npz",
    }
    load_weights(tiny.model, run / runs.BEST_WEIGHTS)
    assert not list(run.glob(".*")), "a temporary file was left"


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("synergynet-8s2h", RECIPES["modern"]),
        ("synergynet-8s2h", {"attention": "paper", "vq_update": "gradient"}),
        ("transunet", RECIPES["modern"]),
        pytest.param("r50-unet", {}, marks=pytest.mark.slow),
        pytest.param("deeplabv3plus", {}, marks=pytest.mark.slow),
        pytest.param("vqunet", {"vq_init": "first_batches"}, marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_run_ends_like_an_undisturbed_one(
    name, changes, tiny, tmp_path, monkeypatch
):
    tiny = tiny.replace(name=name, **changes)
    fit(tiny, tmp_path / "undisturbed")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, epoch=1, step=2)
        fit(tiny, tmp_path / "interrupted")
    assert not runs.Run(tmp_path / "interrupted").is_finished()
    fit(tiny, tmp_path / "interrupted")
    assert_equal_runs(tmp_path / "undisturbed", tmp_path / "interrupted")

    def rows(run):
        return [{**row, "seconds": ""} for row in history(tmp_path / run)]

    assert rows("undisturbed") == rows("interrupted")


@pytest.mark.parametrize("name", ["deeplabv3plus", "transunet"])
def test_a_checkpoint_is_found_whatever_was_built_before(name, tiny, tmp_path):
    config = tiny.replace(name=name)
    checkpoint.save(compiled_model(config, 4), tmp_path, 1, "log")
    keras.layers.Dropout(0.1)
    keras.random.SeedGenerator()
    assert checkpoint.restore(compiled_model(config, 4), tmp_path) == "log"


def test_the_average_is_validated_and_saved_and_the_weights_are_trained(tiny, tmp_path):
    config = tiny.replace(**RECIPES["modern"], epochs=1)
    fit(config, tmp_path)
    saved = load_weights(config.model, tmp_path / runs.BEST_WEIGHTS)
    model = compiled_model(config, steps=4)
    checkpoint.restore(model, tmp_path / "checkpoints")
    for ours, weight, average in zip(
        saved.trainable_variables,
        model.trainable_variables,
        model.optimizer.averages,
        strict=True,
    ):
        weight, average = map(keras.ops.convert_to_numpy, (weight, average))
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(ours), average)
        assert np.any(weight != average), ours.path
    # What history.csv says is of the saved weights.
    val = open_store(config.data, "val", config.model.image_size)
    batches = Batches(val, 8, 0, training=False)
    metric = PooledDice(config.model.num_classes)
    for step in range(len(batches)):
        images, labels = batches[step]
        metric.update_state(labels, saved(images, training=False))
    assert float(history(tmp_path)[0]["val_dsc"]) == pytest.approx(
        float(metric.result()), abs=1e-4
    )


def test_a_checkpoint_in_validation_holds_the_trained_weights(tiny, tmp_path):
    config = tiny.replace(**RECIPES["modern"])
    model = compiled_model(config, steps=4)
    model.optimizer.averages[0].assign_add(
        keras.ops.ones(model.optimizer.averages[0].shape)
    )
    before = [np.array(v) for v in model.variables + model.optimizer.variables]
    callback = ValidateAverage()
    callback.set_model(model)
    callback.on_test_begin()
    assert np.any(np.array(model.trainable_variables[0]) != before[0])
    checkpoint.save(model, tmp_path, 1, "log")
    callback.on_test_end()
    for again in (model, compiled_model(config, steps=4)):
        checkpoint.restore(again, tmp_path)
        after = [np.array(v) for v in again.variables + again.optimizer.variables]
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(one, other)


def test_seeds_differ(tiny, trained, tmp_path):
    fit(tiny.replace(epochs=1, seed=1), tmp_path / "1")
    with pytest.raises(AssertionError):
        assert_equal_runs(trained, tmp_path / "1")


def test_a_finished_run_is_not_overwritten_without_force(tiny, trained, tmp_path):
    tiny = tiny.replace(epochs=1)
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    before = (tmp_path / "config.json").stat().st_mtime_ns
    with pytest.raises(FileExistsError, match=r"is finished.*--force"):
        fit(tiny, tmp_path)
    with pytest.raises(FileExistsError, match="epochs 1, not 2"):
        fit(tiny.replace(epochs=2), tmp_path)
    assert (tmp_path / "config.json").stat().st_mtime_ns == before
    fit(tiny.replace(epochs=2), tmp_path, force=True)
    assert len(history(tmp_path)) == 2


def test_early_stopping(tiny, tmp_path):
    # At this rate the weights do not move, so no epoch beats the first.
    tiny = tiny.replace(learning_rate=1e-30, early_stopping=2, epochs=9, name="vqunet")
    fit(tiny.replace(l2=0.0, restart_every=0, vq_init="uniform"), tmp_path)
    assert 3 <= len(history(tmp_path)) < 9
    assert runs.Run(tmp_path).is_finished()


def test_a_loss_that_is_not_finite_ends_the_run_with_a_word(tiny, tmp_path):
    with pytest.raises(ValueError, match=r"became .*Lower --learning-rate"):
        fit(tiny.replace(learning_rate=1e30), tmp_path)
    assert not runs.Run(tmp_path).is_finished()
    # The weights of such an epoch are not kept.
    assert not (tmp_path / runs.BEST_WEIGHTS).exists()


def test_a_damaged_checkpoint_is_passed_over(tiny, tmp_path, capsys):
    fit(tiny.replace(epochs=2), tmp_path / "run")
    shutil.copytree(tmp_path / "run" / "checkpoints", tmp_path / "checkpoints")
    newest = tmp_path / "checkpoints" / "epoch_0002.npz"
    newest.write_bytes(newest.read_bytes()[:-100])
    model = compiled_model(tiny.replace(epochs=2), steps=4)
    log = checkpoint.restore(model, tmp_path / "checkpoints")
    assert [row["epoch"] for row in log["rows"]] == [1]
    assert "epoch_0002.npz cannot be used" in capsys.readouterr().err
    (tmp_path / "checkpoints" / "epoch_0001.npz").write_bytes(b"")
    with pytest.raises(ValueError, match="--force"):
        checkpoint.restore(model, tmp_path / "checkpoints")
    assert checkpoint.restore(model, tmp_path / "none") is None


def test_a_collapsed_codebook_is_said_aloud(tiny, tmp_path, capsys, monkeypatch):
    # The literal reading: no restarts. 64 features an epoch can use 64 codes.
    monkeypatch.setattr(codebook, "_COLLAPSE", 0.5)
    fit(tiny.replace(epochs=1, num_codes=1024, **PAPER_VQ), tmp_path)
    used = float(history(tmp_path)[0]["codes_used"])
    assert used < 0.5 * 64
    warning = f"the codebook has collapsed: {used:.0f} of 1024 codes"
    assert warning in capsys.readouterr().err


def test_a_collapse_in_validation_alone_is_said_aloud(capsys):
    care = CodebookMonitor(seed=0, steps=4)
    care.layers = [VectorQuantizer(num_codes=100)]
    for val_used, said in ((4, True), (5, False)):
        care.usage = {"codes_used": 90, "val_codes_used": val_used}
        care.vectors = {"": 640, "val_": 320}
        logs = {"loss": 1.0}
        care.on_epoch_end(0, logs)
        assert logs == {"loss": 1.0, **care.usage}
        assert (
            f"{val_used} of 100 codes are used in validation" in capsys.readouterr().err
        ) is said


def test_a_kill_after_the_checkpoint_loses_nothing(tiny, trained, tmp_path):
    run, before = tmp_path / "run", trained
    shutil.copytree(before, run)
    for name in (runs.BEST_WEIGHTS, runs.HISTORY, runs.FINISHED):
        (run / name).unlink()
    fit(tiny.replace(epochs=1), run)
    assert_equal_runs(before, run)
    assert history(run) == history(before)
    assert runs.Run(run).is_finished()
    environment = json.loads((run / "environment.json").read_text())
    assert len(environment["continued"]) == 1


def test_every_epoch_is_served_in_its_turn(tiny, tmp_path, monkeypatch):
    served = []
    batch = Batches.batch

    def record(self, epoch, step, *part):
        if self.training:
            served.append((epoch, step))
        return batch(self, epoch, step, *part)

    monkeypatch.setattr(Batches, "batch", record)
    fit(tiny.replace(epochs=2), tmp_path)
    # Keras looks at a batch or two before it starts; the order of parallel calls is
    # tf.data's business, and theirs in the stream is held by its own test.
    expected = {(epoch, step) for epoch in range(2) for step in range(4)}
    assert set(served) == expected


def test_mixed_precision_is_used_and_the_weights_stay_float32(tiny, tmp_path):
    tiny = tiny.replace(epochs=1, precision="bfloat16")
    model = compiled_model(tiny, steps=4)
    assert model.get_layer("quantizer").compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == "float32"
    fit(tiny, tmp_path)
    dtypes = {array.dtype.name for array in weights(tmp_path).values()}
    assert dtypes <= {"float32", "int32", "int64"}


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="as TensorBoard")
def test_without_room_tensorboard_is_not_begun(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", fail)
    with pytest.raises(OSError, match=r"tensorboard has no room .*No space left"):
        importlib.import_module("synergynet_tf.training.fit")._tensorboard(tmp_path)
