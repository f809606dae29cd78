import shutil

import pytest

from synergynet_tf import runs
from synergynet_tf.evaluation.inputs import find_cases, find_images


@pytest.fixture
def images(squares_run, tmp_path):
    return tmp_path / "data" / "test" / "images"


def test_cases_of_a_run(squares_run, tmp_path):
    cases = find_cases(squares_run, "test")
    assert cases.class_names == ("square",)
    assert cases.root == tmp_path / "data"
    assert len(cases.case_ids) == 4


def test_run_without_weights_is_refused(squares_run):
    (squares_run / runs.BEST_WEIGHTS).unlink()
    with pytest.raises(FileNotFoundError, match=r"best\.weights\.h5"):
        find_cases(squares_run, "test")


def test_missing_data_is_refused(squares_run, tmp_path):
    with pytest.raises((FileNotFoundError, ValueError), match="nowhere"):
        find_cases(squares_run, "test", tmp_path / "nowhere")


def test_other_classes_are_refused(squares_run):
    runs.write_json(squares_run / "classes.json", ["square", "circle"])
    with pytest.raises(ValueError, match=r"square, circle.*--data-dir"):
        find_cases(squares_run, "test")


def test_folder_and_file(images, tmp_path):
    assert [path.stem for path in find_images(images, tmp_path / "out")] == [
        "half",
        "missed",
        "nothing",
        "perfect",
    ]
    one = images / "half.png"
    assert find_images(one, tmp_path / "out") == [one]


def test_wrong_inputs_are_refused(images, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    shutil.copy(images / "half.png", images / "half.jpg")
    for source, output, message in (
        ("nowhere", "out", "No file or folder .*nowhere"),
        ("empty", "out", r"No image files \(.jpg .*--input"),
        (images, "out", "half.png"),  # two images of one name
        (images / "half.png", "file", "is a file; .*--output"),
        (images / "half.png", images, "would replace"),
        ("file", "out", "file is not a readable image"),
    ):
        with pytest.raises((FileNotFoundError, ValueError), match=message):
            find_images(tmp_path / source, tmp_path / output)
    assert not (tmp_path / "out").exists()
