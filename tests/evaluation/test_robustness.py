import csv
import json
import os
import shutil

import cv2
import numpy as np
import pytest

from synergynet_tf import runs
from synergynet_tf.cli import evaluate
from synergynet_tf.evaluation.cases import find_cases
from synergynet_tf.evaluation.predict import label_all
from synergynet_tf.evaluation.robustness import score
from synergynet_tf.evaluation.robustness.corruptions import PARAMETERS, SEVERITIES
from synergynet_tf.evaluation.robustness.table import (
    draw_robustness,
    format_robustness,
    summarize,
)
from tests.evaluation import squares
from tests.test_evaluate import refusal

__all__ = ["refusal"]  # A fixture


def corrupt(run, **settings):
    return score.corrupt_run(find_cases(runs.Run(run), "test"), **settings)


def test_clean_row_is_what_evaluate_scores(squares_run):
    report, scores = corrupt(squares_run), squares.evaluate(squares_run)
    clean = report["rows"][0]
    assert (clean["corruption"], clean["severity"]) == ("clean", 0)
    assert clean["dsc"] == scores["strict"]["mean"]["dsc"]
    assert clean["interval"] == scores["strict"]["mean_interval"]["dsc"]
    assert clean["per_class"] == {"square": scores["per_class"]["square"]["dsc"]}
    for case in scores["cases"]:
        dsc = case["strict"]["square"]["dsc"]
        assert clean["cases"][case["case_id"]] == {"square": dsc}


def test_every_corruption_and_severity_has_a_row(squares_run):
    report = corrupt(squares_run)
    found = [(row["corruption"], row["severity"]) for row in report["rows"][1:]]
    assert found == [(name, s) for name in PARAMETERS for s in SEVERITIES]
    assert report["rows"][1]["parameter"] == PARAMETERS["noise"][0]
    assert (report["protocol"], report["split"]) == ("strict", "test")
    assert report["corruption_seed"] == 0 and report["model"] == "r50-unet"
    text = (squares_run / "corruption.json").read_text()
    assert json.loads(text) == report and "NaN" not in text
    assert corrupt(squares_run) == report


def test_an_interrupted_call_goes_on_where_it_stopped(squares_run, monkeypatch):
    whole = corrupt(squares_run)
    (squares_run / "corruption.json").unlink()
    scored, corrupted = [], score._corrupt

    def interrupt(case_id, images, name, severity, **settings):
        scored.append((name, severity))
        if scored[-1] == ("blur", 2) and len(scored) < 50:
            raise KeyboardInterrupt
        return corrupted(case_id, images, name, severity, **settings)

    monkeypatch.setattr(score, "_corrupt", interrupt)
    with pytest.raises(KeyboardInterrupt):
        corrupt(squares_run)
    assert not (squares_run / "corruption.json").exists()
    scored.clear()
    scored.extend([("", 0)] * 50)
    assert corrupt(squares_run) == whole
    assert scored[50] == ("blur", 2) and ("blur", 1) not in scored
    assert not (squares_run / score.PART).exists()
    # A stop between the last row and the whole file.
    (squares_run / "corruption.json").rename(squares_run / score.PART)
    assert corrupt(squares_run) == whole
    assert json.loads((squares_run / "corruption.json").read_text()) == whole
    scored.clear()
    assert corrupt(squares_run) == whole and scored == []


@pytest.mark.parametrize(
    "change",
    [
        lambda report: report.update(corruption_seed=1),
        lambda report: report["rows"][3].update(parameter=0.5),
        lambda report: report["rows"][3]["cases"].popitem(),
        lambda report: report["rows"][3].pop("severity"),
        lambda report: report.pop("rows"),
    ],
)
def test_what_belongs_to_other_settings_is_scored_again(squares_run, change):
    whole = corrupt(squares_run)
    path = squares_run / "corruption.json"
    report = json.loads(path.read_text())
    change(report)
    path.write_text(json.dumps(report))
    assert corrupt(squares_run) == whole
    assert json.loads(path.read_text()) == whole


def test_what_other_data_gave_is_scored_again(squares_run, tmp_path):
    first = corrupt(squares_run)
    assert first["data_dir"] == str(tmp_path / "data")
    other = squares.write_data(tmp_path / "other")
    # `half` is found whole now: of 1, 0, none and 1 the mean is 2 / 3.
    cv2.imwrite(str(other / "test/masks/half.png"), squares.square(8, 8))
    second = score.corrupt_run(find_cases(runs.Run(squares_run), "test", other))
    assert first["rows"][0]["dsc"] == pytest.approx(5 / 9)
    assert second["rows"][0]["dsc"] == pytest.approx(2 / 3)
    written = json.loads((squares_run / "corruption.json").read_text())
    assert written["data_dir"] == str(other)


