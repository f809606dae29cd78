import csv
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import keras
import numpy as np
import pytest

from synergynet_tf import errors, runs
from synergynet_tf.cli import onnx, predict, saved_model, tflite
from synergynet_tf.config import ExperimentConfig
from synergynet_tf.export import exported_model
from synergynet_tf.export.card import CARD_FILE, FORMAT
from synergynet_tf.training import fit
from tests.evaluation import squares

pytest.importorskip("ai_edge_litert.interpreter")
pytest.importorskip("tf2onnx")
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow exports"
)

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path, monkeypatch):
    return squares.make_run(tmp_path, monkeypatch)


# What writes a file, by its ending.
COMMANDS = {".tflite": tflite, ".onnx": onnx}
each_ending = pytest.mark.parametrize("ending", COMMANDS)


def export_file(run, out):
    COMMANDS[out.suffix].main(["--run", str(run), "--out", str(out)])
    return out


def export_folder(run, out):
    saved_model.main(["--run", str(run), "--out", str(out)])
    return out


def label(source, *flags):
    """Labels files; returns what was written, by name."""
    with tempfile.TemporaryDirectory() as output:
        command = [*flags, "--input", source, "--output", output]
        predict.main([str(word) for word in command])
        return {path.name: path.read_bytes() for path in pathlib.Path(output).iterdir()}


@pytest.mark.parametrize(
    ("crop", "options"), [(1.0, []), (1.0, ["--flips", "--largest"]), (0.8, [])]
)
def test_exported_models_label_as_their_run(run, tmp_path, crop, options):
    images = tmp_path / "data" / "test" / "images"
    expected = label(images, "--run", run, *options)
    if crop < 1:
        whole = expected
        config = runs.Run(run).config.replace(modality="mri", center_crop=crop)
        runs.write_text(run / "config.json", config.to_json())
        expected = label(images, "--run", run, *options)
        assert expected["half.png"] != whole["half.png"]
    for ending in COMMANDS:
        file = export_file(run, tmp_path / f"of{ending[1:]}{ending}")
        assert label(images, "--model", file, *options) == expected
    folder = export_folder(run, tmp_path / "exported")
    for path in (folder, folder / "1"):
        assert label(images, "--model", path, *options) == expected


def run_light(*arguments):
    """Runs the command where only the light core is installed."""
    code = """
import sys
heavy = "tensorflow", "keras", "keras_hub", "h5py", "tensorboard", "jax", "grpc"
sys.modules.update(dict.fromkeys((*heavy, "onnx", "tf2onnx")))
sys.argv = ["synergynet", *sys.argv[1:]]
from synergynet_tf.cli.synergynet import main
main()
"""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


@each_ending
def test_a_light_install_predicts_with_an_exported_file(run, tmp_path, ending):
    images = tmp_path / "data" / "test" / "images"
    expected = label(images, "--run", run)
    file = export_file(run, tmp_path / f"model{ending}")
    out = tmp_path / "out"
    flags = "--model", file, "--input", images, "--output", out
    done = run_light("predict", *flags)
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_bytes() for path in out.iterdir()} == expected


def test_a_light_install_says_which_extra_is_missing(run, tmp_path):
    images = tmp_path / "data" / "test" / "images"
    flags = "--run", run, "--input", images, "--output", tmp_path / "out"
    done = run_light("predict", *flags)
    *notes, line = done.stderr.splitlines()
    assert done.returncode == 2 and all(note.startswith("note: ") for note in notes)
    assert line.startswith("error: this needs ")
    assert line.endswith("pip install 'synergynet-tf[train]'")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "source", "classes", "counted"),
    [
        ("isic2017", "ISIC-2017_Validation_Data/*.jpg", 1, "_pixels"),
        ("acdc", "training/patient002/patient002_frame01.nii.gz", 4, "_voxels"),
    ],
)
def test_a_trained_run_s_labels_of_real_images(
    dataset, source, classes, counted, tiny, tmp_path, real_data
):
    config = tiny.replace(
        dataset=dataset.removesuffix("2017"),
        data_dir=str(real_data / dataset),
        split="official" if classes == 1 else "paper",
        num_classes=classes,
        epochs=2,
    )
    run = tmp_path / "run"
    fit(config, run)
    source = min((real_data / dataset).glob(source), key=lambda p: p.stat().st_size)
    expected = label(source, "--run", run)
    table = csv_row(expected.pop("summary.csv"))
    for model in (
        *(export_file(run, tmp_path / f"of{e[1:]}{e}") for e in COMMANDS),
        export_folder(run, tmp_path / "exported"),
    ):
        found = label(source, "--model", model)
        # Labels are the same; a confidence is of logits, which kernels round.
        assert csv_row(found.pop("summary.csv")) == pytest.approx(table, rel=1e-6)
        assert found == expected
    counts = [value for name, value in table.items() if name.endswith(counted)]
    assert any(counts)  # Not background alone.


def csv_row(data):
    """Reads the one row of a table, but for the file's name, as numbers."""
    (row,) = csv.DictReader(data.decode().splitlines())
    return {k: float(v) for k, v in row.items() if k != "file" and v}


def test_the_highest_version_is_taken(tmp_path):
    card = {"format": FORMAT, "classes": ["a"]}
    card["config"] = json.loads(ExperimentConfig().to_json())
    for version in ("2", "10", "11", "notes"):
        runs.write_json(tmp_path / version / CARD_FILE, card)
        if version != "11":  # Which is being written.
            (tmp_path / version / "saved_model.pb").touch()
    assert exported_model.find_exported(tmp_path).path == tmp_path / "10"
    folder = tmp_path / "2"
    assert exported_model.find_exported(folder).path == folder


