import json
import math

import cv2
import keras
import numpy as np
import pytest

from synergynet_tf import metrics, runs
from tests.evaluation import squares

tf = pytest.importorskip("tensorflow")
pytest.importorskip("tf2onnx")
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow exports"
)

from synergynet_tf.cli import parity as command  # noqa: E402
from synergynet_tf.export import card, onnx, parity, saved_model, tflite  # noqa: E402
from synergynet_tf.export.exported_model import Answers, SavedModel, TFLiteModel  # noqa: E402
from synergynet_tf.export.parity import (  # noqa: E402
    LIMITS,
    Tally,
    mean_dsc,
    outside,
    spread,
)
from synergynet_tf.models import build_model, quantizers  # noqa: E402
from synergynet_tf.models.outputs import with_codes  # noqa: E402


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run on white squares whose model is `squares.build_model`."""
    folder = squares.make_run(tmp_path, monkeypatch)
    monkeypatch.setattr(parity, "load_run_model", squares.build_model)
    return folder


def shifted(shift):
    """The run's model with another threshold: wrong, by as much in each logit."""
    model = squares.build_model()
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel, bias + shift])
    return model


def export(run, path, model=None, kind="none"):
    made = card.make_card(runs.Run(run))
    tflite.save(model or squares.build_model(), kind, (), made, path)
    return path


def compare(run, *models, flags=()):
    names = [str(model) for model in models]
    command.main(
        ["--run", str(run), "--split", "test", "--model", *names, *map(str, flags)]
    )
    return json.loads((run / command.JSON).read_text())


# Half a square found is 2 * 64 / (64 + 128); missed 0; nothing not scored; 1. Of the
# pixels 3 to 28 of each side, the squares of 8 x 8 hold 25, where they are whole.
@pytest.mark.parametrize(
    ("crop", "dsc"),
    [(1.0, (2 / 3 + 0 + 1) / 3), (0.8, (50 / 153 + 0 + 50 / 89) / 3)],
)
def test_equal_exports_pass_and_are_reported(run, tmp_path, capsys, crop, dsc):
    config = runs.Run(run).config.replace(modality="mri", center_crop=crop)
    runs.write_text(run / "config.json", config.to_json())
    made = card.make_card(runs.Run(run))
    saved_model.save(squares.build_model(), made, tmp_path / "served" / "1")
    lite = export(run, tmp_path / "x.tflite")
    other = tmp_path / "y.onnx"
    onnx.save(squares.build_model(), made, other)
    report = compare(run, tmp_path / "served", lite, other)
    assert (report["num_cases"], report["num_slices"]) == (4, 4)
    assert report["keras"]["dsc"] == pytest.approx(dsc)
    for entry in report["exports"]:
        assert entry["largest_logit_difference"] <= 1e-6
        assert (entry["labels_changed"], entry["dsc_change"]) == (0, 0)
        assert entry["codes_changed"] is None and entry["outside"] == []
        assert entry["latency_ms"] > 0
    for entry, file in zip(report["exports"][1:], (lite, other), strict=True):
        assert entry["size_bytes"] == file.stat().st_size
        assert entry["limits"] == {"logits": 1e-4, "dsc": 1e-4}
    table = (run / command.MARKDOWN).read_text()
    assert table in capsys.readouterr().out
    for kind in ("SavedModel", "TFLite", "ONNX"):
        assert f"| {kind} | " in table
    assert "codes" not in table


def test_an_export_outside_its_limits_is_refused_unless_accepted(run, tmp_path):
    made = card.make_card(runs.Run(run))
    path = tmp_path / "x.tflite"
    # Everything is foreground; written as float16, for which `save` has no limit.
    tflite.save(shifted(2.0), "float16", (), made, path)
    with pytest.raises(ValueError, match=r"x\.tflite \(DSC changes by -.*--accept"):
        compare(run, path)
    report = json.loads((run / command.JSON).read_text())
    (entry,) = report["exports"]
    assert entry["precision"] == "float16" and len(entry["outside"]) == 1
    assert entry["largest_logit_difference"] == pytest.approx(2.0, abs=0.01)
    assert entry["labels_changed"] > 0.5
    assert compare(run, path, flags=["--accept"])["exports"][0]["outside"]
    assert "| no |" in (run / command.MARKDOWN).read_text()


def test_an_export_whose_logits_are_not_finite_is_reported(run, tmp_path, monkeypatch):
    path = export(run, tmp_path / "x.tflite")
    monkeypatch.setattr(
        TFLiteModel,
        "answer",
        lambda self, images: Answers(np.full((len(images), 32, 32, 1), np.nan), None),
    )
    with pytest.raises(ValueError, match=r"x\.tflite \(logits differ by inf"):
        compare(run, path)
    (entry,) = json.loads((run / command.JSON).read_text())["exports"]
    assert entry["largest_logit_difference"] is None
    assert "| not finite |" in (run / command.MARKDOWN).read_text()