def test_what_is_older_than_the_weights_is_scored_again(squares_run):
    corrupt(squares_run)
    path = squares_run / "corruption.json"
    path.write_text(path.read_text().replace('"dsc": 0.5', '"dsc": 0.4'))
    later = path.stat().st_mtime + 10
    os.utime(squares_run / runs.BEST_WEIGHTS, (later, later))
    # Times tell nothing where the file has the SHA-256 of its weights.
    assert corrupt(squares_run)["rows"][0]["dsc"] < 0.5
    report = json.loads(path.read_text())
    del report["weights_sha256"]
    path.write_text(json.dumps(report))
    os.utime(squares_run / runs.BEST_WEIGHTS, (later, later + 100))
    assert corrupt(squares_run)["rows"][0]["dsc"] == pytest.approx(5 / 9)


def test_what_other_weights_gave_is_scored_again(squares_run):
    corrupt(squares_run)
    path = squares_run / "corruption.json"
    path.write_text(path.read_text().replace('"dsc": 0.5', '"dsc": 0.4'))
    (squares_run / runs.BEST_WEIGHTS).write_text("others")
    os.utime(squares_run / runs.BEST_WEIGHTS, (1, 1))
    assert corrupt(squares_run)["rows"][0]["dsc"] == pytest.approx(5 / 9)


@pytest.mark.parametrize("modality", ["rgb", "mri"])
def test_corruptions_are_those_of_the_runs_modality(squares_run, modality, monkeypatch):
    config, seen = runs.Run(squares_run).config.replace(modality=modality), set()
    runs.write_text(squares_run / "config.json", config.to_json())

    def look(images, name, severity, case_id, modality, seed):
        seen.add(modality)
        return images

    monkeypatch.setattr(score, "corrupt", look)
    corrupt(squares_run)
    assert seen == {modality}


def test_contrast_hides_squares_by_hand(squares_run):
    """A white square of `a` of 1024 pixels is `m + f (1 - m)` bright, `m = a / 1024`.

    At 0.4 that is below one half, the model's threshold, for the two of 64 pixels.
    """
    report = corrupt(squares_run)
    rows = {(row["corruption"], row["severity"]): row for row in report["rows"]}
    assert rows["contrast", 1]["dsc"] == 0
    assert rows["contrast", 1]["cases"]["test/nothing"] == {"square": None}
    # 8 bits and low quality leave white and black on their sides of one half.
    assert rows["jpeg", 1]["dsc"] == pytest.approx(rows["clean", 0]["dsc"], abs=0.1)


def test_the_network_is_given_what_was_altered(squares_run):
    cases, seen = find_cases(runs.Run(squares_run), "test"), []

    def alter(name, images):
        seen.append((name, images.shape, images.max()))
        return np.zeros_like(images)

    read = {i: cases.dataset.read_case(cases.root, i) for i in cases.case_ids}
    model = squares.build_model()
    labeled = label_all(
        model, cases.preprocessor, cases.case_ids, read.get, alter=alter
    )
    assert not any(maps["native"].any() for _, maps in labeled)
    assert [name for name, *_ in seen] == cases.case_ids
    assert {shape for _, shape, _ in seen} == {(1, squares.SIZE, squares.SIZE, 3)}
    # Scaled already.
    assert max(most for *_, most in seen) == 1


def test_table_of_two_runs_by_hand(squares_run):
    report = corrupt(squares_run)
    patients = find_cases(runs.Run(squares_run), "test").patients
    reports = [report, report]
    summaries = summarize(reports, patients)
    lines = format_robustness(["one", "another"], reports, summaries).splitlines()
    assert "test part, strict: 4 cases of 4 patients" in lines[0]
    assert lines[3].split() == ["one", "another"]
    assert lines[4].startswith("clean") and lines[4].count("55.56 [0.0, 100.0]") == 2
    assert len(lines) == 4 + 1 + 25 + 1 + 3
    assert lines[5].split()[:4] == ["noise,", "SD", "1", "0.08"]
    assert lines[-1].split()[-4:] == ["-", "0.00", "[0.0,", "0.0]"]
    undefined = report | {"rows": [report["rows"][0] | {"dsc": None}]}
    text = format_robustness(["one"], [undefined], [])
    assert text.splitlines()[4].endswith(" -")


