import math

import pytest

from synergynet_tf.evaluation.tables.rows import (
    STRICT_DSC,
    Cell,
    Column,
    columns_of,
    compare,
    make_cells,
)
from tests.evaluation.scored_runs import make_report

COLUMNS = columns_of("dsc hd95 rv", "transunet") | {"strict": STRICT_DSC}
PAPER = {"dsc": 0.75, "hd95": 3.0, "rv": 0.5}


def test_columns_are_metrics_or_classes():
    assert COLUMNS["hd95"] == Column("transunet", "", "hd95")
    assert COLUMNS["rv"] == Column("transunet", "rv", "dsc")
    assert [column.scale for column in COLUMNS.values()] == [100, 1, 100, 100]


def test_mean_and_deviation_over_seeds_by_hand():
    reports = [make_report([m, m, m]) for m in (0.7, 0.8, 0.9)]
    cells = make_cells(reports, COLUMNS, PAPER)
    # Mean 0.8; deviation sqrt((0.01 + 0 + 0.01) / 2) = 0.1, ten times as much of HD95.
    for name, scale in (("dsc", 1), ("rv", 1), ("strict", 1), ("hd95", 10)):
        assert cells[name].mean == pytest.approx(0.8 * scale)
        assert cells[name].sd == pytest.approx(0.1 * scale)
        # Patients are alike, so that their draw changes nothing.
        assert cells[name].interval == pytest.approx((0.8 * scale, 0.8 * scale))
    assert cells["dsc"].difference == pytest.approx(0.05)
    assert cells["hd95"].difference == pytest.approx(5.0)
    assert cells["strict"].difference is None


def test_one_seed_has_no_deviation():
    assert make_cells([make_report([0.5, 0.5])], COLUMNS, PAPER)["dsc"].sd is None


@pytest.mark.parametrize("dataset", ["acdc", "isic"])
def test_one_patient_has_no_interval(dataset):
    columns = columns_of("dsc", {"acdc": "transunet", "isic": "pooled"}[dataset])
    reports = [make_report([0.5], dataset), make_report([0.7], dataset)]
    cell = make_cells(reports, columns, PAPER)["dsc"]
    assert (cell.mean, cell.interval) == (pytest.approx(0.6), None)


def test_a_row_that_was_not_run_has_the_papers_numbers():
    assert make_cells([], COLUMNS, PAPER)["dsc"] == Cell(paper=0.75)


def test_an_undefined_mean_leaves_the_cell_empty():
    report = make_report([0.5, 0.5])
    report["transunet"] = report["transunet"] | {"mean": {"dsc": None, "hd95": 1.0}}
    cells = make_cells([report, make_report([0.5, 0.5])], COLUMNS, PAPER)
    assert cells["dsc"] == Cell(paper=0.75)
    assert cells["hd95"].mean is not None


def test_every_seed_has_the_same_patients_drawn():
    # What one seed wins with a patient the other loses: their mean is always 0.5, and
    # is not where each seed has draws of its own.
    high, low = make_report([0.9, 0.1, 0.7, 0.3]), make_report([0.1, 0.9, 0.3, 0.7])
    cell = make_cells([high, low], COLUMNS, PAPER)["dsc"]
    assert cell.interval == pytest.approx((0.5, 0.5))
    alone = make_cells([high], COLUMNS, PAPER)["dsc"].interval
    assert alone[0] < 0.4 and alone[1] > 0.6


def test_pooled_intervals_are_of_the_counts():
    columns = columns_of("iou dsc", "pooled")
    report = make_report([0.2, 0.6], dataset="isic")
    cell = make_cells([report], columns, {})["dsc"]
    # Counts of equal weight: the DSC of a resample is its cases' mean, 0.2, 0.4 or 0.6.
    assert cell.interval == pytest.approx((0.2, 0.6))


def test_test_against_the_rival_by_hand():
    theirs = [0.1, 0.2, 0.3, 0.4, 0.5]
    better = [value + step for value, step in zip(theirs, (1, 2, 3, 4, 5), strict=True)]
    mixed = [0.0, 0.4, 0.0, 0.8, 0.0]
    rows = {"them": theirs, "better": better, "mixed": mixed, "same": theirs}
    scores = {row: [make_report(dsc)] for row, dsc in rows.items()}
    found = compare(scores, "them", "transunet")
    assert list(found) == ["better", "mixed", "same"]
    assert found["better"].difference == pytest.approx(3.0)
    # Five of one sign: p = 2 / 2^5, the smallest of three, times 3.
    assert found["better"].p == pytest.approx(3 * 2 / 32)
    assert found["mixed"].difference == pytest.approx(-0.06)
    assert found["same"] == (0.0, 1.0)


def test_seeds_are_averaged_before_the_test():
    scores = {
        "them": [make_report([0.5, 0.5, 0.5])],
        "us": [make_report([0.9, 0.2, 0.6]), make_report([0.1, 0.8, 0.4])],
    }
    (found,) = compare(scores, "them", "transunet").values()
    assert found == (pytest.approx(0.0), 1.0)


def test_cases_with_a_score_in_one_row_alone_are_left_out():
    ours, theirs = make_report([0.6, 0.9]), make_report([0.5, 0.5])
    nothing = {name: {"dsc": None} for name in ("rv", "myo", "lv")}
    theirs["cases"][1]["transunet"] = nothing
    found = compare({"them": [theirs], "us": [ours]}, "them", "transunet")
    assert found["us"].difference == pytest.approx(0.1)
    theirs["cases"][0]["transunet"] = nothing
    found = compare({"them": [theirs], "us": [ours]}, "them", "transunet")
    assert math.isnan(found["us"].difference) and found["us"].p == 1.0


def test_a_structure_that_one_seed_alone_invents_is_left_out():
    theirs = [make_report([0.5, 0.5]), make_report([0.5, 0.5])]
    ours = [make_report([0.0, 0.7]), make_report([math.nan, 0.7])]
    found = compare({"them": theirs, "us": ours}, "them", "strict")
    assert found["us"].difference == pytest.approx(0.2)


def test_without_the_rival_there_is_no_test():
    assert compare({"us": [make_report([0.5])]}, "them", "transunet") == {}
