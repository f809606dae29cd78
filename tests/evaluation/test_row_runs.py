import json
import os

import pytest

from synergynet_tf import runs
from synergynet_tf.evaluation.tables.rows import find_row_runs, score_runs
from synergynet_tf.experiments import BUDGETS, TABLES
from tests.evaluation.scored_runs import make_report, write_run

DSC = [0.5, 0.6, 0.7]


def find(folder, table=2, budget="short", dataset="acdc", seeds=None):
    found, notes = find_row_runs(TABLES[table], dataset, BUDGETS[budget], folder, seeds)
    return [str(run) for run in found], notes


def test_runs_are_found_in_the_order_of_rows_and_seeds(tmp_path):
    for row, seed in (("vqunet", 2), ("r50-unet", 10), ("r50-unet", 9)):
        write_run(tmp_path, 2, row, seed=seed)
    write_run(tmp_path, 3, "r50-unet")
    write_run(tmp_path, 2, "r50-unet", budget="smoke")
    names = ["r50-unet seed 9", "r50-unet seed 10", "vqunet seed 2"]
    assert find(tmp_path) == (names, [])
    assert find(tmp_path, seeds=(2, 9))[0] == [names[0], names[2]]
    assert find(tmp_path, budget="paper") == ([], [])
    assert find(tmp_path, table=1, dataset="synapse") == ([], [])


def test_one_run_is_in_several_tables(tmp_path):
    write_run(tmp_path, 5, "1024")
    write_run(tmp_path, 5, "512")
    for table, key in (
        (2, "synergynet-8s2h"),
        (6, "512"),
        (7, "8s2h"),
        (9, "resnet50"),
    ):
        assert find(tmp_path, table)[0] == [f"{key} seed 0"]
    assert find(tmp_path, 5)[0] == ["1024 seed 0", "512 seed 0"]


@pytest.mark.parametrize(
    "change", [{"epochs": 9}, {"learning_rate": 0.1}, {"num_codes": 8}, {"limit": 5}]
)
def test_a_run_of_other_settings_is_named_and_not_used(tmp_path, change):
    run = write_run(tmp_path, 2, "vqunet", **change)
    found, (note,) = find(tmp_path)
    assert found == []
    ((name, value),) = change.items()
    assert str(run) in note and f"{name} {value}" in note


def test_where_and_how_precisely_a_run_was_computed_does_not_matter(tmp_path):
    change = {"data_dir": "there", "precision": "bfloat16", "strategy": "mirrored"}
    write_run(tmp_path, 2, "vqunet", **change)
    assert find(tmp_path) == (["vqunet seed 0"], [])


def test_an_unfinished_run_is_named_and_not_used(tmp_path):
    (write_run(tmp_path, 2, "vqunet") / runs.FINISHED).unlink()
    assert find(tmp_path) == ([], ["vqunet seed 0 is not finished, and left out."])


def test_runs_of_another_split_or_other_weights_do_not_share_the_table(tmp_path):
    write_run(tmp_path, 2, "r50-unet", split="random")
    write_run(tmp_path, 2, "vqunet")
    write_run(tmp_path, 2, "transunet", encoder_weights="a.h5")
    write_run(tmp_path, 2, "synergynet-8s2h")
    found, notes = find(tmp_path)
    assert found == ["vqunet seed 0", "synergynet-8s2h seed 0"]
    assert "r50-unet seed 0" in notes[0] and "split random, not paper" in notes[0]
    assert "transunet seed 0" in notes[1] and "a.h5" in notes[1]


def test_a_center_crop_is_shared_by_all_rows(tmp_path):
    for row in ("vqunet", "synergynet-8s2h"):
        write_run(tmp_path, 2, row, center_crop=0.8)
    assert find(tmp_path) == (["vqunet seed 0", "synergynet-8s2h seed 0"], [])
    write_run(tmp_path, 2, "r50-unet")
    found, (note,) = find(tmp_path)
    assert found == ["vqunet seed 0", "synergynet-8s2h seed 0"]
    assert "r50-unet seed 0" in note and "center_crop 1.0, not 0.8" in note


