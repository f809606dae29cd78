import dataclasses
import hashlib
import json
import pathlib

import keras
import numpy as np
import pytest

from synergynet_tf import runs
from synergynet_tf.cli import tflite as command
from synergynet_tf.data.datasets import phantom
from synergynet_tf.data.preprocess import to_network
from synergynet_tf.evaluation.cases import find_cases
from synergynet_tf.export import exported_model, model_file, parity, tflite
from synergynet_tf.models import METHODS
from synergynet_tf.models.outputs import with_codes
from tests.evaluation import squares
from tests.export.models import TINY, images, tiny_model

tf = pytest.importorskip("tensorflow")
interpreter = pytest.importorskip("ai_edge_litert.interpreter")
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow exports"
)

SIZE = TINY.image_size


def kinds(content):
    return {operator.kind for operator in tflite.read_operators(content)}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=[] if n == "synergynet-8s2h" else pytest.mark.slow)
        for n in METHODS
    ],
)
def test_every_method_runs_in_the_stock_interpreter(name, monkeypatch):
    model = tiny_model(monkeypatch, name)
    content = tflite.convert(model, "none")
    assert not {kind for kind in kinds(content) if not kind.isupper()}  # Flex, custom
    probes = parity.probe_images(SIZE)
    found = exported_model.TFLiteModel(content).answer(probes)
    expected = exported_model.Answers.of(with_codes(model)(probes, training=False))
    parity.require_same_answers(expected, found)


def run_all(content, image):
    """Runs a file without delegates; returns a function from tensors to values."""
    runner = interpreter.Interpreter(
        model_content=content,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=(
            interpreter.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        ),
    )
    runner.allocate_tensors()
    runner.set_tensor(runner.get_input_details()[0]["index"], image[None])
    runner.invoke()
    return lambda tensor: runner.get_tensor(tensor.number)


def test_int8_chooses_the_codes_in_float(monkeypatch):
    model = tiny_model(monkeypatch, "synergynet-8s2h")
    # Untrained, its keys are its queries, and would be computed once.
    key = model.get_layer("refinement").key.kernel
    key.assign(keras.random.normal(key.shape, seed=0))
    content = tflite.convert(model, "int8", images())
    operators = tflite.read_operators(content)
    *convolutions, head = (o for o in operators if o.kind == "CONV_2D")
    assert {o.inputs[1].dtype for o in convolutions} == {"INT8"}
    assert {t.dtype for t in (*head.inputs, *head.outputs)} == {"FLOAT32"}

    codes, winners = (o for o in operators if o.kind == tflite.CHOICE)
    codebook = np.asarray(model.get_layer("quantizer").codebook, np.float64)
    center = codebook.mean(axis=0)
    sources = {t.number: o for o in operators for t in o.outputs}
    bias = sources[codes.inputs[0].number]
    product = sources[bias.inputs[0].number]
    for image in images(4):
        value = run_all(content, image)
        z = value(product.inputs[0]).reshape(-1, TINY.hidden_dim) + center
        distances = np.square(z[:, None] - codebook).sum(axis=-1)
        chosen = value(codes.outputs[1]).ravel()
        np.testing.assert_array_equal(chosen, distances.argmin(axis=-1))
        assert len(set(chosen)) > 1

    # Which leaves out the own position.
    mask = sources[winners.inputs[0].number]
    product = sources[mask.inputs[0].number]
    assert (mask.kind, product.kind) == ("SUB", "BATCH_MATMUL")
    projections = [
        o
        for o in operators
        if o.kind == "FULLY_CONNECTED" and o.inputs[1].dtype != "INT8"
    ]
    # The codebook's distances; the refinement's query and key, not its value.
    assert len(projections) == 3
    assert {t.dtype for o in (product, *projections) for t in o.inputs} == {"FLOAT32"}


def test_int8_upsamples_and_convolves_as_accelerators_can(monkeypatch):
    model = tiny_model(monkeypatch, "r50-unet")
    usual = kinds(tflite.convert(model, "int8", images()))
    assert "RESIZE_BILINEAR" in usual and "BATCH_MATMUL" not in usual
    # The model is left as it was.
    assert "RESIZE_BILINEAR" not in kinds(tflite.convert(model, "dynamic"))


def test_int8_sees_reversed_channels_as_they_are():
    """Of which TensorFlow's quantizer would leave 0 and 1."""
    keras.utils.set_random_seed(0)
    image = keras.Input((SIZE, SIZE, 3))
    x = keras.ops.flip(image, axis=-1) * 255.0 - 100.0
    x = keras.layers.Conv2D(8, 3, padding="same")(x)
    model = keras.Model(image, keras.layers.Conv2D(4, 1)(x))
    content = tflite.convert(model, "int8", images())
    assert "REVERSE_V2" in kinds(content)
    found = exported_model.TFLiteModel(content).predict_on_batch(images())
    expected = np.asarray(model(images(), training=False))
    # 255 steps over the range, and no more than a few of them are lost.
    assert np.abs(found - expected).max() < 4 * np.ptp(expected) / 255


@pytest.fixture
def run(tmp_path, monkeypatch):
    return squares.make_run(tmp_path, monkeypatch)


