import csv
import json
import math

import cv2
import numpy as np
import pytest

from synergynet_tf import runs
from synergynet_tf.data.datasets import folder
from synergynet_tf.evaluation import cases, evaluate
from synergynet_tf.evaluation.figures.overlays import overlay
from synergynet_tf.evaluation.report.slices import NAME
from synergynet_tf.evaluation.scores import Scores
from synergynet_tf.evaluation.tables.console import format_tables
from tests.evaluation import squares
from tests.evaluation.page import read_page

# Of 1,024 pixels: perfect TP 64; half TP 64, FN 64; missed FN 16.
POOLED_DSC = 2 * 128 / (2 * 128 + 64 + 16)
DIAGONAL = math.hypot(squares.SIZE, squares.SIZE)


def test_strict_means_by_hand(squares_run):
    report = squares.evaluate(squares_run)
    assert report["protocol"] == "strict"
    assert report["num_cases"] == 4
    # The case in which neither mask has a square is left out of the mean.
    assert report["mean"]["dsc"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert report["mean"]["iou"] == pytest.approx((1 + 1 / 2 + 0) / 3)
    # The reference of `half` reaches 8 pixels farther.
    assert report["mean"]["hd95"] == pytest.approx((0 + 8 + DIAGONAL) / 3, rel=0.01)
    assert report["structures"] == {"square": {"empty": 1, "missed": 1, "false": 0}}
    assert report["per_class"] == {"square": report["mean"]}


def test_pooled_stands_beside_by_hand(squares_run):
    pooled = squares.evaluate(squares_run)["pooled"]["mean"]
    assert pooled["dsc"] == pytest.approx(POOLED_DSC)
    assert pooled["acc"] == pytest.approx(1 - (64 + 16) / (4 * 1024))
    assert pooled["se"] == pytest.approx(128 / (128 + 64 + 16))
    assert pooled["sp"] == 1.0


@pytest.mark.parametrize("protocol", ["pooled", "paper"])
def test_protocol_decides_the_means(squares_run, protocol):
    report = squares.evaluate(squares_run, protocol=protocol)
    assert report["protocol"] == "pooled"
    assert report["mean"]["dsc"] == pytest.approx(POOLED_DSC)
    assert report["strict"]["mean"]["dsc"] == pytest.approx(5 / 9)


def test_transunet_counts_the_empty_as_zero(squares_run):
    report = squares.evaluate(squares_run, protocol="transunet")
    assert report["mean"]["dsc"] == pytest.approx((1 + 2 / 3 + 0 + 0) / 4)


def test_what_is_written_is_what_is_returned(squares_run):
    report = squares.evaluate(squares_run)
    text = (squares_run / "metrics.json").read_text()
    assert json.loads(text) == report
    assert "NaN" not in text
    (nothing,) = (c for c in report["cases"] if c["case_id"] == "test/nothing")
    assert nothing["per_class"]["square"]["dsc"] is None
    with open(squares_run / "cases.csv") as file:
        rows = {row["case_id"]: row for row in csv.DictReader(file)}
    assert float(rows["test/half"]["dsc"]) == pytest.approx(2 / 3)
    assert rows["test/nothing"]["dsc"] == ""
    assert rows["test/missed"]["presence"] == "missed"
    assert rows["test/half"]["patient"] == "test/half"


def test_intervals_stand_beside_every_mean(squares_run):
    report = squares.evaluate(squares_run)
    assert report["num_patients"] == 4
    assert report["bootstrap"] == {"resamples": 2000, "seed": 0, "level": 0.95}
    for block in (report, report["strict"], report["pooled"]):
        for metric, mean in block["mean"].items():
            low, high = block["mean_interval"][metric]
            assert low <= mean <= high
            assert block["per_class_interval"]["square"][metric] == [low, high]
    # Of dsc 1, 2/3 and 0 a resample may hold the first or the last alone.
    assert report["mean_interval"]["dsc"] == [0.0, 1.0]
    assert squares.evaluate(squares_run) == report


def test_one_case_has_no_interval_and_every_text_a_dash(squares_run, tmp_path):
    for name in ("missed", "nothing", "perfect"):
        for kind in ("images", "masks"):
            (tmp_path / "data/test" / kind / f"{name}.png").unlink()
    report = squares.evaluate(squares_run)
    assert report["mean"]["dsc"] == pytest.approx(2 / 3)
    for block in (report["strict"], report["pooled"]):
        intervals = [block["mean_interval"], block["per_class_interval"]["square"]]
        assert [ends for i in intervals for ends in i.values()] == [[None, None]] * (
            2 * len(block["mean"])
        )
    lines = format_tables([Scores.from_json(report)]).splitlines()
    for label in ("  95 % interval, from", "  to"):
        (line,) = (line for line in lines if line.startswith(label))
        # Five pooled scores and three strict.
        assert line.removeprefix(label).split() == ["-"] * 8
    page, _ = read_page(squares_run)
    for protocol in ("strict", "pooled"):
        _, (_, *cells) = page.table(f"Protocol {protocol}")
        assert cells and all(cell.endswith(" -") for cell in cells)
    assert page.texts.count("95 % interval -") == 3


def test_report_names_the_experiment(squares_run):
    report = squares.evaluate(squares_run)
    expected = {
        "dataset": "folder",
        "model": "r50-unet",
        "seed": 0,
        "split": "test",
        "data_split": "official",
        "image_size": squares.SIZE,
        "epochs": 3,
        "trained_epochs": 3,
        "distance_unit": "px",
        "codes": None,
    }
    assert expected.items() <= report.items()


def test_other_part_and_other_folder(squares_run, tmp_path):
    elsewhere = (tmp_path / "data").rename(tmp_path / "moved")
    report = squares.evaluate(squares_run, "val", data_dir=elsewhere)
    # One of the two training cases is held out.
    assert (report["split"], report["num_cases"]) == ("val", 1)


def test_overlays_show_best_median_and_worst(squares_run, monkeypatch):
    captions = []

    def record(image, pred_labels, class_names, true_labels, caption):
        captions.append(caption)
        return overlay(image, pred_labels, class_names, true_labels, caption)

    monkeypatch.setattr(evaluate, "overlay", record)
    squares.evaluate(squares_run)
    assert captions == [
        "best of 4: test/perfect, DSC 1.000",
        "median of 4: test/half, DSC 0.667",
        "worst of 4: test/missed, DSC 0.000",
    ]
    pictures = {
        path.stem: cv2.imread(str(path))
        for path in (squares_run / "overlays").iterdir()
    }
    assert set(pictures) == {"best", "median", "worst"}
    assert all(min(picture.shape[:2]) >= 512 for picture in pictures.values())


def test_codes_of_a_center_crop_are_laid_on_it(squares_run, monkeypatch):
    seen = []

    def code_maps(self, images):
        seen.append(images)
        return np.zeros((1, 2, 2), int)

    monkeypatch.setattr(evaluate.Predictor, "code_maps", code_maps)
    config = runs.Run(squares_run).config.replace(modality="mri", center_crop=0.75)
    runs.write_text(squares_run / "config.json", config.to_json())
    squares.evaluate(squares_run)
    slices = json.loads((squares_run / NAME).read_text())
    # Rows and columns 4 to 27 of 32.
    assert slices["best"]["codes_box"] == [0.125, 0.125, 0.75, 0.75]
    assert slices["best"]["case_id"] == "test/perfect"
    # Of the white square of 8 x 8 there are 4 x 4 in it.
    assert seen[0].mean() == pytest.approx((4 / 24) ** 2, abs=0.01)


def test_dataset_may_choose_the_tolerance(squares_run, monkeypatch):
    far = 2 * squares.SIZE
    monkeypatch.setattr(folder, "NSD_TOLERANCE_MM", far, raising=False)
    # Whatever was found is near enough; what was missed is not.
    assert squares.evaluate(squares_run)["mean"]["nsd"] == pytest.approx(
        (1 + 1 + 0) / 3
    )


def test_missing_case_is_an_error_and_leaves_the_old_scores(squares_run, tmp_path):
    squares.evaluate(squares_run)
    before = (squares_run / "metrics.json").read_bytes()
    image = tmp_path / "data" / "test" / "images" / "missed.png"
    image.write_bytes(image.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"missed\.png"):
        squares.evaluate(squares_run)
    assert (squares_run / "metrics.json").read_bytes() == before


def test_scores_do_not_change_with_the_other_cases(squares_run, monkeypatch):
    together = {
        case["case_id"]: case for case in squares.evaluate(squares_run)["cases"]
    }
    for case_id, expected in together.items():
        monkeypatch.setattr(cases, "part_ids", lambda data, part, i=case_id: [i])
        (alone,) = squares.evaluate(squares_run)["cases"]
        assert alone == expected


def test_case_that_cannot_be_read_is_refused_by_name(squares_run, tmp_path):
    image = tmp_path / "data" / "test" / "images" / "missed.png"
    image.write_bytes(image.read_bytes()[:50])
    with pytest.raises(ValueError, match=r"missed\.png is not a readable image"):
        squares.evaluate(squares_run)
    assert not (squares_run / "metrics.json").exists()
