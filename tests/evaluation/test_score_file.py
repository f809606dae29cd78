import json

import pytest

from synergynet_tf.evaluation.score_file import read_report
from tests.evaluation.scored_runs import make_report

REPORT = make_report((0.5, 0.75))


def test_a_report_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(REPORT))
    assert read_report(path) == REPORT


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
    with pytest.raises(ValueError, match=reason):
        read_report(path)
