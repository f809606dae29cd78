import dataclasses
import json
import os
import subprocess
import sys

import pytest

from synergynet_tf import runs
from synergynet_tf.config import ExperimentConfig
from synergynet_tf.export.card import make_card, read_card, write_readme
from tests.evaluation import squares
from tests.export import models


@pytest.fixture
def run(tmp_path, monkeypatch):
    return squares.make_run(tmp_path, monkeypatch)


def test_the_card_of_a_run_that_was_not_scored(run):
    runs.write_json(run / "split.json", {"train": ["a", "b"], "val": [], "test": ["c"]})
    environment = {"commit": "abc", "command": ["train.py", "--data-dir", "/home/me"]}
    runs.write_json(run / "environment.json", environment)
    card = make_card(runs.Run(run))
    assert (card["format"], card["name"]) == (1, "r50-unet")
    assert card["classes"] == ["square"]
    assert card["output"]["labels"] == {"0": "background", "255": "square"}
    assert card["output"]["activation"] == "sigmoid"
    assert card["output"]["temperature"] == 1
    assert (card["input"]["size"], card["input"]["modality"]) == (squares.SIZE, "rgb")
    assert "255 becomes 1" in card["input"]["scaling"]
    cases = {"train": 2, "val": 0, "test": 1}
    assert card["training_data"]["cases"] == cases
    assert card["training_data"]["epochs"] == 3
    assert card["scores"] is None and "not scored" in card["scores_note"]
    assert "not measured" in card["limits"][-1]
    assert card["provenance"]["commit"] == "abc"
    assert "not a medical device" in card["intended_use"]


def test_the_card_names_no_folder(run, tmp_path):
    config = runs.Run(run).config.replace(encoder_weights="/home/me/lite0.weights.h5")
    runs.write_text(run / "config.json", config.to_json())
    text = json.dumps(make_card(runs.Run(run)))
    assert "/home/me" not in text and str(tmp_path) not in text
    assert "lite0.weights.h5" in text


def test_scores_come_with_protocol_part_and_intervals(run):
    report = squares.evaluate(run)
    card = make_card(runs.Run(run))
    scores = card["scores"]
    assert (scores["split"], scores["num_cases"]) == ("test", 4)
    assert (scores["protocol"], scores["interval_level"]) == ("strict", 0.95)
    for name in ("mean", "mean_interval", "per_class", "per_class_interval"):
        assert scores["protocols"]["strict"][name] == report["strict"][name]
    assert card["scores_note"] == (
        "Of the 4 cases of the test part, with 95% intervals by patient."
    )
    assert "not measured" not in " ".join(card["limits"])


def test_scores_say_which_options_they_were_made_with(run):
    report = squares.evaluate(run)
    report["options"] = {"flips": True, "largest": True}
    runs.write_json(run / "metrics.json", report)
    assert "with flips and largest, " in make_card(runs.Run(run))["scores_note"]


def test_scores_older_than_the_weights_are_left_out(run):
    report = squares.evaluate(run)
    os.utime(run / "metrics.json", (1, 1))
    assert make_card(runs.Run(run))["scores"] is not None
    del report["weights_sha256"]  # As of a version that goes by times.
    runs.write_json(run / "metrics.json", report)
    os.utime(run / "metrics.json", (1, 1))
    card = make_card(runs.Run(run))
    assert card["scores"] is None and "older" in card["scores_note"]


def test_scores_of_other_weights_are_left_out(run):
    squares.evaluate(run)
    (run / runs.BEST_WEIGHTS).write_text("others")
    card = make_card(runs.Run(run))
    assert card["scores"] is None and "of other weights" in card["scores_note"]


def test_damaged_files_of_the_run_are_named(run):
    (run / "metrics.json").write_text('{"split": "test"}')
    with pytest.raises(
        ValueError, match=r"metrics\.json.*version.*synergynet evaluate"
    ):
        make_card(runs.Run(run))
    for name in ("metrics.json", "environment.json"):
        for text in ("{", "[1]"):
            (run / name).write_text(text)
            with pytest.raises(ValueError, match=rf"{name} is damaged"):
                make_card(runs.Run(run))
        (run / name).unlink()


def test_a_card_is_read_as_it_was_written(run, tmp_path):
    card = make_card(runs.Run(run))
    runs.write_json(tmp_path / "model.json", card)
    read = read_card(tmp_path / "model.json")
    assert read.values == card and read.class_names == ("square",)
    config = runs.Run(run).config
    data = dataclasses.replace(config.data, data_dir="", modality="rgb")
    assert read.config == dataclasses.replace(config, data=data)


