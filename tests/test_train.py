import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from synergynet_tf import runs, training
from synergynet_tf.cli import command_line, train
from synergynet_tf.config import PAPER_VQ, RECIPES, ExperimentConfig
from synergynet_tf.data import prepared, store
from synergynet_tf.experiments import settings_of
from tests.data import trees

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture
def refusal(monkeypatch, capsys, tmp_path):
    """Runs the command in an empty folder, which it must leave empty."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["train.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            command_line.run(train.main)
        assert exit_.value.code == 2
        *bars, line = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert all(bar.startswith("prepare") or not bar for bar in bars)
        assert not pathlib.Path("runs").exists()
        return line

    return run


@pytest.fixture
def photos(tmp_path):
    return trees.write_folder(tmp_path / "photos")


def test_unknown_values_of_flags(refusal):
    assert "--dataset" in refusal("--dataset", "mnist")
    assert "--dataset" in refusal()
    assert "--model" in refusal("--dataset", "phantom", "--model", "unet")
    assert "--epochs" in refusal("--dataset", "phantom", "--epochs", "many")
    assert "image_size=100" in refusal("--dataset", "phantom", "--image-size", "100")
    assert "--backbone" in refusal("--dataset", "phantom", "--backbone", "vgg")
    assert "hidden_dim=100" in refusal("--dataset", "phantom", "--hidden-dim", "100")
    assert "--vq" in refusal("--dataset", "phantom", "--vq", "ema")
    assert "--nonsense" in refusal("--dataset", "phantom", "--nonsense")


@pytest.mark.parametrize(
    ("model", "flag", "value"),
    [
        ("r50-unet", "--num-codes", 64),
        ("transunet", "--vq", "paper"),
        ("transunet", "--vq-init", "kmeans"),
        ("r50-vit", "--vq-update", "moving_average"),
        ("r50-unet", "--vq-estimator", "rotation"),
        ("r50-unet", "--vq-distance", "cosine"),
        ("r50-unet", "--restart-every", 0),
        ("vqunet", "--attention", "paper"),
        ("transunet", "--vq-loss", "sum"),
        ("deeplabv3plus", "--hidden-dim", 64),
        ("r50-attunet", "--hidden-dim", 64),
    ],
)
def test_flags_that_change_nothing_in_a_method(refusal, model, flag, value):
    line = refusal("--dataset", "phantom", "--model", model, flag, value)
    assert f"{flag} changes nothing in {model}" in line


def test_weight_decay_is_of_adamw(refusal):
    for more in ((), ("--recipe", "modern", "--optimizer", "sgd")):
        line = refusal("--dataset", "phantom", "--weight-decay", 0.5, *more)
        assert "--weight-decay changes nothing with sgd" in line
    for more in (("--recipe", "modern"), ("--optimizer", "adamw")):
        flags = ["--dataset", "phantom", "--weight-decay", "0.5", *more]
        assert train.experiment(train.parse_args(flags)).optimizer.weight_decay == 0.5


def test_flags_of_a_table(refusal):
    assert "--dataset" in refusal("--table", 5)
    assert "synapse and acdc" in refusal("--table", 5, "--dataset", "isic")
    assert "--table" in refusal("--table", 10)
    assert "no row 7" in refusal(
        "--table", 5, "--dataset", "acdc", "--row", 7, "--data-dir", "nowhere"
    )
    for alone in (("--row", "64"), ("--seeds", 1), ("--budget", "short"), ("--list",)):
        line = refusal("--dataset", "phantom", *alone)
        assert alone[0] in line and "--table" in line
    for other in (("--epochs", 3), ("--model", "vqunet"), ("--seed", 1), ("--force",)):
        line = refusal("--table", 3, *other)
        assert other[0] in line and "--table" in line


def test_missing_folder(refusal):
    line = refusal("--dataset", "isic", "--data-dir", "nowhere")
    assert "nowhere" in line and "--data-dir" in line
    assert "ISIC2018_Task1-2_Training_Input" in line


def test_a_recipe_sets_what_no_flag_does():
    flags = "--dataset phantom --recipe modern --ema-decay 0 --learning-rate 0.5"
    config = train.experiment(train.parse_args(flags.split()))
    settings = settings_of(config)
    expected = {**RECIPES["modern"], "ema_decay": 0.0, "learning_rate": 0.5}
    assert expected.items() <= settings.items()
    plain = train.experiment(train.parse_args("--dataset phantom".split()))
    assert settings_of(plain)["optimizer"] == "sgd"


def test_the_printed_sum_is_warned_of(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    for flags, warned in (("--vq paper", True), ("--vq paper --vq-loss mean", False)):
        train.main(f"--dataset phantom --dry-run {flags}".split())
        assert ("--vq-loss sum" in capsys.readouterr().err) is warned


def test_a_crop_of_photographs_is_refused(refusal, photos):
    line = refusal("--dataset", "folder", "--data-dir", photos, "--center-crop", 0.8)
    assert "--center-crop is for scans" in line
    assert "center_crop=1.5" in refusal("--dataset", "phantom", "--center-crop", 1.5)


def test_missing_weights_file(refusal):
    line = refusal("--dataset", "phantom", "--encoder-weights", "a.h5")
    assert "No weights file a.h5" in line
    line = refusal("--dataset", "phantom", "--vit-weights", "a.npz")
    assert "No weights file a.npz; pass --vit-weights none, or" in line


def test_transformer_weights_for_a_method_without_a_transformer(refusal, tmp_path):
    (tmp_path / "a.npz").write_bytes(b"")
    line = refusal("--dataset", "phantom", "--vit-weights", "a.npz")
    assert "--vit-weights" in line and "leave it out for synergynet-8s2h" in line


def test_weights_files_are_written_with_their_full_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.npz").write_bytes(b"")
    flags = "--dataset phantom --model transunet --vit-weights a.npz".split()
    config = train.experiment(train.parse_args([*flags, "--encoder-weights", "a.npz"]))
    assert config.model.vit_weights == str(tmp_path / "a.npz")
    assert config.model.encoder_weights == str(tmp_path / "a.npz")


def test_image_without_mask(refusal, photos):
    (photos / "masks" / "case03.png").unlink()
    assert "case03" in refusal("--dataset", "folder", "--data-dir", photos)


def test_mask_without_image(refusal, photos):
    (photos / "images" / "case03.png").unlink()
    assert "case03" in refusal("--dataset", "folder", "--data-dir", photos)


def test_truncated_jpeg(refusal, tmp_path):
    root = trees.write_isic(tmp_path / "isic", val=0)
    path = root / "ISIC2018_Task1-2_Training_Input" / "ISIC_0000004.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    # All of training and validation is read before the first step.
    line = refusal("--dataset", "isic", "--data-dir", root, "--split", "official")
    assert "ISIC_0000004.jpg" in line


def test_mask_with_an_unknown_value(refusal, photos):
    (photos / "classes.json").write_text(json.dumps({"lesion": 255}))
    for number in range(10):
        mask = trees.square_mask(12, 16)
        mask[-1, -1] = 7
        trees.write_png(photos / "masks" / f"case{number:02d}.png", mask)
    line = refusal("--dataset", "folder", "--data-dir", photos)
    assert "masks/case" in line and "7" in line


def test_unwritable_runs_folder(refusal, tmp_path):
    (tmp_path / "file").write_text("")
    line = refusal("--dataset", "phantom", "--runs", "file/runs")
    assert "file is not a folder that can be written to" in line
    assert "--runs" in line


def test_a_run_of_other_settings(refusal, tmp_path):
    config = ExperimentConfig().replace(dataset="phantom", split="official", epochs=9)
    there = tmp_path / "there"
    run = runs.run_dir(there, config)
    runs.write_text(run / "config.json", config.to_json())
    line = refusal("--dataset", "phantom", "--runs", there)
    assert "epochs 9, not 150" in line and "--force" in line
    (run / "config.json").write_text("{}")
    line = refusal("--dataset", "phantom", "--runs", there)
    assert "config.json" in line and "--force" in line


def test_every_flag_reaches_the_settings(photos):
    flags = {
        "--model": "vqunet",
        "--backbone": "resnet101",
        "--encoder-weights": "none",
        "--vit-weights": "none",
        "--seed": 7,
        "--split": "random",
        "--split-seed": 6,
        "--epochs": 5,
        "--batch-size": 4,
        "--learning-rate": 0.5,
        "--image-size": 64,
        "--num-codes": 32,
        "--hidden-dim": 48,
        "--vq-init": "kmeans",
        "--vq-update": "moving_average",
        "--vq-estimator": "rotation",
        "--vq-distance": "cosine",
        "--restart-every": 5,
        "--precision": "bfloat16",
        "--strategy": "mirrored",
        "--devices": "1 0",
        "--fold": "2/3",
        "--channels": "2 0",
        "--limit": 3,
        "--early-stopping": 2,
    }
    words = " ".join(f"{flag} {value}" for flag, value in flags.items()).split()
    common = ["--dataset", "folder", "--data-dir", str(photos)]
    # What is given besides wins over the literal reading.
    config = train.experiment(train.parse_args([*common, *words, "--vq", "paper"]))
    default = train.experiment(train.parse_args(common))
    for flag, value in flags.items():
        name = {"--model": "name"}.get(flag, flag[2:].replace("-", "_"))
        (part,) = (p for p in vars(config).values() if name in vars(p))
        assert getattr(part, name) == value, flag
    assert config.model.commitment_cost == 1.0
    paper = train.experiment(train.parse_args([*common, "--vq", "paper"]))
    assert settings_of(paper) == settings_of(default) | PAPER_VQ
    assert config.data.data_dir == str(photos)
    assert config.model.num_classes == 1
    for part in ("data", "model", "loss", "optimizer", "training"):
        given = {**vars(getattr(ExperimentConfig(), part))}
        if part == "data":
            given |= {"dataset": "folder", "data_dir": str(photos)}
            given |= {"split": "random", "modality": "rgb"}
        assert vars(getattr(default, part)) == given


def test_prepared_images_are_opened_once(photos, tmp_path, monkeypatch):
    opened, given = [], []

    def open_cases(data, part, *args):
        opened.append(part)
        return store.open_cases(data, part, *args)

    monkeypatch.setattr(prepared, "open_cases", open_cases)
    monkeypatch.setattr(training, "fit", lambda *args, **named: given.append(named))
    flags = ["--dataset", "folder", "--data-dir", str(photos), "--image-size", "32"]
    train.main([*flags, "--runs", str(tmp_path / "runs"), "--encoder-weights", "none"])
    assert opened == ["train", "val"]
    assert len(given[0]["prepared"].train.labels) == 7


def test_dry_run_writes_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train.main(["--dataset", "phantom", "--dry-run"])
    text = capsys.readouterr().out
    config = ExperimentConfig.from_json(text[text.index("{") :])
    assert config.model.num_classes == 4
    assert "48 training and 8 validation cases" in text
    assert os.listdir(tmp_path) == []


def test_help_and_refusals_do_not_wait_for_tensorflow(tmp_path):
    program = "import sys, train; train.main(sys.argv[1:])"
    check = "; assert not {'keras', 'tensorflow'} & set(sys.modules)"
    root = str(trees.write_isic(tmp_path / "isic"))
    for flags in (
        ["--dataset", "phantom", "--dry-run"],
        ["--table", "3", "--data-dir", root, "--dry-run"],
        ["--table", "3", "--data-dir", root, "--list"],
    ):
        subprocess.run([sys.executable, "-c", program + check, *flags], check=True)


# How the two differ is held by test_signals.py.
@pytest.mark.parametrize(
    ("signum", "code"),
    [("SIGINT", 130), pytest.param("SIGTERM", 143, marks=pytest.mark.slow)],
)
def test_a_signal_in_training_saves_and_ends_in_one_line(signum, code, tmp_path):
    flags = (
        "--dataset phantom --limit 48 --model r50-unet --backbone resnet18 "
        "--encoder-weights none --image-size 32 --epochs 99"
    ).split()
    process = subprocess.Popen(
        [sys.executable, "train.py", *flags, "--runs", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # What runs the tests may itself be deaf to Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    run = tmp_path / "phantom" / "r50-unet" / "seed0"
    while not (run / "checkpoints" / "epoch_0001.npz").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(getattr(signal, signum))
    _, err = process.communicate(timeout=300)
    assert process.returncode == code
    *_, line = err.splitlines()
    assert line.startswith(f"stopped {run} after ") and "all is saved" in line
    assert {path.name for path in run.iterdir() if path.name.startswith(".")} == set()
    assert not runs.Run(run).is_finished()
