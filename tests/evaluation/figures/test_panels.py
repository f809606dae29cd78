import dataclasses
import functools

import cv2
import numpy as np
import pytest

from synergynet_tf import runs
from synergynet_tf.cli import figures
from synergynet_tf.evaluation.cases import find_cases
from synergynet_tf.evaluation.figures import panels
from synergynet_tf.evaluation.figures.panels import (
    View,
    draw_heat,
    error_boxes,
    find_slices,
)
from synergynet_tf.models import build_model
from synergynet_tf.models.weights import save_weights
from tests.evaluation import squares


@pytest.fixture
def drawn(monkeypatch):
    """Collects the titles and pixels of each figure that is arranged."""
    figures_ = []
    arrange = panels._arrange

    def record(rows, *room):
        figures_.append(rows)
        return arrange(rows, *room)

    monkeypatch.setattr(panels, "_arrange", record)
    return figures_


@pytest.fixture
def phantom_run(tiny, tmp_path):
    """A real run on one phantom, whose model has learned nothing."""
    config = tiny.replace(name="vqunet", split="random", limit=1)
    run = runs.run_dir(tmp_path / "phantoms", config)
    runs.write_text(run / "config.json", config.to_json())
    squares.write_history(run, epochs=1)
    runs.write_json(run / "classes.json", ["cavity", "wall", "crescent"])
    save_weights(build_model(config.model), run / runs.BEST_WEIGHTS)
    return run


def titles(rows):
    return [[title for _, title in row] for row in rows]


def test_figures_of_two_runs_have_their_panels(phantom_run, tmp_path, drawn, capsys):
    (case_id,) = find_cases(runs.Run(phantom_run), "test").case_ids
    twice = [str(phantom_run)] * 2
    flags = ["--cases", case_id, "--slices", "2", "3", "--out", str(tmp_path / "new")]
    figures.main(["--runs", *twice, *flags])
    outlines, maps = map(titles, drawn)
    assert [row[0].split("\n")[0] for row in outlines] == [
        f"{case_id}, slice {number} of 4" for number in (2, 3)
    ]
    # Both are the same run: only the folder is left to name them.
    assert all(len(row) == 3 and row[1] == row[2] for row in outlines + maps)
    assert outlines[0][1].startswith(f"{phantom_run}\nDSC ")
    # Every class of the reference has a row.
    classes = {row[0].split("\n")[1] for row in maps}
    assert classes == {"cavity", "wall", "crescent"}
    for name in ("delineations.png", "gradcam.png"):
        picture = cv2.imread(str(tmp_path / "new" / name))
        assert picture.shape[1] == round(3 * panels.PANEL_INCHES * 120)
    assert "gradcam.png" in capsys.readouterr().out


def test_median_case_is_that_of_the_scores(squares_run):
    squares.evaluate(squares_run)
    cases = find_cases(runs.Run(squares_run), "test")
    assert figures.median_case(cases) == "test/half"
    with pytest.raises(ValueError, match="not of the val part"):
        figures.median_case(find_cases(runs.Run(squares_run), "val"))
    (squares_run / "metrics.json").unlink()
    with pytest.raises(FileNotFoundError, match="name cases with --cases"):
        figures.median_case(cases)


def test_busiest_slice_unless_a_number_is_given(phantom_run):
    cases = find_cases(runs.Run(phantom_run), "test")
    case = cases.dataset.read_case(cases.root, cases.case_ids[0])
    (busiest,) = find_slices([case], "mri")
    counts = np.count_nonzero(case.label, axis=(1, 2))
    assert counts[busiest.index] == counts.max()
    assert [shown.index for shown in find_slices([case], "mri", [1, 3])] == [0, 2]
    for number in (0, len(case.label) + 1):
        with pytest.raises(ValueError, match=f"Received: --slices {number}"):
            find_slices([case], "mri", [number])


def test_boxes_are_around_regions_and_not_around_outlines():
    true, pred = np.zeros((2, 64, 64), np.uint8)
    true[10:40, 10:40] = 1
    pred[11:40, 10:40] = 1  # One row of the outline.
    assert error_boxes(true, pred) == []
    pred[30:36, 20:30] = 0
    pred[50:54, 50:54] = 2
    assert error_boxes(true, pred) == [(30, 20, 36, 30), (50, 50, 54, 54)]
    pred[::8, :] = 0
    pred[:, :8:2] = 2
    assert len(error_boxes(true, pred)) <= panels.MAX_BOXES


def test_box_is_drawn_around_the_error_in_the_cut_image(drawn, tmp_path, squares_run):
    cases = find_cases(runs.Run(squares_run), "test")
    case = cases.dataset.read_case(cases.root, "test/half")
    slices = find_slices([case], "rgb")
    pred = np.zeros_like(case.label[0])
    pred[:8, :8] = 1
    for labels in (pred, case.label[0]):
        views = [[View(labels, {})]]
        panels.draw_delineations(tmp_path / "a.png", slices, views, ["run"], ["square"])
    (((_, _), (wrong, title)),), (((_, _), (right, perfect)),) = drawn
    assert title == "run\nDSC 0.667" and perfect == "run\nDSC 1.000"
    # Rows and columns 0 to 13 and 0 to 21: the square and its margin.
    assert wrong.shape[:2] == (round(720 * 14 / 22), 720)
    zoom = 720 / 22
    for column in (8 * zoom - 4, 16 * zoom + 4):
        assert (wrong[round(4 * zoom), round(column)] == 255).all()
    assert not (right[round(4 * zoom), round(16 * zoom + 4)] == 255).all()


