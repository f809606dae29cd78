import functools
import io
import json
import pathlib
import subprocess
import sys
from collections import Counter

import pytest

from synergynet_tf import runs
from synergynet_tf.cli import evaluate
from synergynet_tf.config import DataConfig, ExperimentConfig, ModelConfig
from synergynet_tf.evaluation import cases
from synergynet_tf.models import ENCODERS, build_model
from synergynet_tf.models.weights import save_weights
from tests.conftest import tiny_encoder
from tests.evaluation import squares

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture
def run(tmp_path, monkeypatch):
    return squares.make_run(tmp_path, monkeypatch)


@pytest.fixture
def refusal(refused):
    return functools.partial(refused, evaluate.main)


def test_without_flags_every_finished_run_is_scored(run, tmp_path, capsys, monkeypatch):
    second = squares.write_run(tmp_path / "runs", tmp_path / "data", "vqunet", seed=1)
    unfinished = squares.write_run(tmp_path / "runs", tmp_path / "data", seed=2)
    (unfinished / runs.FINISHED).unlink()
    monkeypatch.chdir(tmp_path)
    evaluate.main(["--workers", "0"])
    printed = capsys.readouterr().out
    assert "r50-unet seed 0" in printed and "vqunet seed 1" in printed
    assert "seed 2" not in printed
    assert (run / "metrics.json").is_file() and (second / "metrics.json").is_file()


def test_named_runs_are_scored_and_no_others(run, tmp_path, capsys):
    other = squares.write_run(tmp_path / "runs", tmp_path / "data", "vqunet")
    evaluate.main(["--run", str(other), "--workers", "0"])
    assert not (run / "metrics.json").exists()
    assert str(other / "metrics.json") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "key", "value"),
    [
        ([], "split", "test"),
        (["--split", "val"], "split", "val"),
        ([], "protocol", "strict"),
        (["--protocol", "paper"], "protocol", "pooled"),
        (["--protocol", "transunet"], "protocol", "transunet"),
    ],
)
def test_every_flag_has_an_effect(run, flags, key, value):
    evaluate.main(["--run", str(run), "--workers", "0", *flags])
    assert json.loads((run / "metrics.json").read_text())[key] == value


@pytest.mark.parametrize(
    ("flags", "options"),
    [
        ([], {"flips": False, "largest": False}),
        (["--flips"], {"flips": True, "largest": False}),
        (["--largest"], {"flips": False, "largest": True}),
    ],
)
def test_options_are_off_unless_given_and_written_down(run, flags, options, capsys):
    evaluate.main(["--run", str(run), "--workers", "0", *flags])
    assert json.loads((run / "metrics.json").read_text())["options"] == options
    assert capsys.readouterr().out.count(" part: ") == 1


def test_on_validation_cases_the_effect_of_options_is_shown(run, capsys):
    flags = ["--split", "val", "--flips", "--largest", "--workers", "0"]
    evaluate.main(["--run", str(run), *flags])
    titles = [
        line for line in capsys.readouterr().out.splitlines() if " part: " in line
    ]
    assert [title.endswith("with flips, largest") for title in titles] == [False, True]
    options = json.loads((run / "metrics.json").read_text())["options"]
    assert options == {"flips": True, "largest": True}


def test_processes_change_nothing(run, capsys):
    written = []
    for workers in ("0", "2"):
        evaluate.main(["--run", str(run), "--workers", workers])
        names = ("metrics.json", "cases.csv")
        written.append([(run / name).read_bytes() for name in names])
    assert written[0] == written[1]


def test_two_runs_are_compared(run, tmp_path, capsys):
    other = squares.write_run(tmp_path / "runs", tmp_path / "data", "vqunet")
    evaluate.main(["--workers", "0", "--runs", str(tmp_path / "runs")])
    capsys.readouterr()
    evaluate.main(["--compare", str(run), str(other)])
    assert "second - first" in capsys.readouterr().out
    written = json.loads((other / "compare.json").read_text())
    assert [run["model"] for run in written["runs"]] == ["r50-unet", "vqunet"]