def test_losses_and_their_difference_by_hand():
    def report(*rows):
        return {
            "rows": [
                {
                    "cases": {
                        case: {"x": dsc} for case, dsc in zip("abc", row, strict=True)
                    }
                }
                for row in rows
            ]
        }

    # The third case has neither reference nor prediction.
    one = report((1.0, 0.5, None), (0.5, 0.5, None), (0.0, 0.5, None))
    other = report((1.0, 0.5, None), (1.0, 0.5, None), (1.0, 0.0, None))
    first, second = summarize([one, other], dict(zip("abc", "pqr", strict=True)))
    assert first["corrupted"] == (0.5 + 0.25) / 2
    assert first["loss"] == 0.75 - 0.375
    assert first["excess"] is None and first["excess_interval"] == [None, None]
    assert second["loss"] == 0.75 - (0.75 + 0.5) / 2
    assert second["excess"] == second["loss"] - first["loss"]
    # Of `a` alone the loss is 0.75 against 0, of `b` 0 against 0.25.
    assert second["excess_interval"] == pytest.approx([-0.75, 0.25])
    assert first["loss_interval"] == pytest.approx([0.0, 0.75])
    first, second = summarize([one, other], dict.fromkeys("abc", "p"))
    assert first["loss"] == 0.375 and first["loss_interval"] == [None, None]
    assert first["corrupted_interval"] == [None, None]
    assert second["excess_interval"] == [None, None]


def test_command_writes_a_table_and_a_picture_of_all(squares_run, tmp_path, capsys):
    other = squares.write_run(tmp_path / "runs", tmp_path / "data", "vqunet", seed=1)
    evaluate.main(["--run", str(squares_run), str(other), "--corrupt"])
    printed = capsys.readouterr().out
    assert printed.splitlines()[3].split() == ["r50-unet", "vqunet"]
    with open(squares_run / "corruption_summary.csv") as file:
        first, second = csv.DictReader(file)
    assert (first["run"], second["run"]) == (str(squares_run), str(other))
    assert float(second["excess"]) == 0 and first["excess"] == ""
    assert (other / "corruption.json").is_file()
    assert not (squares_run / "metrics.json").exists()
    with open(squares_run / "corruption.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 26
    assert float(rows[0]["dsc"]) == pytest.approx(5 / 9)
    assert {row["model"] for row in rows} == {"r50-unet", "vqunet"}
    picture = cv2.imread(str(squares_run / "corruption.png"))
    assert picture.shape == (360, 1500, 3)


def test_names_are_no_formulas(squares_run, tmp_path):
    report = corrupt(squares_run)
    draw_robustness(tmp_path / "a.png", ["$5_and_$6"], [report])
    assert cv2.imread(str(tmp_path / "a.png")).shape == (360, 1500, 3)


@pytest.mark.parametrize("flags", [["--split", "val"], ["--flips"], ["--largest"]])
def test_flags_have_an_effect(squares_run, flags, capsys):
    evaluate.main(["--run", str(squares_run), "--corrupt", *flags])
    report = json.loads((squares_run / "corruption.json").read_text())
    options = {"flips": "--flips" in flags, "largest": "--largest" in flags}
    assert report["options"] == options
    assert report["split"] == ("val" if "val" in flags else "test")


def test_nonsense_is_refused_in_one_line(squares_run, tmp_path, refusal):
    for flags in (["--protocol", "pooled"], ["--compare", "a", "b"]):
        line = refusal("--run", squares_run, "--corrupt", *flags)
        assert flags[0] in line
    assert "--corrupt" in refusal("--table", 2, "--corrupt")
    assert "config.json" in refusal("--run", tmp_path, "--corrupt")
    data = squares.write_data(tmp_path / "other")
    (data / "test" / "images" / "half.png").unlink()
    (data / "test" / "masks" / "half.png").unlink()
    other = squares.write_run(tmp_path / "runs2", data)
    line = refusal("--run", squares_run, other, "--corrupt")
    assert "not the same test cases" in line
    assert not (squares_run / "corruption.json").exists()
    # The same cases, but the network sees them larger: so would it see less noise.
    config = runs.Run(squares_run).config.replace(image_size=64, seed=1)
    larger = tmp_path / "larger"
    shutil.copytree(squares_run, larger)
    runs.write_text(larger / "config.json", config.to_json())
    line = refusal("--run", squares_run, larger, "--corrupt")
    assert "do not see the same images" in line
