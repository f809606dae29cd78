import json
import math
import pathlib
import sys

import keras
import numpy as np
import pytest

from synergynet_tf import errors
from synergynet_tf.cli import onnx as command
from synergynet_tf.export import onnx as export
from synergynet_tf.export import parity
from synergynet_tf.export.exported_model import Answers, OnnxModel
from synergynet_tf.models import ENCODERS, METHODS
from synergynet_tf.models.outputs import with_codes
from tests.conftest import tiny_encoder
from tests.evaluation import squares
from tests.export.models import SIZE, TINY, images, tiny_model

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("tf2onnx")
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow exports"
)


def normalizing_encoder(image, weights):
    """An encoder with constants that Keras keeps outside of the graph."""
    layer = keras.layers.Normalization(mean=[0.2, 0.4, 0.6], variance=[0.1, 0.2, 0.3])
    return tiny_encoder(layer(image), weights)


def shapes(content):
    """Returns the shapes of a file's inputs and outputs, by their names."""
    graph = onnx.load_from_string(content).graph
    return {
        value.name: [
            d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim
        ]
        for value in (*graph.input, *graph.output)
    }


def answers(model, batch):
    return Answers.of(with_codes(model)(batch, training=False))


# Each conversion takes seconds.
QUICK = [("synergynet-8s2h", "normalizing"), ("transunet", "tiny")]
EVERY = [(name, b) for name in METHODS for b in ("resnet50", "efficientnetlite0")]


@pytest.mark.parametrize(
    ("name", "backbone"),
    [*QUICK, *(pytest.param(*each, marks=pytest.mark.slow) for each in EVERY)],
)
def test_every_method_runs_in_onnxruntime(name, backbone, monkeypatch):
    monkeypatch.setitem(ENCODERS, "normalizing", normalizing_encoder)
    model = tiny_model(monkeypatch, name, backbone)
    content = export.convert(model)
    classes = TINY.num_classes
    expected = {
        "image": ["batch", SIZE, SIZE, 3],
        "logits": ["batch", SIZE, SIZE, classes],
    }
    if METHODS[name].has_codebook:
        expected["codes"] = ["batch", "height", "width"]
    assert shapes(content) == expected
    opened = OnnxModel(content)
    assert opened.input_shape == (SIZE, SIZE, 3)
    assert opened.output_shape == (SIZE, SIZE, classes)
    for batch in (parity.probe_images(SIZE), images(1), images(3)):
        found = opened.answer(batch)
        parity.require_same_answers(answers(model, batch), found)
        if "codes" in expected:
            assert found.codes.dtype == np.int32 and len(np.unique(found.codes)) > 1


def test_constants_of_a_normalization_are_kept_in_the_file():
    image = keras.Input((SIZE, SIZE, 3))
    mean, variance = [0.1, 0.2, 0.3], [0.25, 1.0, 4.0]
    layer = keras.layers.Normalization(mean=mean, variance=variance)
    content = export.convert(keras.Model(image, layer(image)))
    assert list(shapes(content)) == ["image", "logits"]
    batch = images(2)
    found = OnnxModel(content).predict_on_batch(batch)
    by_hand = (batch - np.float32(mean)) / np.sqrt(np.float32(variance))
    np.testing.assert_allclose(found, by_hand, rtol=1e-5, atol=1e-6)


def gelu_model():
    image = keras.Input((SIZE, SIZE, 3))
    return keras.Model(image, keras.ops.gelu(12.0 * image - 6.0, approximate=False))


def test_gelu_is_that_of_the_error_function():
    batch = images(1)
    found = OnnxModel(export.convert(gelu_model())).predict_on_batch(batch)
    x = 12.0 * batch.astype(np.float64) - 6.0
    by_hand = x * np.vectorize(math.erfc)(-x / math.sqrt(2)) / 2
    np.testing.assert_allclose(found, by_hand, atol=2e-6)


def test_an_operator_that_onnx_has_not_is_refused(monkeypatch):
    monkeypatch.setattr(export, "_write_erfc", lambda *_: None)
    with pytest.raises(ValueError, match=r"not valid ONNX .*Erfc") as caught:
        export.convert(gelu_model())
    assert "nothing was written" in str(caught.value)


@pytest.fixture
def run(tmp_path, monkeypatch):
    return squares.make_run(tmp_path, monkeypatch)


def test_a_run_is_exported_with_its_card(run, tmp_path, capsys):
    out = tmp_path / "out" / "model.onnx"
    command.main(["--run", str(run), "--out", str(out)])
    assert "logits differ" in capsys.readouterr().out
    assert sorted(p.name for p in out.parent.iterdir()) == ["model.json", out.name]
    card = json.loads(out.with_suffix(".json").read_text())
    measured = card["onnx"]
    assert card["classes"] == ["square"] and "tflite" not in card
    assert measured["opset"] == onnx.load(out).opset_import[0].version == 18
    assert measured["bytes"] == out.stat().st_size
    assert measured["max_logit_difference"] <= 1e-6  # Of logits in [-0.5, 0.5].
    assert measured["changed_labels"] == 0


def test_a_file_that_comes_out_different_leaves_nothing(run, tmp_path, monkeypatch):
    right = OnnxModel.answer

    def altered(self, batch):
        found = right(self, batch)
        return found._replace(logits=found.logits + 0.001)

    monkeypatch.setattr(OnnxModel, "answer", altered)
    out = tmp_path / "out" / "model.onnx"
    with pytest.raises(ValueError, match="nothing was written"):
        command.main(["--run", str(run), "--out", str(out)])
    assert not out.parent.exists()


def test_a_file_that_cannot_be_written_leaves_no_card(run, tmp_path, monkeypatch):
    def full(self, content):
        raise OSError("No space left on device")

    monkeypatch.setattr(pathlib.Path, "write_bytes", full)
    out = tmp_path / "out" / "a.onnx"
    with pytest.raises(OSError, match="No space"):
        command.main(["--run", str(run), "--out", str(out)])
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "tf2onnx"])
def test_a_missing_package_names_the_extra(run, tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError) as caught:
        command.main(["--run", str(run), "--out", str(tmp_path / "a.onnx")])
    assert errors.message(caught.value).startswith(f"this needs {package}, which is")
    assert errors.message(caught.value).endswith("pip install 'synergynet-tf[onnx]'")
