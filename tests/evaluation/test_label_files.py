import csv
import math

import cv2
import numpy as np
import pytest

from synergynet_tf.data.preprocess import Preprocessor
from synergynet_tf.evaluation import label_files
from synergynet_tf.evaluation.inputs import find_inputs
from tests.data.trees import write_png
from tests.evaluation import squares


@pytest.fixture
def output(squares_run, tmp_path):
    images = tmp_path / "data" / "test" / "images"
    squares.label(squares_run, sorted(images.iterdir()), tmp_path / "out")
    return tmp_path / "out"


def test_label_maps_have_the_images_pixels(output):
    for name, (size, _) in squares.CASES.items():
        labels = cv2.imread(str(output / f"{name}.png"), cv2.IMREAD_UNCHANGED)
        assert labels.dtype == np.uint8
        assert np.array_equal(labels, squares.square(*size))


def test_every_image_has_an_overlay_and_nothing_is_left_over(output):
    names = {path.name for path in output.iterdir()}
    overlays = {f"{name}_overlay.png" for name in squares.CASES}
    maps = {f"{name}.png" for name in squares.CASES}
    assert names == overlays | maps | {"summary.csv"}
    assert cv2.imread(str(output / "half_overlay.png")).shape[0] >= 512


def test_summary_by_hand(output):
    with open(output / "summary.csv") as file:
        rows = {row.pop("file"): row for row in csv.DictReader(file)}
    assert list(rows) == [f"{name}.png" for name in sorted(squares.CASES)]
    # 64 pixels of a logit of 0.5, all others of -0.5.
    white, black = 1 / (1 + math.exp(-0.5)), 1 / (1 + math.exp(0.5))
    dice = 2 * 64 * white / (64 + 64 * white + (1024 - 64) * black)
    confidence = float(rows["half.png"].pop("square_confidence"))
    assert confidence == pytest.approx(dice, rel=1e-6)
    assert rows["missed.png"]["square_confidence"] == ""
    assert rows["half.png"] == {
        "rows": "32",
        "columns": "32",
        "square_pixels": "64",
        "square_share": "0.0625",  # 64 of 1,024
    }


def test_what_was_labeled_before_a_failure_can_be_labeled_again(squares_run, tmp_path):
    images = tmp_path / "data" / "test" / "images"
    paths = sorted(images.iterdir())
    whole = paths[1].read_bytes()
    paths[1].write_bytes(whole[:50])
    with pytest.raises(ValueError, match=paths[1].name):
        squares.label(squares_run, paths, tmp_path / "out")
    with open(tmp_path / "out" / "summary.csv") as file:
        assert [row["file"] for row in csv.DictReader(file)] == [paths[0].name]
    paths[1].write_bytes(whole)
    found = find_inputs(images, tmp_path / "out", Preprocessor("rgb", 16))
    assert found == paths


def test_what_a_killed_process_wrote_can_be_labeled_again(tmp_path, monkeypatch):
    source, out = tmp_path / "in" / "a.png", tmp_path / "out"
    write_png(source, squares.square(8, 8))
    found = []

    def write(output, *_):
        write_png(output / "a.png", squares.square(8, 8))
        # A process that is killed here leaves the folder as a next call finds it now.
        found.append(find_inputs(source, out, Preprocessor("rgb", 16)))
        return {"file": "a.png", "rows": 32}

    monkeypatch.setattr(label_files, "write_result", write)
    label_files.write_results(out, [None], "rgb")
    assert found == [[source]]
    assert (out / "summary.csv").read_text() == "file,rows\na.png,32\n"


def test_calls_one_after_the_other_share_a_table(squares_run, tmp_path):
    images = tmp_path / "data" / "test" / "images"
    out = tmp_path / "out"

    def table():
        with open(out / "summary.csv") as file:
            return list(csv.DictReader(file))

    for path in sorted(images.iterdir()):
        squares.label(squares_run, [path], out)
    apart = table()
    assert [row["file"] for row in apart] == [p.name for p in sorted(images.iterdir())]
    squares.label(squares_run, sorted(images.iterdir()), out)
    assert table() == apart
    # A row without a label map is of nothing, and one of other columns is no row here.
    (out / "half.png").unlink()
    squares.label(squares_run, [images / "perfect.png"], out)
    assert {row["file"] for row in table()} == {r["file"] for r in apart} - {"half.png"}
    (out / "summary.csv").write_text("file,rows,columns,other\nmissed.png,1,1,1\n")
    squares.label(squares_run, [images / "perfect.png"], out)
    assert [row["file"] for row in table()] == ["perfect.png"]
