import dataclasses
import json

import cv2
import numpy as np
import pytest

from synergynet_tf import runs
from synergynet_tf.cli import codes as code_maps
from synergynet_tf.evaluation.cases import find_cases
from synergynet_tf.evaluation.codes import analysis
from synergynet_tf.evaluation.codes.analysis import format_report
from synergynet_tf.evaluation.codes.model import read_inputs
from synergynet_tf.evaluation.codes.plots import code_color, draw_map
from synergynet_tf.evaluation.report.codes import read_codes
from tests.evaluation import squares
from tests.evaluation.codes import coded_squares
from tests.evaluation.codes.coded_squares import draw, make_case


def make_run(folder, monkeypatch, model, attention=False):
    """Writes a run on white squares, whose model is the one of known codes."""
    build = coded_squares.build_model
    monkeypatch.setattr(analysis, "load_run_model", lambda run: build(attention))
    data = squares.write_data(folder / "data")
    return squares.write_run(folder / "runs", data, model)


def write_maps(run, out, *flags):
    flags = ["--run", str(run), "--out", str(out), "--split", "test", *flags]
    code_maps.main(flags)
    return json.loads((out / "codes.json").read_text())


def test_images_and_labels_are_cropped_alike(tmp_path, monkeypatch):
    run = make_run(tmp_path, monkeypatch, "vqunet")
    config = runs.Run(run).config.replace(modality="mri", center_crop=0.5)
    runs.write_text(run / "config.json", config.to_json())
    cases = find_cases(runs.Run(run), "test")
    case = cases.dataset.read_case(cases.root, cases.case_ids[0])
    label = np.zeros_like(case.label)
    label[:, :20, :12] = 1
    image = 255 * label[..., None].astype(np.float32)
    case = dataclasses.replace(case, image=image, label=label)
    monkeypatch.setattr(cases.dataset, "read_case", lambda root, case_id: case)
    ((_, images, labels),) = read_inputs(cases, [case.case_id])
    # Rows and columns 8 to 23 of 32, twice as large.
    assert labels[0, :24, :8].all() and labels.sum() == 24 * 8
    np.testing.assert_array_equal(images[..., 0] > 0.5, labels)


def test_everything_of_synergynet(tmp_path, monkeypatch, capsys):
    run = make_run(tmp_path, monkeypatch, "synergynet-2s2h", attention=True)
    report = write_maps(run, tmp_path / "out", "--swap", "0", "2")
    assert (report["num_cases"], report["num_slices"], report["grid"]) == (4, 4, [4, 4])
    assert report["data_dir"] == str(tmp_path / "data")
    assert (report["model"], report["split"], report["stride"]) == (
        "synergynet-2s2h",
        "test",
        8,
    )
    # `half` and `perfect` have a white square each, `missed` a black one of a quarter.
    assert [(e["code"], e["uses"]) for e in report["codes"]] == [(0, 62), (2, 2)]
    assert report["codes"][1]["classes"] == {"background": 0.0, "square": 1.0}
    assert report["disconx"]["tokens"] == report["refinement"]["tokens"] == 16
    effects = report["counterfactuals"]
    # White, 2 of the references' 3.25 squares, becomes gray, black does as well.
    assert [e["code"] for e in effects["switched_off"]] == [0, 2]
    assert effects["switched_off"][0]["changed_pixels"] == 62 * 64
    assert effects["swapped"][0]["changed_pixels"] == 64 * 64
    assert effects["dsc"] == pytest.approx(2 * 2 / (2 + 3.25))
    assert [e["part"] for e in report["ablations"]] == ["codes"]
    kinds = [figure["kind"] for figure in report["figures"]]
    assert kinds == ["sheet", *["map", "attention"] * 3, "edit", "edit"]
    for figure in report["figures"]:
        picture = cv2.imread(str(tmp_path / "out" / figure["file"]))
        assert min(picture.shape[:2]) >= 200
    # Best, median and worst of the three with a square.
    shown = [f["case_id"] for f in report["figures"] if f["kind"] == "map"]
    assert shown == ["test/perfect", "test/half", "test/missed"]
    printed = capsys.readouterr().out
    assert "2 of 1024 codes" in printed and "of 16 tokens" in printed
    assert (
        "averaged over positions" in printed
        and "0 <-> 2" in printed
        and f"wrote {tmp_path}/out/codes.json" in printed
    )


