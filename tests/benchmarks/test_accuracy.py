"""Time to accuracy: the points of a training that is watched, and the table of them."""

import json
import pathlib
import sys

import numpy as np
import pytest

from benchmarks import accuracy, accuracy_scores
from synergynet_tf.training.pooled_dice import PooledDice

POINTS = [(60.0, 0.79), (90.0, 0.86), (150.0, 0.84), (300.0, 0.89)]
# Uses CPU time, writes a row, waits, and does it again; it ends with the last row.
TRAINING = """
import os, sys, time
with open(sys.argv[1], "w") as file:
    file.write("epoch,val_dsc\\n")
    for epoch, score in enumerate((0.5, 0.75)):
        time.sleep(epoch)
        end = time.process_time() + 0.6
        while time.process_time() < end: pass
        file.write(f"{epoch},{score}\\n")
        file.flush()
os._exit(0)
"""


def test_a_point_an_epoch_with_the_time_of_the_process(tmp_path):
    history = tmp_path / "history.csv"
    history.write_text("epoch,val_dsc\n0,0.99\n", "utf-8")  # Of a training before.
    points = accuracy.watch([sys.executable, "-c", TRAINING, str(history)], history)
    assert [dsc for _, dsc in points] == [0.5, 0.75]
    (first, _), (second, _) = points
    # Waiting is no work: a second passed between the epochs, and 0.6 s were used.
    assert first >= 0.59 and 0.59 <= second - first < 0.95


def test_a_failed_training_says_why(tmp_path):
    command = [sys.executable, "-c", "raise SystemExit('no data')"]
    with pytest.raises(RuntimeError, match=r"ended with 1: no data"):
        accuracy.watch(command, tmp_path / "history.csv")


def test_minutes_to_each_goal_are_those_of_the_first_time():
    assert accuracy.seconds_to(0.85, POINTS) == 90.0
    assert accuracy.seconds_to(0.90, POINTS) is None
    curves = {"r50-unet": {"0": POINTS, "2": POINTS[:2]}, "smp-unet": {"0": POINTS}}
    *_, ours, peer = accuracy.table(curves).splitlines()
    assert ours == (
        "| r50-unet | 1.5 / 1.5 | 1.5 / 1.5 | 5.0 / - | - / - | 0.890 / 0.860 "
        "| 5.0 / 1.5 |"
    )
    assert peer == "| smp-unet | 1.5 | 1.5 | 5.0 | - | 0.890 | 5.0 |"


@pytest.mark.parametrize("dataset", ["acdc", "hippocampus"])
def test_the_page_has_the_rows_of_the_kept_curves(dataset):
    docs = pathlib.Path(__file__).parents[2] / "docs"
    kept = json.loads((docs / f"results/campaign/{dataset}-accuracy.json").read_text())
    page = (docs / "results.md").read_text("utf-8").splitlines()
    rows = accuracy.table(kept["curves"]).splitlines()[2:]
    assert len(rows) == 4 and not [row for row in rows if row not in page]


def test_the_peers_dice_is_ours_and_by_hand(tmp_path):
    truth = np.array([[1, 1, 2], [0, 0, 2]])
    # Class 1: 2 of 2 + 3 pixels overlap, 4 / 5; class 2: 1 of 2 + 1, 2 / 3; no class 3.
    found = np.array([[1, 1, 1], [0, 0, 2]])
    expected = (4 / 5 + 2 / 3 + 0) / 3
    rows = zip(truth, found, strict=True)
    assert accuracy_scores.pooled_dice(rows, 4) == pytest.approx(expected)
    metric = PooledDice(3)
    random = np.random.default_rng(0)
    truth, found = random.integers(0, 3, (2, 5, 8, 8))
    metric.update_state(truth, np.eye(3, dtype="float32")[found])
    pairs = zip(truth, found, strict=True)
    ours = float(metric.result())
    assert accuracy_scores.pooled_dice(pairs, 3) == pytest.approx(ours, rel=1e-6)
    accuracy_scores.write_scores(tmp_path / "history.csv", [0.5, 0.25])
    assert accuracy._scores(tmp_path / "history.csv") == [0.5, 0.25]


def test_what_is_in_the_folder_is_not_trained_again(tmp_path, monkeypatch):
    flags = ["--data-dir", "ACDC", "--out", str(tmp_path), "--epochs", "4"]
    args = accuracy.parse_args(flags)
    commands = []

    def watch(command, history):
        commands.append(command)
        return POINTS

    monkeypatch.setattr(accuracy, "watch", watch)
    for _ in range(2):
        assert accuracy.curve(args, "r50-unet", 1, tmp_path / "arrays") == POINTS
    (command,) = commands
    for flag in ("--seed 1", "--epochs 4", "--recipe modern", "--center-crop 0.8"):
        assert flag in " ".join(command)


def test_a_peer_is_prepared_once_and_trained_by_its_own_python(tmp_path, monkeypatch):
    flags = ["--data-dir", str(tmp_path), "--out", str(tmp_path / "out")]
    args = accuracy.parse_args([*flags, "--peer-python", "PEER", "--epochs", "3"])
    commands = []

    def watch(command, history):
        if "--prepare" in command:
            pathlib.Path(command[command.index("--arrays") + 1]).mkdir(parents=True)
        commands.append(command)
        return POINTS

    monkeypatch.setattr(accuracy, "watch", watch)
    assert args.contestants == accuracy.CONTESTANTS
    for seed in (0, 1):
        accuracy.curve(args, "nnunet-2d", seed, tmp_path)
    prepared, *trained = commands
    assert prepared[-4:] == ["--prepare", str(tmp_path), "--dataset", "acdc"]
    for seed, command in enumerate(trained):
        assert command[:3] == ["PEER", "-m", "benchmarks.accuracy_nnunet"]
        assert command[-4:] == ["--epochs", "3", "--seed", str(seed)]
        assert str(tmp_path / "nnunet-2d") in command


def test_a_peer_without_its_python_is_refused(tmp_path, capsys):
    flags = ["--data-dir", "ACDC", "--out", str(tmp_path)]
    with pytest.raises(SystemExit):
        accuracy.parse_args([*flags, "--contestants", "smp-unet"])
    assert "smp-unet needs --peer-python" in capsys.readouterr().err
    assert accuracy.parse_args(flags).contestants == ("synergynet-8s2h", "r50-unet")


def test_the_flags_of_ours_are_flags_of_training(tmp_path, monkeypatch):
    from synergynet_tf.cli import train

    monkeypatch.setattr(
        accuracy, "watch", lambda command, _: train.parse_args(command[2:]) and POINTS
    )
    for dataset in accuracy.SETTINGS:
        flags = ["--data-dir", "DATA", "--out", str(tmp_path / dataset)]
        args = accuracy.parse_args(["--dataset", dataset, *flags])
        for name in accuracy.OURS:
            accuracy.curve(args, name, 0, tmp_path)