def test_codes_are_compared_and_must_be_there(run, tmp_path, monkeypatch):
    codes = np.arange(4, dtype=np.int32).reshape(1, 2, 2)

    def give(codes):
        logits = np.zeros((1, 32, 32, 1), np.float32)
        return lambda images: Answers(logits, codes)

    path = export(run, tmp_path / "x.tflite")
    monkeypatch.setattr(parity, "_keras", lambda model: give(codes))
    changed = give(np.array([[[0, 1], [2, 9]]], np.int32))
    monkeypatch.setattr(TFLiteModel, "answer", lambda self, images: changed(images))
    with pytest.raises(ValueError, match=r"25\.0% of the codes differ"):
        compare(run, path, flags=["--cases", 1])
    (entry,) = compare(run, path, flags=["--cases", 1, "--accept"])["exports"]
    assert entry["codes_changed"] == 0.25
    table = (run / command.MARKDOWN).read_text()
    assert "| codes changed |" in table and "| 25.00% |" in table
    monkeypatch.setattr(TFLiteModel, "answer", lambda self, images: give(None)(images))
    with pytest.raises(ValueError, match="gives no codes"):
        compare(run, path, flags=["--cases", 1])


def test_cases_without_a_class_are_refused(run, tmp_path):
    path = export(run, tmp_path / "x.tflite")
    for mask in (run.parents[3] / "data" / "test" / "masks").glob("*.png"):
        cv2.imwrite(str(mask), np.zeros((32, 32), np.uint8))
    for image in (run.parents[3] / "data" / "test" / "images").glob("*.png"):
        cv2.imwrite(str(image), np.zeros((32, 32), np.uint8))
    with pytest.raises(ValueError, match=r"None of the 4 cases.*--cases"):
        compare(run, path)


def test_an_export_of_earlier_weights_is_refused(run, tmp_path):
    path = export(run, tmp_path / "x.tflite")
    runs.write_text(run / runs.BEST_WEIGHTS, "trained again")
    with pytest.raises(ValueError, match=r"x\.tflite.*their weights differ"):
        compare(run, path)


def test_an_export_of_before_a_setting_is_of_its_run(run, tmp_path):
    path = export(run, tmp_path / "x.tflite")
    card = json.loads(path.with_suffix(".json").read_text())
    del card["config"]["data"]["center_crop"]
    path.with_suffix(".json").write_text(json.dumps(card))
    compare(run, path)


def test_an_export_of_another_run_is_refused(run, tmp_path):
    path = export(run, tmp_path / "x.tflite")
    config = runs.Run(run).config.replace(learning_rate=0.5)
    runs.write_text(run / "config.json", config.to_json())
    with pytest.raises(ValueError, match=r"x\.tflite is not an export of"):
        compare(run, path)
    assert not (run / command.JSON).exists()


def test_wrong_flags(run, tmp_path):
    with pytest.raises(SystemExit):
        compare(run, tmp_path / "x.tflite", flags=["--cases", 0])
    with pytest.raises(FileNotFoundError, match=r"x\.tflite"):
        compare(run, tmp_path / "x.tflite")


def test_codes_of_an_export_are_those_of_the_model(run, tmp_path, tiny):
    model = build_model(tiny.replace(num_classes=1).model)
    (quantizer,) = quantizers(model)
    images = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    features = keras.Model(model.input, quantizer.input)(images, training=False)
    expected = quantizer.encode(features)
    outputs = with_codes(model)(images, training=False)
    np.testing.assert_array_equal(outputs["codes"], expected)
    np.testing.assert_array_equal(outputs["logits"], model(images, training=False))
    made = card.make_card(runs.Run(run))
    saved_model.save(model, made, tmp_path / "1")
    for opened in (
        SavedModel(tmp_path / "1"),
        TFLiteModel(tflite.convert(model, "none")),
    ):
        answers = opened.answer(images)
        np.testing.assert_array_equal(answers.codes, expected)
        np.testing.assert_allclose(answers.logits, outputs["logits"], atol=1e-4)


def labels(*values):
    return np.array([[values]], np.uint8)


def test_differences_add_up_over_cases():
    tally = Tally(num_classes=2)
    tally.add_logits(np.zeros((1, 1, 2, 3)), np.full((1, 1, 2, 3), -0.25))
    tally.add_logits(np.ones((2, 1, 2, 3)), np.ones((2, 1, 2, 3)))
    assert tally.largest_logit_difference == 0.25
    tally.add_codes(np.array([[[1, 2]]]), np.array([[[1, 3]]]))
    tally.add_codes(np.array([[[5, 5]]]), np.array([[[5, 5]]]))
    assert tally.codes_changed == 0.25
    tally.add_labels(labels(1, 1, 0, 2), labels(1, 1, 0, 2), labels(1, 0, 0, 2))
    tally.add_labels(labels(1, 0, 0, 0), labels(1, 0, 0, 0), labels(1, 0, 0, 0))
    assert tally.labels_changed == 1 / 8
    # Class 1: 2 * 1 / (2 + 1) and 1; class 2: 1, and in the second case nothing.
    assert tally.dsc == pytest.approx(((2 / 3 + 1) / 2 + 1) / 2)


def test_without_a_codebook_no_share_of_codes():
    assert Tally(1).codes_changed is None