def test_a_run_and_its_data_are_opened_once(run, monkeypatch):
    digest = runs.sha256(run / runs.BEST_WEIGHTS)
    runs.write_json(run / runs.FINISHED, {runs.WEIGHTS_SHA256: digest})
    opened, listed, open_, part_ids = Counter(), [], io.open, cases.part_ids

    def count_files(path, mode="r", *args, **kwargs):
        if "r" in mode and "+" not in mode:
            opened[str(path)] += 1
        return open_(path, mode, *args, **kwargs)

    def count_lists(data, part):
        listed.append(part)
        return part_ids(data, part)

    monkeypatch.setattr("builtins.open", count_files)
    monkeypatch.setattr("io.open", count_files)
    monkeypatch.setattr(cases, "part_ids", count_lists)
    evaluate.main(["--run", str(run), "--workers", "0", "--split", "val"])
    names = (runs.CONFIG, runs.BEST_WEIGHTS, runs.HISTORY, "classes.json")
    assert listed == ["val"]
    assert [opened[str(run / name)] for name in names] == [1, 1, 1, 1]


def test_data_dir_is_used(run, tmp_path):
    moved = (tmp_path / "data").rename(tmp_path / "moved")
    evaluate.main(["--run", str(run), "--data-dir", str(moved), "--workers", "0"])
    report = json.loads((run / "metrics.json").read_text())
    assert report["data_dir"] == str(moved)