def test_a_center_crop_is_on_the_card_and_older_cards_have_none(run, tmp_path):
    config = runs.Run(run).config.replace(modality="mri", center_crop=0.8)
    runs.write_text(run / "config.json", config.to_json())
    card, path = make_card(runs.Run(run)), tmp_path / "model.json"
    assert card["input"]["center_crop"] == 0.8
    assert any("central 80% of each side" in limit for limit in card["limits"])
    runs.write_json(path, card)
    assert read_card(path).config.data.center_crop == 0.8
    del card["input"]["center_crop"], card["config"]["data"]["center_crop"]
    runs.write_json(path, card)
    assert read_card(path).config.data.center_crop == 1.0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": 2}, "format 1"),
        ({"config": {"data": {}}}, "lacks"),
        ({"classes": ["a", "b"]}, "1 names"),
        ({"classes": None}, "1 names"),
        ({"classes": [7]}, "1 names"),
        ({"input": {"image_channels": "3"}}, "must be a number"),
    ],
)
def test_cards_of_other_versions_are_refused_in_one_line(tmp_path, change, reason):
    path = tmp_path / "model_card.json"
    config = dataclasses.asdict(ExperimentConfig())
    values = {"format": 1, "config": config, "classes": ["lesion"]}
    path.write_text(json.dumps(values))
    assert read_card(path).class_names == ("lesion",)
    path.write_text(json.dumps(values | change))
    with pytest.raises(
        ValueError, match=rf"model_card\.json cannot .*{reason}"
    ) as info:
        read_card(path)
    assert "export the run again" in str(info.value)


def test_a_missing_or_damaged_card_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="model_card"):
        read_card(tmp_path / "model_card.json")
    for text in ("{", "[]", "{}"):
        (tmp_path / "model_card.json").write_text(text)
        with pytest.raises(ValueError, match="model_card"):
            read_card(tmp_path / "model_card.json")


def test_cards_need_neither_tensorflow_nor_keras():
    code = "import synergynet_tf.export.card, sys;"
    code += "sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.fixture
def card(tmp_path):
    return models.make_card(tmp_path, "mri", 4)


def test_scores_have_their_protocol_unit_and_interval(card):
    scores = {"dsc": 0.5, "hd95": 7.25}
    intervals = {"dsc": [0.4, 0.625], "hd95": [None, None]}
    block = {
        "mean": scores,
        "mean_interval": intervals,
        "per_class": {"organ1": scores | {"hd95": None}},
        "per_class_interval": {"organ1": intervals},
    }
    card["scores"] = {
        "distance_unit": "mm",
        "protocols": {"strict": block, "transunet": block},
    }
    card["scores_note"] = "Of the 4 cases of the test part, with 95% intervals."
    page = write_readme(card, {"serving_default": ["logits"]})
    assert card["scores_note"] in page
    assert "| strict | mean | 50.0 % (40.0 to 62.5) | 7.2 mm (-) |" in page
    assert "| strict | organ1 | 50.0 % (40.0 to 62.5) | - |" in page
    assert "| transunet | mean | 50.0 % (40.0 to 62.5) | 7.2 voxels (-) |" in page


def test_what_is_not_known_is_said(card):
    page = write_readme(card, {"serving_default": ["logits"]})
    assert "number of cases not known" in page and "Commit not known" in page
    assert "The run was not scored." in page


def test_only_what_the_model_returns_is_described(card):
    page = write_readme(card, {"serving_default": ["logits"]})
    assert "codes" not in page and "from_bytes" not in page
    signatures = {"serving_default": ["logits", "codes"], "from_bytes": ["labels"]}
    page = write_readme(card, signatures)
    assert "`codes`, int32" in page and "`from_bytes`: `image_bytes`" in page


def test_the_channels_of_scans_are_named(card):
    card["input"] |= {"image_channels": 4, "picked_channels": "0 3"}
    page = write_readme(card, {"serving_default": ["logits"]})
    assert "must have 4 of them. Of these, 0 3 are taken" in page


def test_a_center_crop_is_explained(card):
    signatures = {"serving_default": ["logits"]}
    plain = write_readme(card, signatures)
    assert "central" not in plain
    del card["input"]["center_crop"]  # As in older cards.
    assert write_readme(card, signatures) == plain
    card["input"]["center_crop"] = 0.8
    assert "the central 80% of each side is taken" in write_readme(card, signatures)


def test_the_card_of_a_calibrated_run_has_its_temperature(run, tmp_path):
    found = runs.Run(run)
    values = {"temperature": 1.5, "weights_sha256": found.weights_sha256}
    runs.write_json(run / runs.CALIBRATION, values)
    card = make_card(runs.Run(run))
    assert card["output"]["temperature"] == 1.5
    runs.write_json(tmp_path / "card.json", card)
    assert read_card(tmp_path / "card.json").temperature == 1.5
    card["output"]["temperature"] = -1.0
    runs.write_json(tmp_path / "card.json", card)
    with pytest.raises(ValueError, match=r"card\.json cannot be used: `temperature`"):
        read_card(tmp_path / "card.json")
    del card["output"]["temperature"]  # A card of before.
    runs.write_json(tmp_path / "card.json", card)
    assert read_card(tmp_path / "card.json").temperature == 1