def test_what_is_no_exported_model_is_refused(run, tmp_path):
    file = export_file(run, tmp_path / "model.tflite")
    other = file.with_name("other.tflite")
    other.write_bytes(file.read_bytes())
    with pytest.raises(FileNotFoundError, match=r"No model card .*other\.json"):
        exported_model.find_exported(other)
    with pytest.raises(FileNotFoundError, match=r"No file or folder .*nowhere"):
        exported_model.find_exported(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"model\.json is no \.tflite or \.onnx f"):
        exported_model.find_exported(file.with_suffix(".json"))
    with pytest.raises(ValueError, match="is no SavedModel"):
        exported_model.find_exported(tmp_path / "data")


@each_ending
def test_a_card_of_another_model_is_refused(run, tmp_path, ending):
    file = export_file(run, tmp_path / f"model{ending}")
    content = file.read_bytes()
    file.write_bytes(content[:-100])
    with pytest.raises(ValueError, match=rf"model\{ending} is damaged, or not the m"):
        exported_model.find_exported(file).open()
    file.write_bytes(content)
    exported_model.find_exported(file).open()

    card = json.loads(file.with_suffix(".json").read_text())
    card["config"]["model"]["image_size"] = 64
    runs.write_json(file.with_suffix(".json"), card)
    with pytest.raises(ValueError, match="not the model that its card"):
        exported_model.find_exported(file).open()
    folder = export_folder(run, tmp_path / "exported") / "1"
    runs.write_json(folder / CARD_FILE, card)
    with pytest.raises(ValueError, match="not the model that its card"):
        exported_model.find_exported(folder).open()


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.9])
def test_a_truncated_file_is_refused_by_the_interpreter(run, tmp_path, keep):
    content = export_file(run, tmp_path / "model.tflite").read_bytes()
    end = keep if isinstance(keep, int) else int(keep * len(content))
    with pytest.raises(ValueError, match="interpreter refuses"):
        exported_model.TFLiteModel(content[:end])


def test_a_truncated_file_is_refused_by_onnxruntime(run, tmp_path):
    content = export_file(run, tmp_path / "model.onnx").read_bytes()
    for end in (0, 10, len(content) // 2, int(0.9 * len(content))):
        with pytest.raises(ValueError, match=r"onnxruntime refuses the \.onnx file"):
            exported_model.OnnxModel(content[:end])


@each_ending
def test_a_damaged_file_of_its_card_is_refused_by_name(run, tmp_path, ending):
    file = export_file(run, tmp_path / f"model{ending}")
    file.write_bytes(file.read_bytes()[:-500])
    card = json.loads(file.with_suffix(".json").read_text())
    card[ending[1:]]["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    file.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match=rf"refuses {file}: "):
        exported_model.find_exported(file).open()


@each_ending
def test_a_model_that_cannot_run_is_refused_by_name(run, tmp_path, ending):
    model = exported_model.find_exported(
        export_file(run, tmp_path / f"model{ending}")
    ).open()
    with pytest.raises(ValueError, match=rf"refuses {tmp_path}/model{ending}: "):
        model.answer(np.zeros((1, 2, 2, 3), np.float32))


def test_a_file_under_the_other_ending_is_refused(run, tmp_path):
    file = export_file(run, tmp_path / "model.tflite")
    other = file.rename(tmp_path / "model.onnx")
    with pytest.raises(ValueError, match=r"model\.onnx is damaged, or not the model"):
        exported_model.find_exported(other).open()


def test_what_is_no_file_is_not_opened(run, tmp_path):
    file = export_file(run, tmp_path / "model.tflite")
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(OSError, match=r"model\.tflite is no file, but a pipe"):
        exported_model.find_exported(file).open()


@pytest.mark.parametrize("error", [TypeError, AttributeError, RecursionError])
def test_whatever_tensorflow_says_of_a_file_names_it(tmp_path, monkeypatch, error):
    def fail(*_):
        raise error("of a foreign file")

    monkeypatch.setattr("tensorflow.saved_model.load", fail)
    with pytest.raises(ValueError, match=rf"^{tmp_path} cannot be loaded: of a f"):
        exported_model.SavedModel(tmp_path)


def test_a_damaged_saved_model_is_refused(run, tmp_path):
    folder = export_folder(run, tmp_path / "exported") / "1"
    (folder / "saved_model.pb").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"exported/1 cannot be loaded"):
        exported_model.find_exported(folder).open()


def test_a_missing_interpreter_is_named(run, tmp_path, monkeypatch):
    file = export_file(run, tmp_path / "model.tflite")
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ImportError, match=r"ai-edge-litert.*requirements\.txt"):
        exported_model.find_exported(file).open()


def test_a_missing_onnxruntime_names_the_extra(run, tmp_path, monkeypatch):
    file = export_file(run, tmp_path / "model.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError) as caught:
        exported_model.find_exported(file).open()
    assert errors.message(caught.value) == (
        "this needs onnxruntime, which is not installed: "
        "pip install 'synergynet-tf[onnx]'"
    )


@each_ending
def test_a_file_is_labeled_without_keras_and_tensorflow(run, tmp_path, ending):
    file = export_file(run, tmp_path / f"model{ending}")
    images, output = tmp_path / "data" / "test" / "images", tmp_path / "out"
    flags = [f"--model={file}", f"--input={images}", f"--output={output}"]
    code = (
        f"import sys, predict; predict.main({flags}); "
        "sys.exit('keras' in sys.modules or 'tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert (output / "summary.csv").exists()


def test_one_model_is_named(tmp_path, capsys):
    for source in ([], ["--run", "r", "--model", "m"]):
        with pytest.raises(SystemExit):
            predict.parse_args([*source, "--input", "i", "--output", "o"])
        error = capsys.readouterr().err
        assert "--run" in error and "--model" in error