def test_logits_that_are_not_finite_are_infinitely_far():
    tally = Tally(1)
    tally.add_logits(np.zeros((1, 2)), np.array([[0.0, np.nan]]))
    tally.add_logits(np.zeros((1, 2)), np.zeros((1, 2)))
    assert tally.largest_logit_difference == math.inf


def test_exports_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"logits have the shape \(1, 3\)"):
        Tally(1).add_logits(np.zeros((1, 2)), np.zeros((1, 3)))
    with pytest.raises(ValueError, match="codes have the shape"):
        Tally(1).add_codes(np.zeros((1, 2)), np.zeros((1, 3)))


def test_an_absent_class_is_not_scored():
    scores = metrics.dice_of_classes(labels(1, 0), labels(1, 0), 2)
    assert scores[0] == 1 and math.isnan(scores[1])
    assert mean_dsc([scores]) == 1
    assert math.isnan(mean_dsc([[math.nan]]))


@pytest.mark.parametrize(
    ("precision", "largest", "difference", "change", "count"),
    [
        ("none", 0.5, 1e-4, 1e-4, 0),
        ("none", 0.5, 2e-4, -2e-4, 2),
        ("none", 10.0, 9e-4, 0.0, 0),
        ("none", 10.0, 1.1e-3, 0.0, 1),
        ("none", 10.0, math.inf, 0.0, 1),
        ("none", 10.0, 0.0, math.nan, 1),
        ("float16", 10.0, 9.0, 0.002, 0),
        ("float16", 10.0, 9.0, -0.0021, 1),
        ("dynamic", 10.0, 9.0, 0.0051, 1),
        ("int8", 10.0, 9.0, -0.01, 0),
        ("int8", 10.0, 9.0, -0.011, 1),
    ],
)
def test_limits(precision, largest, difference, change, count):
    measured = {
        "largest_logit": largest,
        "largest_logit_difference": difference,
        "dsc_change": change,
        "codes_changed": None,
    }
    assert len(outside(measured, LIMITS[precision])) == count


def test_few_other_codes_are_rounding_and_many_are_not():
    measured = {
        "largest_logit": 1.0,
        "largest_logit_difference": 0.0,
        "dsc_change": 0.0,
        "codes_changed": 0.009,
    }
    assert outside(measured, LIMITS["none"]) == []
    measured["codes_changed"] = 0.011
    assert outside(measured, LIMITS["none"]) == ["1.1% of the codes differ"]
    assert outside(measured, LIMITS["int8"]) == []


def test_cases_are_spread_evenly():
    assert spread("abcdef", 3) == ["a", "c", "e"]
    assert spread("ab", 5) == ["a", "b"]


def answers(logits, codes=None):
    """Returns those of images of one pixel, and of ten by ten positions."""
    logits = np.asarray(logits, "float32").reshape(-1, 1, 1, 1)
    if codes is not None:
        codes = np.broadcast_to(
            np.zeros((10, 10), "int32"), (len(logits), 10, 10)
        ).copy()
    return Answers(logits, codes)


def test_the_limit_is_a_share_of_the_largest_logit():
    run = answers([8.0, -10.0])
    assert parity.require_same_answers(run, answers([8.0009, -10.0])) > 8e-4
    with pytest.raises(ValueError, match=r"by 1\.2e-03, more than 1\.0e-03"):
        parity.require_same_answers(run, answers([8.0012, -10.0]))
    with pytest.raises(ValueError, match="nothing was written"):
        parity.require_same_answers(run, answers([np.nan, -10.0]))
    assert parity.require_same_answers(run, answers([9.0, -10.0]), np.inf) == 1.0


def test_an_export_of_which_no_image_is_compared_does_not_pass():
    measured = {"largest_logit": 3.0, "dsc_change": 0.0, "codes_changed": 0.005}
    found = outside({**measured, "largest_logit_difference": math.nan}, LIMITS["none"])
    assert found == ["no image has the run's codes, so no logits were compared"]
    tally = Tally(1)
    tally.add_logits(np.zeros((0, 2)), np.zeros((0, 2)))
    assert tally.images == 0
    tally.add_logits(np.zeros((3, 2)), np.zeros((3, 2)))
    assert tally.images == 3


def test_an_image_with_another_code_is_not_compared():
    run, export = answers([1.0, 1.0], codes=0), answers([1.0, 1.5], codes=0)
    with pytest.raises(ValueError, match=r"by 5\.0e-01"):
        parity.require_same_answers(run, export)
    export.codes[1, 4, 4] = 7
    assert parity.require_same_answers(run, export) == 0.0
    # Of 200 codes two are 1 %, and three are no rounding any more.
    export.codes[1, 4, 5] = 7
    assert parity.require_same_answers(run, export) == 0.0
    export.codes[1, 4, 6] = 7
    with pytest.raises(ValueError, match=r"1\.5% of the exported model's codes"):
        parity.require_same_answers(run, export)


def test_one_image_at_least_is_compared():
    run, export = answers([1.0, 1.0], codes=0), answers([1.0, 1.0], codes=0)
    export.codes[:, 0, 0] = 7
    with pytest.raises(ValueError, match="0 images have all of them"):
        parity.require_same_answers(run, export)