def content(folder):
    """Returns every file of a folder, and what is in it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_what_is_written_of_a_run_goes_elsewhere(run, tmp_path, capsys):
    before, out = content(run), tmp_path / "out"
    flags = ["--run", str(run), "--out", str(out)]
    evaluate.main([*flags, "--workers", "0"])
    assert f"wrote {out}/metrics.json, cases.csv" in capsys.readouterr().out
    evaluate.main([*flags, "--corrupt"])
    evaluate.main([*flags, "--report"])
    # Of the scores that are there: nothing is scored again.
    printed = capsys.readouterr()
    assert "scoring" not in printed.err
    assert printed.out.endswith(f"wrote {out}/report.html\n")
    assert content(run) == before
    assert {"metrics.json", "cases.csv", "curves.png", "slices.json", "report.html"} | {
        "overlays/best.png",
        "overlays/median.png",
        "overlays/worst.png",
    } <= set(content(out))
    assert {"corruption.json", "corruption.csv", "corruption.png"} <= set(content(out))
    page = (out / "report.html").read_text("utf-8")
    assert 'id="robustness"' in page and page.count("<img") == 3
    # Scores without the run's folder can be compared, as those in it.
    evaluate.main(["--compare", str(out), str(out)])
    assert (out / "compare.json").is_file() and content(run) == before


def test_one_folder_is_not_for_several_runs(run, tmp_path, refusal):
    other = squares.write_run(tmp_path / "runs", tmp_path / "data", "vqunet")
    line = refusal("--run", run, other, "--out", tmp_path / "out")
    assert "--out" in line and "one run, and there are 2" in line
    assert "not with --compare: --out" in refusal("--compare", run, other, "--out", "x")
    assert not (tmp_path / "out").exists()


def test_a_changed_folder_is_said_once(run, tmp_path, capsys, refusal):
    split = {"train": ["train/half"], "val": ["train/perfect"], "test": ["test/half"]}
    runs.write_json(run / runs.SPLIT, split)
    flags = ["--split", "val", "--flips", "--workers", "0"]
    evaluate.main(["--run", str(run), *flags])
    notes = [line for line in capsys.readouterr().err.splitlines() if "note: " in line]
    assert len(notes) == 1 and "test/missed, test/nothing, test/perfect" in notes[0]
    (tmp_path / "data/test/images/half.png").unlink()
    (tmp_path / "data/test/masks/half.png").unlink()
    assert "lacks 1 of the 1 test cases" in refusal("--run", run)


def test_wrong_input_is_refused_in_one_line(run, tmp_path, refusal):
    assert "--runs" in refusal("--runs", tmp_path / "nowhere")
    assert "config.json" in refusal("--run", tmp_path)
    assert "--split" in refusal("--run", run, "--split", "train")
    assert "--protocol" in refusal("--run", run, "--protocol", "medpy")
    assert "nowhere" in refusal("--run", run, "--data-dir", tmp_path / "nowhere")
    assert "--workers" in refusal("--run", run, "--workers", "-1")
    assert "metrics.json" in refusal("--compare", run, run)
    assert "no other flag" in refusal("--compare", run, run, "--flips")
    (run / runs.BEST_WEIGHTS).unlink()
    assert "best.weights.h5" in refusal("--run", run)
    assert not (run / "metrics.json").exists()


@pytest.mark.parametrize("flags", [[], ["--corrupt"], ["--report"]])
def test_a_run_that_cannot_be_written_is_refused_before_it_is_scored(
    run, flags, monkeypatch
):
    def refuse(folder, flag):
        raise PermissionError(f"{flag}: {folder} cannot be written")

    # root may write everywhere.
    monkeypatch.setattr(runs, "require_writable", refuse)
    said = f"--run: {run} cannot be written, or a folder with --out"
    with pytest.raises(PermissionError, match=said):
        evaluate.main(["--run", str(run), *flags])
    with pytest.raises(PermissionError, match=r"--out: elsewhere cannot be written$"):
        evaluate.main(["--run", str(run), "--out", "elsewhere", *flags])
    assert not (run / "cases.csv").exists()


def test_the_script_refuses_in_one_line():
    command = [sys.executable, "evaluate.py", "--protocol", "medpy"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2 and result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ") and "--protocol" in line


def test_refusals_do_not_wait_for_keras():
    code = "import evaluate, sys; sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_real_model_is_scored_and_its_codes_counted(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(ENCODERS, "tiny", tiny_encoder)
    config = ExperimentConfig(
        data=DataConfig("phantom", split="random", limit=1),
        model=ModelConfig(
            "vqunet",
            backbone="tiny",
            image_size=32,
            num_classes=4,
            num_codes=8,
            hidden_dim=8,
            encoder_weights="none",
        ),
    )
    run = runs.run_dir(tmp_path, config)
    runs.write_text(run / "config.json", config.to_json())
    squares.write_history(run, epochs=1)
    runs.write_json(run / "classes.json", ["cavity", "wall", "crescent"])
    save_weights(build_model(config.model), run / runs.BEST_WEIGHTS)
    evaluate.main(["--run", str(run), "--workers", "0"])
    report = json.loads((run / "metrics.json").read_text())
    assert set(report["per_class"]) == {"cavity", "wall", "crescent"}
    assert report["codes"]["total"] == 8
    assert 1 <= report["codes"]["perplexity"] <= report["codes"]["used"] + 1e-9
    assert f"{report['codes']['used']} of 8" in capsys.readouterr().out
    slices = json.loads((run / "slices.json").read_text())
    # Of 32 pixels at stride 16, two by two positions.
    codes = [code for row in slices["best"]["codes"] for code in row]
    assert len(codes) == 4 and set(codes) <= set(range(8))


def test_flags_of_a_table(tmp_path, refusal):
    runs_folder = ("--runs", tmp_path)
    assert "--table" in refusal("--table", 10)
    assert "synapse and acdc" in refusal("--table", 5, *runs_folder)
    assert "--dataset" in refusal("--table", 3, "--dataset", "acdc", *runs_folder)
    assert "no row unet" in refusal("--table", 3, "--rival", "unet", *runs_folder)
    assert "--format" in refusal("--table", 3, "--format", "html")
    for alone in (("--budget", "short"), ("--seeds", 1), ("--format", "csv")):
        line = refusal(*alone)
        assert alone[0] in line and "--table" in line
    for other in (("--run", "r"), ("--split", "val"), ("--flips",)):
        line = refusal("--table", 3, *other)
        assert other[0] in line and "--table" in line
