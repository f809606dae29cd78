import json

import cv2
import keras
import numpy as np
import pytest

from synergynet_tf import runs
from tests.evaluation import squares

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow exports"
)

from synergynet_tf.config import ModelConfig  # noqa: E402
from synergynet_tf.export import model_card, parity, parity_report, saved_model, tflite  # noqa: E402
from synergynet_tf.export.exported_model import Answers, SavedModel, TFLiteModel  # noqa: E402
from synergynet_tf.models import build_model, quantizers  # noqa: E402
from synergynet_tf.models.outputs import with_codes  # noqa: E402


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run on white squares whose model is `squares.build_model`."""
    folder = squares.make_run(tmp_path, monkeypatch)
    monkeypatch.setattr(parity_report, "load_run_model", squares.build_model)
    return folder


def shifted(shift):
    """The run's model with another threshold: wrong, by as much in each logit."""
    model = squares.build_model()
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel, bias + shift])
    return model


def export(run, path, model=None, kind="none"):
    card = model_card.make_card(runs.Run(run))
    tflite.save(model or squares.build_model(), kind, (), card, path)
    return path


def compare(run, *models, flags=()):
    names = [str(model) for model in models]
    parity.main(
        ["--run", str(run), "--split", "test", "--model", *names, *map(str, flags)]
    )
    return json.loads((run / parity.JSON).read_text())


# Half a square found is 2 * 64 / (64 + 128); missed 0; nothing not scored; 1. Of the
# pixels 3 to 28 of each side, the squares of 8 x 8 hold 25, where they are whole.
@pytest.mark.parametrize(
    ("crop", "dsc"),
    [(1.0, (2 / 3 + 0 + 1) / 3), (0.8, (50 / 153 + 0 + 50 / 89) / 3)],
)
def test_equal_exports_pass_and_are_reported(run, tmp_path, capsys, crop, dsc):
    config = runs.Run(run).config.replace(modality="mri", center_crop=crop)
    runs.write_text(run / "config.json", config.to_json())
    card = model_card.make_card(runs.Run(run))
    saved_model.save(squares.build_model(), card, tmp_path / "served" / "1")
    lite = export(run, tmp_path / "x.tflite")
    report = compare(run, tmp_path / "served", lite)
    assert (report["num_cases"], report["num_slices"]) == (4, 4)
    assert report["keras"]["dsc"] == pytest.approx(dsc)
    for entry in report["exports"]:
        assert entry["largest_logit_difference"] <= 1e-6
        assert (entry["labels_changed"], entry["dsc_change"]) == (0, 0)
        assert entry["codes_changed"] is None and entry["outside"] == []
        assert entry["latency_ms"] > 0
    assert report["exports"][1]["size_bytes"] == lite.stat().st_size
    table = (run / parity.MARKDOWN).read_text()
    assert table in capsys.readouterr().out
    assert "| TFLite | " in table and "| SavedModel | " in table
    assert "codes" not in table


def test_an_export_outside_its_limits_is_refused_unless_accepted(run, tmp_path):
    card = model_card.make_card(runs.Run(run))
    path = tmp_path / "x.tflite"
    # Everything is foreground; written as float16, for which `save` has no limit.
    tflite.save(shifted(2.0), "float16", (), card, path)
    with pytest.raises(ValueError, match=r"x\.tflite \(DSC changes by -.*--accept"):
        compare(run, path)
    report = json.loads((run / parity.JSON).read_text())
    (entry,) = report["exports"]
    assert entry["precision"] == "float16" and len(entry["outside"]) == 1
    assert entry["largest_logit_difference"] == pytest.approx(2.0, abs=0.01)
    assert entry["labels_changed"] > 0.5
    assert compare(run, path, flags=["--accept"])["exports"][0]["outside"]
    assert "| no |" in (run / parity.MARKDOWN).read_text()


def test_an_export_whose_logits_are_not_finite_is_reported(run, tmp_path, monkeypatch):
    path = export(run, tmp_path / "x.tflite")
    monkeypatch.setattr(
        TFLiteModel,
        "answer",
        lambda self, images: Answers(np.full((len(images), 32, 32, 1), np.nan), None),
    )
    with pytest.raises(ValueError, match=r"x\.tflite \(logits differ by inf"):
        compare(run, path)
    (entry,) = json.loads((run / parity.JSON).read_text())["exports"]
    assert entry["largest_logit_difference"] is None
    assert "| not finite |" in (run / parity.MARKDOWN).read_text()


def test_codes_are_compared_and_must_be_there(run, tmp_path, monkeypatch):
    codes = np.arange(4, dtype=np.int32).reshape(1, 2, 2)

    def give(codes):
        logits = np.zeros((1, 32, 32, 1), np.float32)
        return lambda images: Answers(logits, codes)

    path = export(run, tmp_path / "x.tflite")
    monkeypatch.setattr(parity_report, "_keras", lambda model: give(codes))
    changed = give(np.array([[[0, 1], [2, 9]]], np.int32))
    monkeypatch.setattr(TFLiteModel, "answer", lambda self, images: changed(images))
    with pytest.raises(ValueError, match=r"25\.0% of the codes differ"):
        compare(run, path, flags=["--cases", 1])
    (entry,) = compare(run, path, flags=["--cases", 1, "--accept"])["exports"]
    assert entry["codes_changed"] == 0.25
    table = (run / parity.MARKDOWN).read_text()
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


def test_an_export_of_another_run_is_refused(run, tmp_path):
    path = export(run, tmp_path / "x.tflite")
    config = runs.Run(run).config.replace(learning_rate=0.5)
    runs.write_text(run / "config.json", config.to_json())
    with pytest.raises(ValueError, match=r"x\.tflite is not an export of"):
        compare(run, path)
    assert not (run / parity.JSON).exists()


def test_wrong_flags(run, tmp_path):
    with pytest.raises(SystemExit):
        compare(run, tmp_path / "x.tflite", flags=["--cases", 0])
    with pytest.raises(FileNotFoundError, match=r"x\.tflite"):
        compare(run, tmp_path / "x.tflite")


def test_codes_of_an_export_are_those_of_the_model(run, tmp_path):
    config = ModelConfig(
        backbone="resnet18",
        image_size=32,
        num_codes=16,
        hidden_dim=16,
        encoder_weights="none",
    )
    model = build_model(config)
    (quantizer,) = quantizers(model)
    images = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    features = keras.Model(model.input, quantizer.input)(images, training=False)
    expected = quantizer.encode(features)
    outputs = with_codes(model)(images, training=False)
    np.testing.assert_array_equal(outputs["codes"], expected)
    np.testing.assert_array_equal(outputs["logits"], model(images, training=False))
    card = model_card.make_card(runs.Run(run))
    saved_model.save(model, card, tmp_path / "1")
    for opened in (
        SavedModel(tmp_path / "1"),
        TFLiteModel(tflite.convert(model, "none")),
    ):
        answers = opened.answer(images)
        np.testing.assert_array_equal(answers.codes, expected)
        np.testing.assert_allclose(answers.logits, outputs["logits"], atol=1e-4)
