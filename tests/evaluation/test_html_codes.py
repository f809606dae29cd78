import json
import os

import pytest

from synergynet_tf import runs
from synergynet_tf.evaluation.codes.interventions import PARTS, TERMS
from synergynet_tf.evaluation.report.codes import TERM_WORDS, WORDS
from synergynet_tf.evaluation.report.page import write_html_report
from synergynet_tf.evaluation.report.slices import NAME
from tests.evaluation.page import read_page
from tests.evaluation.reported_runs import GRID, write_codes, write_run


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path)


def test_codes_are_shown_if_they_were_looked_into(run):
    assert not read_page(run)[0].all("select")[1:]
    write_codes(run)
    page, _ = read_page(run)
    grid = [code for row in GRID for code in row]
    squares = [int(square["data-code"]) for square in page.all("rect") if "x" in square]
    assert squares == 3 * grid
    data = json.loads(page.blocks["code-data"])
    # The most used first: 10, 4, 1 and 1 of 16.
    assert data["codes"][:2] == [7, 5] and sorted(data["codes"][2:]) == [0, 9]
    assert data["texts"][0].startswith("Code 7: 62.50 % of the positions, in 5 of 5")
    unlisted = "Code {} is not used on the 5 cases that were looked into"
    assert data["unlisted"] == unlisted
    _, *rows = page.table("The 4 most used codes")
    stored = json.loads((run / "codes/codes.json").read_text())["codes"]
    for row, entry in zip(rows, stored, strict=True):
        assert row[0] == str(entry["code"])
        assert row[3:] == [f"{100 * share:.2f}" for share in entry["classes"].values()]


def test_codes_lie_where_the_network_looked(run):
    write_codes(run)
    slices = json.loads((run / NAME).read_text())
    # Right of the left quarter, half as wide and as tall as the picture: a picture
    # has room for 8 x 8 positions, and 2 of them are left of the first.
    slices["best"]["codes_box"] = [0.25, 0, 0.5, 0.5]
    runs.write_json(run / NAME, slices)
    page, _ = read_page(run)
    found = [
        layer["viewbox"]
        for layer in page.all("svg")
        if "positions" in layer.get("class", "")
    ]
    assert found == ["-2 0 8 8", "0 0 4 4", "0 0 4 4"]
    for box in ([0, 0, 0, 1], [0, 0, 1], [0, 0, 1, "x"], [-1, 0, 1, 1], None):
        slices["best"]["codes_box"] = box
        runs.write_json(run / NAME, slices)
        with pytest.raises(ValueError, match="'codes_box' must be"):
            write_html_report(runs.Run(run))


def test_slices_of_before_have_codes_all_over(run):
    write_codes(run)
    slices = json.loads((run / NAME).read_text())
    for part in slices.values():
        del part["codes_box"]
    runs.write_json(run / NAME, slices)
    page, _ = read_page(run)
    assert len([svg for svg in page.all("svg") if svg.get("viewbox") == "0 0 4 4"]) == 3


def test_what_hangs_on_the_codes_is_shown(run):
    write_codes(run)
    page, _ = read_page(run)
    _, row = page.table("The prediction without a part of the bottleneck")
    assert row == [
        "queries of DisConX, which are codes",
        "50.00",
        "+1.00 [+0.00, +2.00]",
    ]
    head, *rows = page.table("What each term of the fusion contributes alone")
    assert head[2].startswith("above all averaged: DSC, points")
    assert rows == [
        ["codes", "50.00", "+12.50 [-25.00, +37.50]"],
        ["DisConX", "-", "-"],
    ]
    _, *rows = page.table("The prediction without a code: the 2")
    assert rows == [
        ["5", "40", "25.00", "-12.50 [-25.00, +50.00]"],
        ["7", "100", "0.00", "-"],
    ]
    head, *rows = page.table("What the attention does")
    assert head == ["mean over slices and heads", "value", "of tokens"]
    # Bits and shares are not of tokens.
    assert [row[1:] for row in rows] == [
        ["3.25", "16"],
        ["1.50", ""],
        ["4.00", "16"],
        ["0.12", ""],
    ]
    assert any("the whole model is 75.00 %" in text for text in page.texts)


def test_codes_of_a_method_without_attention_are_shown(run):
    write_codes(run)
    path = run / "codes/codes.json"
    codes = json.loads(path.read_text()) | {"disconx": None, "refinement": None}
    runs.write_json(path, codes)
    page, text = read_page(run)
    assert page.table("The prediction without a part") and "attention does" not in text


@pytest.mark.parametrize("alone", [None, []])
def test_codes_without_terms_alone_are_shown(run, alone):
    """Files of before there were any have none, nor have methods without a fusion."""
    write_codes(run)
    path = run / "codes/codes.json"
    codes = json.loads(path.read_text()) | {"alone": alone}
    if alone is None:
        del codes["alone"]
    runs.write_json(path, codes)
    page, text = read_page(run)
    assert (
        page.table("The prediction without a part") and "contributes alone" not in text
    )


def test_every_part_and_term_has_words():
    assert list(WORDS) == list(PARTS)
    assert list(TERM_WORDS) == list(TERMS)


def test_codes_of_other_weights_are_left_out(run):
    write_codes(run)
    os.utime(run / "codes/codes.json", (0, 0))
    assert not read_page(run)[0].all("select")[1:]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda codes: codes["codes"][1]["classes"].pop("lv"), "'classes' must be"),
        (lambda codes: codes.pop("ablations"), "'ablations'"),
        (lambda codes: codes.update(ablations={}), "'ablations' must be a list"),
        (
            lambda codes: codes["counterfactuals"].update(switched_off={}),
            "'switched_off' must be a list",
        ),
        (lambda codes: codes["ablations"][0].update(part="x"), "'part' must be one of"),
        (lambda codes: codes.update(alone={}), "'alone' must be a list"),
        (lambda codes: codes["alone"][0].update(term="x"), "'term' must be one of"),
        (lambda codes: codes["alone"][0].update(dsc="x"), "'dsc' must be a number"),
        (lambda codes: codes["alone"][0].pop("dsc_change"), "'dsc_change'"),
        (lambda codes: codes["disconx"].update(tokens="x"), "must be numbers"),
    ],
)
def test_damaged_codes_are_refused(run, damage, said):
    write_codes(run)
    codes = json.loads((run / "codes/codes.json").read_text())
    damage(codes)
    runs.write_json(run / "codes/codes.json", codes)
    with pytest.raises(ValueError, match=rf"codes.json is damaged \(.*{said}"):
        write_html_report(runs.Run(run))
