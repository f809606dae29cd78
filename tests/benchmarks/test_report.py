import json

import pytest

from benchmarks import report, steps
from benchmarks.worker import ROOT
from tests.benchmarks.results import everything_run, nothing_run, row


def lines_of(text, start):
    return [line for line in text.splitlines() if line.startswith(start)]


def test_the_machine_is_named():
    text = report.render(everything_run())
    assert "Some CPU, 2 cores (avx2, avx512_bf16), Linux." in text
    # What is not installed has no version.
    assert "Python 3.11.7, tensorflow 2.21.0, torch 2.14.1." in text
    assert "Commit 0123456789ab; 224 pixels, 7 rounds, 20 minutes." in text


def test_a_row_of_a_group():
    text = report.render(everything_run())
    # 8 images of 30 GFLOP in 0.9 s, 267 GFLOP/s, are 67 % of 400.
    expected = "| r50-unet | 900 | 0.90 (0.80 to 1.00) | 267 | 67% | 1,234 |"
    assert expected in text.splitlines()
    assert "| SMP Unet-R50, eager | 1,000 | 1 | 288 | 72% | 1,234 |" in text


def test_a_table_for_each_group_and_part():
    titles = lines_of(report.render(everything_run()), "### ")
    assert titles == [
        "### Targets",
        "### One matrix product",
        "### Training step, bfloat16, batch 8",
        "### Prediction, float32, batch 8",
        "### Exports of synergynet-8s2h, batch 1",
        "### Start-up",
        "### Data",
        "### Surface distances",
    ]


def test_targets_say_met_missed_or_not_measured():
    text = report.render(everything_run())
    name = f"transunet, train, bfloat16, batch 8: time in that of {steps.PEER}"
    assert f"| {name} | at most 2.55 | 3.00 | **missed** |" in text
    assert (
        "| HD95 of a liver: times as fast as medpy | at least 40 | 50.00 | met |"
        in (text)
    )
    assert (
        "| second start on a prepared store: to the first training step | at most "
        in (text)
    )
    assert "15 s | 12.34 s | met |" in text
    lines = lines_of(report.render(nothing_run()), "| ")
    assert all(line.endswith("| - | not measured |") for line in lines[1:])


def test_without_the_peer_it_is_said():
    results = everything_run()
    results["settings"]["peers"] = False
    results["steps"]["rows"] = [row("r50-unet", "train", "float32", 8, 2.0)]
    text = report.render(results)
    assert f"**Without {steps.PEER}**" in text
    assert "| r50-unet | 2,000 | - |" in text


def test_what_was_left_out_is_said():
    results = everything_run()
    results["steps"]["failed"] = ["SMP Unet-R50, compiled: no compiler"]
    assert "Left out: SMP Unet-R50, compiled: no compiler." in report.render(results)


def test_a_page_keeps_what_is_around_the_marks(tmp_path):
    page = tmp_path / "speed.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    for text in ("first\n", "second\n"):
        report.replace(page, text)
    expected = f"before\n{report.BEGIN}\n\nsecond\n\n{report.END}\nafter\n"
    assert page.read_text() == expected


@pytest.mark.parametrize("text", ["", report.BEGIN, report.END])
def test_a_page_without_marks_is_refused(tmp_path, text):
    page = tmp_path / "speed.md"
    page.write_text(text)
    with pytest.raises(ValueError, match=r"speed\.md must hold the lines"):
        report.replace(page, "text")
    assert page.read_text() == text


def test_the_numbers_of_the_documentation_are_those_of_its_run():
    page = (ROOT / "docs" / "speed.md").read_text("utf-8")
    run = ROOT / "docs" / "results" / "speed.json"
    text = ""  # No run, no number.
    if run.is_file():
        text = f"\n{report.render(json.loads(run.read_text('utf-8')))}"
    assert f"{report.BEGIN}\n{text}\n{report.END}" in page
