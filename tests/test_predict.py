import functools
import pathlib
import subprocess
import sys

import cv2
import numpy as np
import pytest

from synergynet_tf import metrics, runs
from synergynet_tf.cli import predict
from synergynet_tf.data.datasets import folder
from synergynet_tf.evaluation.postprocess import Postprocessing
from tests.data.trees import write_nifti
from tests.evaluation import squares

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture
def run(tmp_path, monkeypatch):
    return squares.make_run(tmp_path, monkeypatch)


@pytest.fixture
def images(run, tmp_path):
    return tmp_path / "data" / "test" / "images"


@pytest.fixture
def refusal(refused):
    return functools.partial(refused, predict.main)


def test_folder_is_labeled(run, images, tmp_path, capsys):
    output = tmp_path / "out"
    predict.main(["--run", str(run), "--input", str(images), "--output", str(output)])
    assert len(list(output.iterdir())) == 2 * len(squares.CASES) + 1
    assert "labeled 4 images" in capsys.readouterr().out


def test_file_is_labeled_at_its_own_size(run, tmp_path):
    # Four times the network's grid: every second row and column of a block agrees.
    pixels = np.kron(squares.square(8, 16), np.ones((4, 4), np.uint8))
    cv2.imwrite(str(tmp_path / "large.bmp"), pixels)
    output = tmp_path / "out"
    source = str(tmp_path / "large.bmp")
    predict.main(["--run", str(run), "--input", source, "--output", str(output)])
    labels = cv2.imread(str(output / "large.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(labels[:30, :62], pixels[:30, :62])
    assert not labels[34:].any() and not labels[:, 66:].any()
    assert sorted(path.name for path in output.iterdir()) == [
        "large.png",
        "large_overlay.png",
        "summary.csv",
    ]


def test_labels_are_those_that_were_scored(run, images, tmp_path):
    output = tmp_path / "out"
    predict.main(["--run", str(run), "--input", str(images), "--output", str(output)])
    for scored in squares.evaluate(run)["cases"]:
        case = folder.read_case(tmp_path / "data", scored["case_id"])
        stem = scored["case_id"].removeprefix("test/")
        pixels = cv2.imread(str(output / f"{stem}.png"), cv2.IMREAD_UNCHANGED)
        labels = (pixels > 0)[None].astype(np.uint8)
        scores = metrics.score_case(case.label, labels, ("square",), case.spacing_mm)
        expected = [scored["per_class"]["square"][m] for m in ("dsc", "hd95", "nsd")]
        found = [scores["square"][m] for m in ("dsc", "hd95", "nsd")]
        assert [None if np.isnan(value) else value for value in found] == expected


def test_wrong_input_is_refused_before_anything_is_written(
    run, images, tmp_path, refusal
):
    output = tmp_path / "out"

    def refused(source, run=run):
        return refusal("--run", run, "--input", source, "--output", output)

    assert "nowhere" in refused(tmp_path / "nowhere")
    assert "No image files" in refused(images.parent)
    assert "config.json" in refused(images, run=tmp_path)
    assert "--output" in refusal("--run", run, "--input", images)
    damaged = images / "zebra.png"
    damaged.write_bytes((images / "half.png").read_bytes()[:-20])
    assert "zebra.png" in refused(images)
    (run / runs.BEST_WEIGHTS).unlink()
    assert "best.weights.h5" in refused(images)
    assert not output.exists()


def test_the_script_refuses_in_one_line():
    command = [sys.executable, "predict.py", "--run", "r", "--input", "i"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2 and result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ") and "--output" in line


def test_refusals_do_not_wait_for_keras():
    code = "import predict, sys; sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_a_volume_is_refused_by_a_run_on_photographs(run, tmp_path, refusal):
    volume = tmp_path / "scan.nii.gz"
    write_nifti(volume, np.ones((4, 5, 6), np.int16))
    output = tmp_path / "out"
    message = refusal("--run", run, "--input", volume, "--output", output)
    assert "scan.nii.gz is a volume" in message and "image files" in message


def test_options_have_an_effect(run, images, tmp_path, monkeypatch):
    chosen = []

    def record(model, trained, paths, output, options):
        chosen.append(options)
        return [{}]

    monkeypatch.setattr("synergynet_tf.evaluation.label_files.label_files", record)
    command = ["--run", str(run), "--input", str(images), "--output", str(tmp_path)]
    for flags in ([], ["--flips"], ["--largest"]):
        predict.main([*command, *flags])
    assert chosen == [
        Postprocessing(),
        Postprocessing(flips=True),
        Postprocessing(largest=True),
    ]


def test_the_least_confident_are_named(run, images, tmp_path, capsys):
    output = tmp_path / "out"
    predict.main([str(images), "--run", str(run), "--output", str(output)])
    # Of four files; the model finds nothing in two, and is less sure of the smaller.
    (line,) = capsys.readouterr().out.splitlines()[1:]
    assert line == "look first at half.png (0.17), perfect.png (0.17): least confident"


def test_a_run_or_a_model_and_one_input_are_needed(run, images):
    for arguments in ([], [str(images), "--input", str(images)]):
        with pytest.raises(SystemExit):
            predict.parse_args([*arguments, "--run", str(run), "--output", "out"])