def test_weights_of_a_transformer_are_compared_where_there_is_one(tmp_path):
    for row in ("r50-unet", "vqunet", "synergynet-8s2h"):
        write_run(tmp_path, 2, row)
    for row, seed, weights in (("r50-vit", 0, "a"), ("transunet", 0, "a")):
        write_run(tmp_path, 2, row, seed=seed, vit_weights=weights)
    assert len(find(tmp_path)[0]) == 5 and find(tmp_path)[1] == []
    write_run(tmp_path, 2, "transunet", seed=1, vit_weights="b")
    found, (note,) = find(tmp_path)
    assert len(found) == 5 and "transunet seed 1" in note and "b, not a" in note


def test_weights_are_the_same_if_their_files_have_one_name(tmp_path):
    write_run(tmp_path, 2, "r50-unet", encoder_weights="/here/lite0.weights.h5")
    write_run(tmp_path, 2, "vqunet", encoder_weights="/there/lite0.weights.h5")
    write_run(tmp_path, 2, "transunet", encoder_weights="/here/other.weights.h5")
    found, (note,) = find(tmp_path)
    assert found == ["r50-unet seed 0", "vqunet seed 0"]
    assert "transunet seed 0" in note and "other.weights.h5, not lite0" in note


def test_each_backbone_has_a_file_of_its_own(tmp_path):
    for row in ("resnet18", "resnet34", "resnet50"):
        write_run(tmp_path, 9, row, encoder_weights=f"{row}.h5")
    write_run(tmp_path, 9, "resnet101")
    found, (note,) = find(tmp_path, 9)
    assert found == ["resnet18 seed 0", "resnet34 seed 0", "resnet50 seed 0"]
    assert "resnet101 seed 0" in note and "none, not a file" in note


@pytest.fixture
def score(tmp_path):
    """Scores the runs of Table 2; returns the scores, what was said and was made."""

    def run(data_dir=None):
        made = []

        def evaluate(run):
            made.append(run.path)
            return make_report(DSC)

        found, _ = find_row_runs(TABLES[2], "acdc", BUDGETS["short"], tmp_path)
        return *score_runs(found, evaluate, data_dir), made

    return run


def test_scores_that_are_there_are_taken_and_others_made(tmp_path, score):
    write_run(tmp_path, 2, "r50-unet", [0.1, 0.2, 0.3])
    new = write_run(tmp_path, 2, "vqunet")
    scores, said, made = score()
    assert made == [new]
    assert said == "scored 1 run, took the scores of 1 as they were"
    assert scores["r50-unet"][0]["strict"]["mean"]["dsc"] == pytest.approx(0.2)


def test_scores_of_other_data_than_that_named_are_made_anew(tmp_path, score):
    run = write_run(tmp_path, 2, "r50-unet", DSC)
    assert score("/data")[2] == []
    _, said, made = score("/there/acdc")
    assert made == [run] and "it was of the data in /data" in said


@pytest.mark.parametrize(
    ("change", "was"),
    [
        ({"split": "val"}, "of the val part"),
        ({"options": {"flips": True, "largest": False}}, "with options"),
        (
            {"cases": [{"case_id": "a", "patient": "b", "per_class": {}}]},
            "of another version",
        ),
        ({"cases": []}, "damaged, or of another version"),
    ],
)
def test_scores_of_another_kind_are_made_anew_and_named(tmp_path, score, change, was):
    run = write_run(tmp_path, 2, "r50-unet")
    runs.write_json(run / "metrics.json", make_report(DSC) | change)
    _, said, made = score()
    assert made == [run]
    assert said.startswith(f"replaced {run}/metrics.json: it was {was}\n")


def test_damaged_scores_are_made_anew(tmp_path, score):
    run = write_run(tmp_path, 2, "r50-unet", DSC)
    (run / "metrics.json").write_text('{"cases": ')
    _, said, made = score()
    assert made == [run] and "it was damaged" in said


def test_scores_of_older_weights_are_made_anew(tmp_path, score):
    run = write_run(tmp_path, 2, "r50-unet", DSC)
    assert score()[2] == []
    later = (run / "metrics.json").stat().st_mtime + 1
    os.utime(run / runs.BEST_WEIGHTS, (later, later))
    assert score()[2] == [run]


def test_runs_scored_on_other_cases_are_refused(tmp_path, score):
    write_run(tmp_path, 2, "r50-unet", DSC)
    other = write_run(tmp_path, 2, "vqunet", DSC)
    report = json.loads((other / "metrics.json").read_text())
    report["cases"].pop()
    (other / "metrics.json").write_text(json.dumps(report))
    with pytest.raises(ValueError, match=r"vqunet.*other cases.*r50-unet"):
        score()