def test_the_run_has_it_where_its_report_looks(tmp_path, monkeypatch, capsys):
    run = make_run(tmp_path, monkeypatch, "vqunet")
    code_maps.main(["--run", str(run), "--split", "test"])
    assert read_codes(runs.Run(run))["used"] == 2
    assert f"wrote {run}/codes/codes.json" in capsys.readouterr().out


def test_chosen_cases_of_vqunet(tmp_path, monkeypatch, capsys):
    run = make_run(tmp_path, monkeypatch, "vqunet")
    flags = ("--cases", "test/half", "--slice", "1", "--codes", "1")
    report = write_maps(run, tmp_path / "out", *flags)
    assert report["disconx"] is None and report["refinement"] is None
    assert [e["code"] for e in report["counterfactuals"]["switched_off"]] == [0]
    assert report["alone"] == []
    files = {figure["file"] for figure in report["figures"]}
    assert {"map_test-half_1.png", "typical_patches.png"} < files
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == files | {"codes.json"}
    printed = capsys.readouterr().out
    assert "disconx: not in this method" in printed
    # It has no fusion.
    assert "alone" not in printed
    change = {"dsc_change": -0.125, "dsc_change_interval": [-0.5, 0.25]}
    report["alone"] = [{"term": "codes", "dsc": 0.75, **change}]
    *_, head, line = format_report(report).splitlines()
    assert head.split() == "a term of the fusion alone DSC above all averaged".split()
    assert line.split() == ["codes", "0.750", "-0.1250", "[-0.5000,", "+0.2500]"]


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (("--cases", "nobody"), "nobody is not among the 4 cases"),
        (("--swap", "3", "3"), "two different codes below 1024.*Received: 3 3"),
        (("--swap", "3", "1024"), "Received: 3 1024"),
        (("--query", "0", "2"), "--query must be below 2"),
        (("--cases", "test/half", "--slice", "2"), "--slice must be at most 1"),
    ],
)
def test_refuses_what_is_not_there(tmp_path, monkeypatch, flags, line):
    run = make_run(tmp_path, monkeypatch, "vqunet")
    with pytest.raises(ValueError, match=line):
        write_maps(run, tmp_path / "out", *flags)
    assert not (tmp_path / "out").exists()


def test_refuses_a_folder_that_cannot_be_written_before_it_looks(tmp_path, monkeypatch):
    run = make_run(tmp_path, monkeypatch, "vqunet")
    monkeypatch.delattr(analysis, "load_run_model")
    (tmp_path / "file").write_text("")
    with pytest.raises(PermissionError, match=r"--out: .*file/out cannot be written"):
        write_maps(run, tmp_path / "file" / "out")


def test_refuses_a_method_without_a_codebook(tmp_path, monkeypatch):
    run = make_run(tmp_path, monkeypatch, "r50-unet")
    with pytest.raises(ValueError, match="no codebook; pass a run of vqunet, trans"):
        write_maps(run, tmp_path / "out")


@pytest.mark.parametrize("flag", ["--codes", "--slice"])
def test_refuses_numbers_below_one(flag, capsys):
    with pytest.raises(SystemExit):
        code_maps.parse_args(["--run", "a", "--out", "b", flag, "0"])
    assert f"{flag} must be at least 1. Received: 0" in capsys.readouterr().err


def test_a_code_keeps_its_color():
    colors = [code_color(code) for code in range(64)]
    assert len({tuple(np.round(color, 2)) for color in colors}) == 64
    grid = np.zeros((4, 4))
    grid[0, 0] = 1
    entries = [
        {"code": code, "majority": "x", "classes": {"x": 1.0}} for code in (0, 2)
    ]
    blank = np.zeros((2, 32, 32), np.uint8)
    _, case = make_case(draw(grid, 1 - grid), blank)
    first, second = (draw_map(case, index, entries, "") for index in (0, 1))
    # In the legends' patches, which nothing covers.
    for picture in (first, second):
        for code in (0, 2):
            color = np.rint(255 * np.array(code_color(code)))
            near = np.abs(picture[:, -260:].astype(int) - color).max(axis=-1) <= 1
            assert near.sum() > 50


def test_names_are_no_formulas():
    name = r"a$\foo$"
    entries = [{"code": 0, "majority": name, "classes": {name: 1.0}}]
    _, case = make_case(draw(np.zeros((4, 4))), np.zeros((1, 32, 32), np.uint8))
    picture = draw_map(case, 0, entries, "$5_and_$6.png")
    # In the legend it is text on the paper.
    assert (picture[:, -260:] == 255).all(axis=-1).any()
