import os
import pathlib

import pytest

from synergynet_tf import runs
from synergynet_tf.config import ExperimentConfig
from synergynet_tf.experiments.budgets import comparable


@pytest.fixture
def run(tmp_path):
    config = ExperimentConfig().replace(dataset="isic", name="vqunet", seed=3)
    folder = runs.run_dir(tmp_path, config)
    runs.write_text(folder / "config.json", config.to_json())
    return folder


def test_the_folder_is_named_after_dataset_model_and_seed(run, tmp_path):
    assert run == tmp_path / "isic" / "vqunet" / "seed3"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 3}, "epochs 150, not 3"),
        # Every folder of one's own images is called `folder`.
        ({"data_dir": "elsewhere"}, "data_dir '', not 'elsewhere'"),
    ],
)
def test_a_run_is_not_continued_with_other_settings(run, settings, message):
    config = runs.Run(run).config
    runs.check_startable(run, config, force=False)
    with pytest.raises(FileExistsError, match=message):
        runs.check_startable(run, config.replace(**settings), force=False)


def test_auto_goes_with_the_precision_that_a_run_began_in(run):
    config = runs.Run(run).config.replace(precision="bfloat16")
    runs.write_text(run / "config.json", config.to_json())
    auto = config.replace(precision="auto")
    runs.check_startable(run, auto, force=False)
    with pytest.raises(FileExistsError, match=r"settings \(epochs 150, not 2\)"):
        runs.check_startable(run, auto.replace(epochs=2), force=False)


@pytest.mark.parametrize(
    "settings",
    [
        {"strategy": "multiworker"},
        {"strategy": "mirrored", "devices": "0 1"},
        {"strategy": "auto"},
    ],
)
def test_a_run_goes_on_with_other_devices(run, settings):
    config = runs.Run(run).config.replace(**settings)
    runs.check_startable(run, config, force=False)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    runs.require_writable(tmp_path / "a" / "b", "--out")
    assert not any(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(PermissionError, match=r"--out: .*file/a cannot be written"):
        runs.require_writable(tmp_path / "file" / "a", "--out")


def test_only_finished_runs_are_found(run, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No finished run.*synergynet train"):
        runs.find_runs(tmp_path)
    runs.write_json(run / runs.FINISHED, {})
    assert [found.path for found in runs.find_runs(tmp_path)] == [run]


def test_what_is_missing_is_named(run, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No config\.json in .*nowhere"):
        _ = runs.Run(tmp_path / "nowhere").config
    with pytest.raises(FileNotFoundError, match=r"No best\.weights\.h5 in .*seed3"):
        runs.Run(run).weights()
    with pytest.raises(FileNotFoundError, match=r"No classes\.json"):
        _ = runs.Run(run).class_names


@pytest.mark.parametrize("text", ["", "{}", '{"data": {}}', "\0\1"])
def test_a_config_of_another_version_is_refused(run, text):
    (run / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"seed3/config\.json cannot be used.*--force"):
        _ = runs.Run(run).config


@pytest.mark.parametrize("text", ["", "{}", "[1]"])
def test_damaged_class_names_are_refused(run, text):
    (run / "classes.json").write_text(text)
    with pytest.raises(ValueError, match=r"classes\.json"):
        _ = runs.Run(run).class_names


def test_class_names(run):
    runs.write_json(run / "classes.json", ["lesion"])
    assert runs.Run(run).class_names == ("lesion",)
    runs.write_json(run / "classes.json", ["ring", "disk"])
    with pytest.raises(ValueError, match=r"classes\.json must hold 1 names"):
        _ = runs.Run(run).class_names


def test_channels_of_scans(run):
    run.mkdir(parents=True, exist_ok=True)
    assert runs.Run(run).image_channels is None
    runs.write_json(run / "channels.json", 4)
    assert runs.Run(run).image_channels == 4
    for text in ("0", "many", "[1]", ""):
        (run / "channels.json").write_text(text)
        with pytest.raises(ValueError, match=r"channels\.json must be a number"):
            _ = runs.Run(run).image_channels


def test_history(run):
    with pytest.raises(FileNotFoundError, match=r"No history\.csv in .*seed3"):
        _ = runs.Run(run).history
    rows = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}]
    runs.write_csv(run / "history.csv", rows)
    assert runs.Run(run).history == rows


@pytest.mark.parametrize(
    "text",
    [
        *("", "epoch\n", "epoch,loss\n1,a\n", "epoch\n1,2\n", "\0"),
        *("epoch\nnan\n", "e\n" + "9" * 200_000),
    ],
)
def test_damaged_history_is_refused(run, text):
    (run / "history.csv").write_text(text)
    with pytest.raises(ValueError, match=r"history\.csv is (damaged|empty).*Delete it"):
        _ = runs.Run(run).history


def test_csv_by_hand(tmp_path):
    runs.write_csv(tmp_path / "a.csv", [{"x": 1, "y": "a,b"}, {"x": 2.5, "y": None}])
    assert (tmp_path / "a.csv").read_text() == 'x,y\n1,"a,b"\n2.5,\n'


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    runs.write_json(path, {"old": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        runs.write_json(path, {"new": float("nan")})
    with pytest.raises(RuntimeError), runs.atomic_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == '{\n  "old": 1\n}\n'
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_lock_that_is_a_pipe_is_refused(run):
    os.mkfifo(run / ".lock")
    with pytest.raises(OSError, match=r"\.lock is no file, but a pipe"):
        runs.check_startable(run, runs.Run(run).config, force=False)


@pytest.mark.parametrize("name", ["encoder_weights", "vit_weights"])
def test_a_run_goes_on_with_weights_that_have_moved(run, name):
    begun = runs.Run(run).config.replace(**{name: "/home/me/weights.h5"})
    runs.write_text(run / "config.json", begun.to_json())
    moved = begun.replace(**{name: "/scratch/weights.h5"})
    runs.check_startable(run, moved, force=False)
    assert comparable(moved) == comparable(begun.replace(seed=9))
    for other in ("/scratch/other.h5", "none"):
        with pytest.raises(FileExistsError, match=f"{name} .*weights.h5"):
            runs.check_startable(run, begun.replace(**{name: other}), force=False)


def test_a_lock_that_cannot_be_removed_ends_no_training(run, monkeypatch):
    """Windows removes no file that is open."""

    def refuse(path):
        raise PermissionError(13, "in use", str(path))

    monkeypatch.setattr(pathlib.Path, "unlink", refuse)
    with runs.lock(run):
        pass
    runs.check_startable(run, runs.Run(run).config, force=False)
    with runs.lock(run):
        pass


def test_a_drive_that_is_not_there_is_refused(monkeypatch):
    def refuse(dir):
        raise FileNotFoundError(2, "No such file or directory", dir)

    monkeypatch.setattr(pathlib.Path, "exists", lambda path: False)
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(PermissionError, match=r"--output: .* cannot be written"):
        runs.require_writable("/gone/out/a", "--output")