def test_heat_is_strongest_where_the_map_is():
    canvas = np.full((40, 40, 3), 100, np.uint8)
    map_ = np.zeros((2, 2), np.float32)
    map_[0, 1] = 7
    draw_heat(canvas, map_)
    assert (canvas[30:, :10] == 100).all()
    assert canvas[0, 39, 0] > 200
    before = canvas.copy()
    draw_heat(canvas, np.zeros((2, 2), np.float32))
    assert np.array_equal(canvas, before)


def test_the_map_of_a_center_crop_lies_in_it(phantom_run, monkeypatch):
    config = runs.Run(phantom_run).config.replace(center_crop=0.5)
    runs.write_text(phantom_run / "config.json", config.to_json())
    ones = {1: np.ones((2, 2), np.float32)}
    monkeypatch.setattr(panels, "GradCam", lambda model: lambda image: ones)
    cases = find_cases(runs.Run(phantom_run), "test")
    case = cases.dataset.read_case(cases.root, cases.case_ids[0])
    (view,) = panels.predict_views(cases, find_slices([case], "mri"))
    expected = np.zeros((96, 96), np.float32)
    expected[24:72, 24:72] = 1
    np.testing.assert_array_equal(view.maps[1], expected)
    assert not view.pred_labels[expected == 0].any()


def test_a_class_that_was_not_found_says_so(drawn, tmp_path, squares_run):
    cases = find_cases(runs.Run(squares_run), "test")
    case = cases.dataset.read_case(cases.root, "test/half")
    slices = find_slices([case], "rgb")
    nothing = np.zeros_like(case.label[0])
    views = [
        [View(nothing, {})],
        [View(case.label[0], {1: np.zeros((2, 2), np.float32)})],
        [View(case.label[0], {1: np.ones((2, 2), np.float32)})],
    ]
    path = tmp_path / "a.png"
    panels.draw_gradcams(path, slices, views, ["a", "b", "c"], ["square"])
    assert titles(drawn[0]) == [
        [
            "test/half\nsquare",
            "a\nDSC 0.000, not found",
            "b\nDSC 1.000, nowhere above 0",
            "c\nDSC 1.000",
        ]
    ]


def test_names_are_no_formulas(tmp_path, squares_run):
    cases = find_cases(runs.Run(squares_run), "test")
    case = cases.dataset.read_case(cases.root, "test/half")
    slices = find_slices([dataclasses.replace(case, case_id=r"a$\foo$")], "rgb")
    views = [[View(case.label[0], {1: np.ones((2, 2), np.float32)})]]
    for draw in (panels.draw_delineations, panels.draw_gradcams):
        path = tmp_path / f"{draw.__name__}.png"
        draw(path, slices, views, ["runs/$5_and_$6"], [r"$\square$ and $\bar$"])
        assert cv2.imread(str(path)) is not None


def test_slices_without_a_class_are_refused_before_anything_is_drawn(
    tmp_path, squares_run, monkeypatch
):
    def predict_nothing(cases, slices):
        return [View(np.zeros_like(shown.true_labels), {}) for shown in slices]

    monkeypatch.setattr(panels, "predict_views", predict_nothing)
    out = tmp_path / "out"
    flags = ["--runs", str(squares_run), "--out", str(out), "--cases", "test/nothing"]
    with pytest.raises(ValueError, match="no Grad-CAM to draw"):
        figures.main(flags)
    assert not out.exists()
    # One slice with a class is enough.
    figures.main([*flags, "test/half"])
    drawn = sorted(path.name for path in out.iterdir())
    assert drawn == ["delineations.png", "gradcam.png"]


def test_runs_are_named_as_briefly_as_they_differ(squares_run, tmp_path):
    others = [
        squares.write_run(tmp_path / "runs", tmp_path / "data", *named)
        for named in (("vqunet", 0), ("r50-unet", 1))
    ]
    folders = [squares_run, *others]
    cases = [find_cases(runs.Run(run), "test") for run in folders]
    assert figures.run_names(cases[:2]) == ["r50-unet", "vqunet"]
    names = ["r50-unet seed 0", "vqunet seed 0", "r50-unet seed 1"]
    assert figures.run_names(cases) == names
    twin = squares.write_run(tmp_path / "twin", tmp_path / "data")
    cases = [cases[0], find_cases(runs.Run(twin), "test")]
    assert figures.run_names(cases) == [str(squares_run), str(twin)]


def test_wrong_input_is_refused_in_one_line(
    squares_run, phantom_run, tmp_path, refused
):
    refusal = functools.partial(refused, figures.main)
    out = ("--out", tmp_path / "out")
    assert "--out" in refusal("--runs", squares_run)
    assert "metrics.json" not in refusal("--runs", tmp_path, *out)
    assert "--cases" in refusal("--runs", squares_run, *out)
    line = refusal("--runs", squares_run, "--cases", "lost", *out)
    assert "lost is not in the test part" in line and "test/half" in line
    assert "side by side" in refusal("--runs", squares_run, phantom_run, *out)
    assert not (tmp_path / "out").exists()
