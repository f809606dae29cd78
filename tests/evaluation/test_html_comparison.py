"""The report of a comparison: its numbers, its pictures, and that it stands alone."""

import base64
import json
import re

import cv2
import nibabel
import numpy as np
import pytest

from synergynet_tf.cli import compare
from synergynet_tf.evaluation.report.forest import Difference, forest_plot
from tests.data.trees import write_png
from tests.evaluation.page import Page, check_read_aloud

SHAPE = (24, 20, 6)
HOSTILE = "<script>alert(1)</script>"
CASES = ("case1", "case2", "case10", "none")


def cube(stop, value=1, rows=slice(4, 14)):
    labels = np.zeros(SHAPE, np.uint8)
    labels[4:stop, rows, 1:4] = value
    return labels


def save(folder, name, labels):
    folder.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(labels, np.diag([1.0, 1.0, 2.0, 1.0]))
    nibabel.save(image, folder / f"{name}.nii.gz")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two classes; the second prediction misses one and has a false one."""
    root = tmp_path_factory.mktemp("compared")
    second = slice(15, 19)
    for i, name in enumerate(CASES):
        there = name != "none"
        save(root / "reference", name, there * (cube(16) + cube(16, 2, second)))
        save(root / "one", name, there * (cube(15) + cube(16, 2, second)))
        mine = there * cube(10 + 2 * i)
        save(root / "two", name, mine + (i == 1) * cube(16, 2, second))
    save(root / "two", "none", cube(6))
    voxels = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    save(root / "scans", "case1_0000", voxels)
    return root


def run(folders, out, *flags, names=("one", HOSTILE)):
    places = dict(zip(names, ("one", "two"), strict=False))
    arguments = ["--reference", folders / "reference", "--out", out, "--workers", 0]
    arguments += ["--classes", "liver=1", f"{HOSTILE}=2", *flags, "--predictions"]
    arguments += [f"{name}={folders / place}" for name, place in places.items()]
    compare.main(list(map(str, arguments)))
    text = (out / "report.html").read_text("utf-8")
    return Page(text), text, json.loads((out / "comparison.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def written(folders, tmp_path_factory):
    flags = ("--lesions", "any", "--images", folders / "scans")
    return run(folders, tmp_path_factory.mktemp("out"), *flags)


def test_means_and_both_intervals_are_those_of_comparison_json(written):
    page, _, report = written
    head, *rows = page.table("strict, mean of cases")
    own = report["predictions"][1]
    by_name = {row[0]: row[1:] for row in rows}
    cells = by_name[f"{HOSTILE}, mean of classes"]
    means, bca = own["strict"], own["bca"]["strict"]["mean_interval"]
    for metric, cell in zip(report["ranks"]["strict"], cells, strict=True):
        scale = 1 if metric == "hd95" else 100
        ends = [
            "[{:.2f}, {:.2f}]".format(*(scale * end for end in interval[metric]))
            for interval in (means["mean_interval"], bca)
        ]
        mean = f"{scale * means['mean'][metric]:.2f}"
        assert cell == f"{mean} {ends[0]} BCa {ends[1]}"
    assert head[1:3] == ["DSC %", "HD95 mm"]


def test_differences_are_a_table_and_a_forest_plot(written):
    page, text, report = written
    own = report["differences"][0]["strict"]["mean"]["dsc"]
    shown = f"{100 * own['difference']:+.2f}"
    _, first, *_ = page.table(f"{HOSTILE} minus one, strict")
    assert first[0] == "mean of classes, DSC points"
    assert first[1].startswith(f"{shown} [") and " BCa [" in first[1]
    titles = re.findall(r'<title id="(forest-[^"]*)"', text)
    assert titles == [
        "forest-strict-dsc-title",
        "forest-strict-hd95-title",
        "forest-lesions-lesion_f1-title",
    ]
    assert f"mean of classes {shown};" in text


def test_a_forest_plot_by_hand():
    rows = [Difference("a", 2.0, (-2.0, 4.0)), Difference("b" * 40, -4.0, (None, 1.0))]
    plot = forest_plot("id", "DSC", "points", "better to the right", rows)
    # From -4 to 4 and a margin: ticks from -6 to 6, between 200 and 430.
    assert [label for _, label in plot["ticks"]] == [
        "-6",
        "-4",
        "-2",
        "0",
        "2",
        "4",
        "6",
    ]
    assert plot["zero"] == "315.0"
    one, other = plot["rows"]
    assert one["x"] == f"{200 + 8 / 12 * 230:.1f}"
    assert one["ends"] == [f"{200 + 4 / 12 * 230:.1f}", f"{200 + 10 / 12 * 230:.1f}"]
    assert other["ends"] is None and len(other["name"]) == 30
    assert forest_plot("id", "DSC", "points", "", []) is None


def pictures(page):
    found = []
    for attributes in page.all("img"):
        kind, _, data = attributes["src"].partition(",")
        assert kind == "data:image/png;base64"
        pixels = np.frombuffer(base64.b64decode(data), np.uint8)
        found.append((attributes["alt"], cv2.imdecode(pixels, cv2.IMREAD_COLOR)))
    return found


def test_cases_that_differ_most_stand_side_by_side(written):
    page, text, _ = written
    found = pictures(page)
    # Three cases of two predictions. In `none` one is right and the other is not.
    cases = [alt.rpartition(" ")[2] for alt, _ in found]
    assert len(found) == 6 and cases[0::2] == cases[1::2]
    assert cases[0] == "none"
    assert text.count("; there is no image of it") == 4
    by_case = {case: found[2 * i : 2 * i + 2] for i, case in enumerate(cases[0::2])}
    (_, one), (_, two) = by_case["none"]
    # Of an image without label maps nothing is left but the background.
    assert not one.any() and two.any()
    (_, one), (_, two) = by_case["case1"]
    assert (one != two).any() and (one > 0).mean() > 0.8


def test_missed_and_false_structures_are_named(written):
    page, _, _ = written
    _, *rows = page.table("Which cases")
    assert rows == [
        ["case1", HOSTILE, HOSTILE, "missed"],
        ["case10", HOSTILE, HOSTILE, "missed"],
        ["none", HOSTILE, "liver", "false"],
    ]
    _, *counts = page.table("In how many cases")
    assert counts[2] == [f"{HOSTILE}, liver", "0", "1", "0"]


def test_lesions_are_counted_and_the_missed_ones_listed(written):
    page, _, report = written
    total = report["predictions"][1]["lesions"]["total"]["liver"]
    assert total["detected"] == 3 and total["false"] == 1
    found = {row[0]: row[1:] for row in page.table("Counts of lesions, overlap any")}
    assert found[f"{HOSTILE}, liver"] == ["3", "3", "0", "-", "-", "4", "3", "1"]
    # 12 x 4 x 3 voxels.
    assert found[f"{HOSTILE}, {HOSTILE}"][:5] == ["3", "1", "2", "144", "144"]
    assert page.table("Missed lesions by size")[1] == [
        "case1",
        HOSTILE,
        HOSTILE,
        "144",
    ]


def test_every_case_is_a_row_of_each_prediction(written):
    page, _, report = written
    _, *rows = page.table("4 cases")
    assert [row[0] for row in rows] == ["case1", "case10", "case2", "none"]
    data = json.loads(page.blocks["case-data"])["classes"]
    assert len(data) == 6  # The mean and two classes, twice.
    for index, own in enumerate(report["predictions"]):
        liver = data[3 * index + 1]["values"]
        for case, values in zip(own["cases"], liver, strict=True):
            dsc = case["strict"]["liver"]["dsc"]
            assert values[0] == (None if dsc is None else round(100 * dsc, 2))
    assert data[3]["found"][3] == "1 false"
    assert data[0]["found"][3] == "nothing to find"


def test_the_page_needs_nothing_else_and_names_are_text(written):
    page, text, _ = written
    assert "://" not in text and "@import" not in text and "url(" not in text
    assert HOSTILE not in text
    assert len(page.all("script")) == 2
    (policy,) = [m["content"] for m in page.all("meta") if "http-equiv" in m]
    assert policy.startswith("default-src 'none'; img-src data:")
    assert not any("style" in attributes for _, attributes in page.tags)


def test_the_page_can_be_read_aloud(written):
    page, _, _ = written
    ids = check_read_aloud(page)
    assert {a["href"][1:] for a in page.all("a")} <= ids


def test_scans_of_itk_are_shown_as_those_of_nifti(folders, written, tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    (tmp_path / "scans").mkdir()
    scan = sitk.ReadImage(str(folders / "scans/case1_0000.nii.gz"))
    sitk.WriteImage(scan, str(tmp_path / "scans/case1.mha"))
    page, *_ = run(folders, tmp_path / "out", "--images", tmp_path / "scans")
    for (_, one), (_, other) in zip(pictures(page), pictures(written[0]), strict=True):
        np.testing.assert_array_equal(one, other)


def test_one_prediction_has_no_differences(folders, tmp_path):
    page, text, _ = run(folders, tmp_path / "out", names=("one",))
    assert page.all("img") == [] and 'id="differences"' not in text
    assert 'id="lesions"' not in text


def test_images_that_do_not_fit_are_refused(folders, tmp_path):
    with pytest.raises(FileNotFoundError, match="No folder"):
        run(folders, tmp_path / "out", "--images", tmp_path / "nowhere")
    assert not (tmp_path / "out").exists()
    save(tmp_path / "scans", "none", np.zeros((4, 4, 4), np.float32))
    with pytest.raises(ValueError, match=r"none\.nii\.gz has the shape \(4, 4, 4\)"):
        run(folders, tmp_path / "out", "--images", tmp_path / "scans")
    # Before anything is scored.
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("size", [(8, 8), (16, 16)])
def test_pictures_of_another_size_are_refused_before_the_scoring(size, tmp_path):
    for folder in ("reference", "one"):
        write_png(tmp_path / folder / "a.png", np.full((8, 8), 1, np.uint8))
    write_png(tmp_path / "images" / "a.png", np.full(size, 9, np.uint8))
    flags = ("--images", tmp_path / "images")
    if size == (8, 8):
        run(tmp_path, tmp_path / "out", *flags, names=("one",))
        return
    with pytest.raises(ValueError, match=r"a\.png has the shape \(1, 16, 16\)"):
        run(tmp_path, tmp_path / "out", *flags, names=("one",))
    (tmp_path / "images" / "a.png").write_bytes(b"\x89PNG")
    with pytest.raises(ValueError, match=r"a\.png is not a readable image"):
        run(tmp_path, tmp_path / "out", *flags, names=("one",))
    assert not (tmp_path / "out").exists()