@pytest.mark.parametrize("kind", tflite.KINDS)
def test_a_run_is_exported_with_its_card(run, tmp_path, capsys, kind):
    out = tmp_path / "out" / "model.tflite"
    command.main(["--run", str(run), "--out", str(out), "--quantize", kind])
    assert "labels" in capsys.readouterr().out
    assert sorted(p.name for p in out.parent.iterdir()) == ["model.json", out.name]
    content = out.read_bytes()
    card = json.loads(out.with_suffix(".json").read_text())
    measured = card["tflite"]
    assert card["classes"] == ["square"]
    assert measured["quantization"] == kind
    assert measured["bytes"] == len(content)
    assert measured["sha256"] == hashlib.sha256(content).hexdigest()
    assert measured["representative_images"] == (1 if kind == "int8" else 0)
    # Of logits in [-0.5, 0.5]; 8 bits are 255 steps.
    assert measured["max_logit_difference"] <= (1e-6 if kind == "none" else 0.01)
    assert measured["changed_labels"] <= 0.01


def test_float32_that_comes_out_different_leaves_nothing(run, tmp_path, monkeypatch):
    right = exported_model.TFLiteModel.answer

    def altered(self, images):
        answers = right(self, images)
        return answers._replace(logits=answers.logits + 0.001)

    monkeypatch.setattr(tflite.TFLiteModel, "answer", altered)
    out = tmp_path / "out" / "model.tflite"
    with pytest.raises(ValueError, match="nothing was written"):
        command.main(["--run", str(run), "--out", str(out)])
    assert not out.parent.exists()


def phantom_cases(tmp_path, limit):
    from synergynet_tf.config import ExperimentConfig

    config = ExperimentConfig().replace(
        dataset="phantom", split="official", limit=limit, image_size=SIZE, num_classes=4
    )
    run = tmp_path / "run"
    runs.write_text(run / "config.json", config.to_json())
    runs.write_json(run / "classes.json", phantom.class_names(""))
    runs.write_text(run / runs.BEST_WEIGHTS, "")
    squares.write_history(run, epochs=1)
    return find_cases(runs.Run(run), "train")


@pytest.mark.parametrize("limit", [2, 8])
def test_ranges_are_set_by_training_slices(tmp_path, limit):
    cases = phantom_cases(tmp_path, limit)
    read = []

    class Reader:
        @staticmethod
        def read_case(root, case_id):
            read.append(case_id)
            return phantom.read_case(root, case_id)

    watched = dataclasses.replace(cases, dataset=Reader)
    drawn = tflite.training_images(watched, count=6)
    assert set(read) <= set(cases.case_ids) and len(set(read)) == min(limit, 6)
    assert drawn.shape == (6, SIZE, SIZE, 3) and drawn.dtype == np.float32
    assert 0 <= drawn.min() and drawn.max() <= 1
    np.testing.assert_array_equal(drawn, tflite.training_images(cases, count=6))

    config = cases.config.replace(center_crop=0.5)
    runs.write_text(cases.run.path / "config.json", config.to_json())
    cropped = dataclasses.replace(cases, run=runs.Run(cases.run.path))
    (first, *_) = tflite.training_images(cropped, 6)
    seen = [
        to_network(phantom.read_case("", name).image, "mri", SIZE, center_crop=0.5)
        for name in cases.case_ids
    ]
    assert (np.concatenate(seen) == first).all(axis=(1, 2, 3)).any()


def test_a_file_that_cannot_be_written_leaves_no_card(run, tmp_path, monkeypatch):
    def full(self, content):
        raise OSError("No space left on device")

    monkeypatch.setattr(pathlib.Path, "write_bytes", full)
    flags = ["--run", str(run), "--out", str(tmp_path / "out" / "a.tflite")]
    with pytest.raises(OSError, match="No space"):
        command.main(flags)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_choice_without_a_layer_is_refused():
    tensor = tflite.Tensor(0, "TopKV2", "FLOAT32")
    operators = [
        tflite.Operator("CONV_2D", (), (tensor,)),
        tflite.Operator("TOPK_V2", (tensor,), (tensor,)),
    ]
    with pytest.raises(ValueError, match="names no layer"):
        tflite.spoiled_by_int8(operators)


@pytest.mark.parametrize("ending", [".tflite", ".onnx"])
def test_what_cannot_be_written_is_refused(tmp_path, ending):
    (tmp_path / "file").touch()
    (tmp_path / f"a{ending}").touch()
    (tmp_path / "b.json").touch()
    with pytest.raises(ValueError, match=rf"end in \{ending}"):
        model_file.new_file(tmp_path / "model.h5", ending)
    for name, reason in (("a", "delete it"), ("b", "the card of .*such as b-")):
        with pytest.raises(FileExistsError, match=rf"{name}\..* exists[;,] {reason}"):
            model_file.new_file(tmp_path / f"{name}{ending}", ending)
    with pytest.raises(OSError, match=r"--out: .*name another"):
        model_file.new_file(tmp_path / "file" / f"a{ending}", ending)


def test_int8_without_the_runs_data_is_refused(run, tmp_path):
    flags = ["--run", str(run), "--out", str(tmp_path / "a.tflite")]
    gone = [*flags, "--quantize", "int8", "--data-dir", str(tmp_path / "gone")]
    with pytest.raises(FileNotFoundError, match="gone"):
        command.main(gone)
    assert not (tmp_path / "a.tflite").exists()


def test_data_without_int8_is_refused(capsys):
    with pytest.raises(SystemExit):
        command.parse_args(["--run", "r", "--out", "a.tflite", "--data-dir", "d"])
    assert "only with --quantize int8" in capsys.readouterr().err
