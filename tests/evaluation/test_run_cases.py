import pathlib

import pytest

from synergynet_tf import runs
from synergynet_tf.data.datasets import folder
from synergynet_tf.evaluation import cases, evaluate
from synergynet_tf.evaluation.cases import find_cases


def test_cases_of_a_run(squares_run, tmp_path):
    found = find_cases(runs.Run(squares_run), "test")
    assert found.class_names == ("square",)
    assert found.root == tmp_path / "data"
    assert len(found.case_ids) == 4
    # A photograph is its own patient.
    assert found.patients == {case_id: case_id for case_id in found.case_ids}


def test_run_without_weights_is_refused(squares_run):
    (squares_run / runs.BEST_WEIGHTS).unlink()
    with pytest.raises(FileNotFoundError, match=r"best\.weights\.h5"):
        find_cases(runs.Run(squares_run), "test")


def test_missing_data_is_refused(squares_run, tmp_path):
    with pytest.raises((FileNotFoundError, ValueError), match="nowhere"):
        find_cases(runs.Run(squares_run), "test", tmp_path / "nowhere")


def test_other_classes_are_refused(squares_run):
    runs.write_json(squares_run / "classes.json", ["circle"])
    with pytest.raises(ValueError, match=r"circle, but .* square; .*--data-dir"):
        find_cases(runs.Run(squares_run), "test")


def test_patients_are_the_dataset_s(squares_run, tmp_path, monkeypatch):
    ids = folder.case_ids(tmp_path / "data")
    owners = {i: "one" if i.startswith("test/") else i for i in ids}
    monkeypatch.setattr(folder, "patients", lambda root: owners)
    assert set(find_cases(runs.Run(squares_run), "test").patients.values()) == {"one"}


SPLIT = {
    "train": ["train/half"],
    "val": ["train/perfect"],
    "test": ["test/half", "test/perfect"],
}


def test_the_split_is_the_one_that_the_run_was_begun_with(squares_run):
    runs.write_json(squares_run / runs.SPLIT, SPLIT)
    data = {"unused": ["test/missed"], "crc32": {}}
    runs.write_json(squares_run / runs.DATA, data)
    for part, expected in SPLIT.items():
        found = find_cases(runs.Run(squares_run), part)
        assert found.case_ids == expected
        # `missed` was there and unused from the start; `nothing` is new.
        (note,) = found.notes
        assert note.endswith("that were added since are not used: test/nothing")


def test_without_a_record_of_them_all_unused_cases_are_named(squares_run):
    runs.write_json(squares_run / runs.SPLIT, SPLIT)
    (note,) = find_cases(runs.Run(squares_run), "test").notes
    assert note.endswith("in no part of it are not used: test/missed, test/nothing")


def test_cases_that_are_gone_are_named(squares_run):
    gone = [f"test/{number:02d}" for number in range(12)]
    runs.write_json(squares_run / runs.SPLIT, SPLIT | {"test": ["test/half", *gone]})
    named = f"{', '.join(gone[:10])}, and 2 more"
    with pytest.raises(FileNotFoundError, match=f"12 of the 13 test .*: {named}; put"):
        find_cases(runs.Run(squares_run), "test")
    # For another part that is no reason to stop.
    found = find_cases(runs.Run(squares_run), "val")
    assert found.case_ids == ["train/perfect"]
    assert "lacks 12 of the 13 test cases" in found.notes[0]


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", '{"train": [], "val": []}', '{"train": 1, "val": [], "test": []}'),
        '{"train": [1], "val": [], "test": []}',
        '{"train": ["a"], "val": ["a"], "test": []}',
    ],
)
def test_a_damaged_split_is_refused(squares_run, text):
    (squares_run / runs.SPLIT).write_text(text)
    with pytest.raises(ValueError, match=r"split\.json is damaged: .*--force"):
        find_cases(runs.Run(squares_run), "test")


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", '{"unused": []}', '{"unused": 1, "crc32": {}}'),
        '{"unused": [], "crc32": {"test": [1]}}',
        '{"unused": [], "crc32": {"train": ["1"]}}',
    ],
)
def test_a_damaged_record_of_the_data_is_refused(squares_run, text):
    runs.write_json(squares_run / runs.SPLIT, SPLIT)
    (squares_run / runs.DATA).write_text(text)
    with pytest.raises(ValueError, match=r"data\.json is damaged: .*delete it"):
        find_cases(runs.Run(squares_run), "test")


def test_a_run_of_before_is_split_again_and_that_is_said(squares_run):
    (note,) = find_cases(runs.Run(squares_run), "test").notes
    assert "seed0 has no split.json: its cases are drawn again" in note


def test_every_command_that_finds_cases_says_how_they_have_changed():
    package = pathlib.Path(cases.__file__).parents[1]
    callers = [
        path
        for path in (*package.rglob("*.py"), *package.parent.glob("studies/*.py"))
        if "evaluation.cases import" in path.read_text("utf-8")
        and "find_cases(" in path.read_text("utf-8")
    ]
    names = {path.stem for path in callers}
    assert names == {
        "calibrate",
        "codes",
        "evaluate",
        "figures",
        "parity",
        "tables",
        "tflite",
    }
    for path in callers:
        text = path.read_text("utf-8")
        # `evaluate_run` does it itself.
        assert "say_notes(" in text or "evaluate_run(" in text, path
    assert "say_notes([cases])" in pathlib.Path(evaluate.__file__).read_text("utf-8")
