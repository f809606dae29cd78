import pytest

from synergynet_tf import runs
from synergynet_tf.data.datasets import folder
from synergynet_tf.evaluation.cases import find_cases


def test_cases_of_a_run(squares_run, tmp_path):
    cases = find_cases(runs.Run(squares_run), "test")
    assert cases.class_names == ("square",)
    assert cases.root == tmp_path / "data"
    assert len(cases.case_ids) == 4
    # A photograph is its own patient.
    assert cases.patients == {case_id: case_id for case_id in cases.case_ids}


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
