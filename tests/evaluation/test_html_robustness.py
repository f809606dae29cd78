import json

import pytest

from synergynet_tf import runs
from synergynet_tf.cli import evaluate
from synergynet_tf.evaluation.report.page import write_html_report
from tests.evaluation.page import Page, read_page, shown


def test_robustness_is_shown_if_it_was_tried(squares_run):
    flags = ["--run", str(squares_run)]
    evaluate.main([*flags, "--corrupt"])
    evaluate.main([*flags, "--report", "--workers", "0"])
    page = Page((squares_run / "report.html").read_text("utf-8"))
    report = json.loads((squares_run / "corruption.json").read_text())
    _, *rows = page.table("DSC in %, protocol strict")
    cells = [cell for row in rows for cell in row[1:]]
    assert len(rows) == 5 and len(cells) == 25
    for cell, row in zip(cells, report["rows"][1:], strict=True):
        low, high = (shown("dsc", end) for end in row["interval"])
        dsc, parameter = shown("dsc", row["dsc"]), row["parameter"]
        assert cell == f"{dsc} [{low}, {high}] {parameter:g}"
    assert page.table("DSC in %, protocol strict, test part: mean over 4 cases of 4 p")
    path = squares_run / "corruption.json"
    runs.write_json(path, report | {"options": {"flips": True, "largest": True}})
    page, _ = read_page(squares_run)
    assert page.table("DSC in %, protocol strict, test part, with flips, largest: mean")
    for damage in ({"protocol": 1}, {"options": []}, {"options": {"flips": "no"}}):
        runs.write_json(path, report | damage)
        (named,) = damage
        with pytest.raises(ValueError, match=rf"corruption.json is damaged .*{named}"):
            write_html_report(runs.Run(squares_run))
