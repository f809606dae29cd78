import dataclasses
import json
import os
import types

import pytest

from synergynet_tf import runs
from synergynet_tf.evaluation import scores
from synergynet_tf.evaluation.report.context import cases_context
from synergynet_tf.evaluation.scores import Scores, fresh_scores, rank, read_scores
from synergynet_tf.formats import METRIC_NAMES
from synergynet_tf.metrics import METRICS, PROTOCOLS
from synergynet_tf.metrics.protocols import Metric
from synergynet_tf.runs import Run
from tests.evaluation.scored_runs import make_report

REPORT = make_report((0.5, 0.75))


def test_a_report_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(REPORT))
    read = read_scores(Run(tmp_path))
    assert read.to_json() == REPORT
    assert list(read.to_json())[:2] == ["dataset", "data_dir"]
    assert Scores.from_json(read.to_json()) == read


def test_a_folder_may_have_any_name():
    for name in ("/home/u/My\xa0Data", "/mnt/\u533b\u7528\u3000\u753b\u50cf", "a\nb"):
        assert Scores.from_json({**REPORT, "data_dir": name}).data_dir == name


@pytest.mark.parametrize("known", [True, False, None])
def test_distances_are_in_pixels_where_files_have_no_spacing(known):
    """`None`: the reader does not say, so it hangs on what the intensities are."""
    cases = types.SimpleNamespace(dataset=types.SimpleNamespace(), root="data")
    if known is not None:
        cases.dataset.has_spacing = lambda root: known and root == "data"
    for modality, unit in (("ct", "mm"), ("rgb", "px")):
        cases.preprocessor = types.SimpleNamespace(modality=modality)
        expected = unit if known is None else {True: "mm", False: "px"}[known]
        assert scores._distance_unit(cases) == expected


def test_scores_of_before_a_metric_was_added_are_read(monkeypatch):
    monkeypatch.setitem(METRICS, "kappa", Metric("fraction", +1))
    monkeypatch.setitem(METRIC_NAMES, "kappa", ("KAPPA", "Cohen's kappa"))
    assert Scores.from_json(REPORT).to_json() == REPORT
    with_it = json.loads(json.dumps(REPORT))
    for block in (with_it, *(with_it[p] for p in PROTOCOLS if p in with_it)):
        block["mean"]["kappa"] = block["mean"]["dsc"]
        block["mean_interval"]["kappa"] = block["mean_interval"]["dsc"]
        for name, values in block["per_class"].items():
            values["kappa"] = values["dsc"]
            block["per_class_interval"][name]["kappa"] = [0.1, 0.9]
    for case in with_it["cases"]:
        for block in (case["per_class"], *(case[p] for p in PROTOCOLS if p in case)):
            for values in block.values():
                values["kappa"] = 0.25
    assert Scores.from_json(with_it).blocks["strict"]["mean"]["kappa"] == 0.625
    columns = cases_context(with_it)["columns"]
    assert columns[-1]["name"] == "KAPPA"
    assert columns[-1]["explained"] == "Cohen's kappa"


def set_(*keys, value):
    def change(report):
        for key in keys[:-1]:
            report = report[key]
        report[keys[-1]] = value

    return change


def drop(*keys):
    def change(report):
        for key in keys[:-1]:
            report = report[key]
        del report[keys[-1]]

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (set_("dataset", value=7), "'dataset' must be text"),
        (set_("dataset", value="\x1b[0m"), "'dataset' must be text"),
        (set_("seed", value=True), "'seed' must be a whole number"),
        (set_("options", value=[]), "'options' must be an object"),
        (set_("options", "flips", value=1), "option' must be true or false"),
        (set_("cases", value=[]), "'cases' must be a list"),
        (set_("cases", 1, value=None), "'a case' must be an object"),
        (drop("cases", 1, "patient"), "'patient of a case' must be text"),
        (drop("cases", 1, "strict"), "'case case1' must be of .* as the first"),
        (drop("cases", 1, "strict", "lv"), "'strict of case case1' must be of"),
        (drop("cases", 0, "strict", "lv", "dsc"), "lv' must be scores"),
        (set_("cases", 0, "strict", "lv", "dsc", value="1"), "numbers or null"),
        (set_("cases", 0, "strict", "lv", "x", value=1), "lv' must be scores"),
        (set_("cases", 0, "counts", "lv", value=[1, 2]), "four numbers"),
        (drop("strict", "mean"), "'strict' must be the mean and each class's"),
        (set_("transunet", "mean", value={}), "mean' must be scores"),
        (set_("transunet", "per_class", "rv", value=0), "rv' must be scores"),
    ],
)
def test_what_was_never_written_is_refused(change, reason, tmp_path):
    # By way of JSON, because the report has one object in several places.
    report = json.loads(json.dumps(REPORT))
    change(report)
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(report))
    with pytest.raises(
        ValueError, match=rf"{reason}.*; score it with synergynet evaluate"
    ):
        read_scores(Run(tmp_path))


@pytest.mark.parametrize(
    "change",
    [
        drop("fold"),
        drop("strict"),
        drop("strict", "mean_interval"),
        drop("bootstrap", "resamples"),
        drop("structures", "rv", "false"),
        drop("cases", 0, "counts"),
        set_("protocol", value="pooled"),
        set_("codes", value={}),
    ],
)
def test_what_another_version_did_not_write_is_said_to_be_missing(change, tmp_path):
    report = json.loads(json.dumps(REPORT))
    change(report)
    runs.write_json(tmp_path / "metrics.json", report)
    runs.write_text(tmp_path / runs.BEST_WEIGHTS, "")
    os.utime(tmp_path / runs.BEST_WEIGHTS, (1, 1))
    with pytest.raises(ValueError, match=r"is of another version \(there is no '"):
        read_scores(Run(tmp_path))
    assert fresh_scores(Run(tmp_path)) == (None, "of another version")


def test_fresh_scores_are_those_of_the_weights(tmp_path):
    assert fresh_scores(Run(tmp_path)) == (None, "")
    with pytest.raises(
        FileNotFoundError, match=r"No metrics\.json .*synergynet evaluate --run"
    ):
        read_scores(Run(tmp_path))
    runs.write_json(tmp_path / "metrics.json", REPORT)
    runs.write_text(tmp_path / runs.BEST_WEIGHTS, "")
    os.utime(tmp_path / runs.BEST_WEIGHTS, (1, 1))
    assert fresh_scores(Run(tmp_path)) == (Scores.from_json(REPORT), "")
    os.utime(tmp_path / "metrics.json", (0, 0))
    assert fresh_scores(Run(tmp_path)) == (None, "older than the weights")


def test_hashes_tell_more_than_times(tmp_path):
    """SHA-256 of `abc` is ba7816bf..., from FIPS 180-4's examples."""
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    report = REPORT | {"weights_sha256": digest}
    runs.write_json(tmp_path / "metrics.json", report)
    (tmp_path / runs.BEST_WEIGHTS).write_text("abc")
    os.utime(tmp_path / "metrics.json", (0, 0))
    scores, reason = fresh_scores(Run(tmp_path))
    assert scores is not None and reason == ""
    assert scores.to_json() == report
    (tmp_path / runs.BEST_WEIGHTS).write_text("abd")
    os.utime(tmp_path / runs.BEST_WEIGHTS, (0, 0))
    stale = None, "of other weights than the run's"
    assert fresh_scores(Run(tmp_path)) == stale
    # What training has written last tells what the weights are, without reading them.
    runs.write_json(tmp_path / runs.FINISHED, {runs.WEIGHTS_SHA256: digest})
    assert fresh_scores(Run(tmp_path)) == (scores, "")
    runs.write_json(tmp_path / runs.FINISHED, {runs.WEIGHTS_SHA256: "0" * 64})
    assert fresh_scores(Run(tmp_path)) == stale


def test_scores_are_asked_for_parts_cases_and_a_title():
    report = json.loads(json.dumps(make_report((0.5, 0.25, 0.0, 1.0))))
    for by_class in report["cases"][2]["strict"].values():
        by_class["dsc"] = None
    scores = Scores.from_json(report)
    assert scores.block("transunet") is scores.blocks["transunet"]
    assert scores.case("case1")["patient"] == "patient1"
    assert scores.dsc["case1"] == 0.25
    assert scores.ranked() == {"best": "case3", "median": "case0", "worst": "case1"}
    assert scores.title() == (
        "acdc, paper split, test part: 4 cases of 4 patients, 224 px, 150 epochs"
    )
    options = {"flips": True, "largest": True}
    other = dataclasses.replace(scores, fold="1/5", limit=4, options=options)
    assert other.title() == (
        "acdc, paper split, fold 1/5, test part: 4 cases of 4 patients (--limit 4), "
        "224 px, 150 epochs, with flips, largest"
    )


def test_of_one_case_all_places_are_that_one():
    assert rank({"a": 0.5}) == {"best": "a", "median": "a", "worst": "a"}
    assert rank({"a": float("nan")}) == rank({}) == {}
