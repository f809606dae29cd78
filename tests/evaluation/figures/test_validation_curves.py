import cv2
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from synergynet_tf import runs
from synergynet_tf.cli import figures
from synergynet_tf.config import RECIPES, ExperimentConfig
from synergynet_tf.evaluation.figures import curves
from synergynet_tf.evaluation.figures.overlays import LINE_COLORS
from tests.test_evaluate import ROOT

PILOT = ROOT / "docs" / "results" / "recipe-pilot"


def write_run(folder, val_dsc, **settings):
    """Writes what draws a curve, and nothing else."""
    config = ExperimentConfig().replace(**settings)
    rows = [
        {"epoch": epoch, "loss": 0.5, "val_loss": 0.6, "dsc": 0.9, "val_dsc": dsc}
        for epoch, dsc in enumerate(val_dsc, start=1)
    ]
    runs.write_csv(folder / runs.HISTORY, rows)
    runs.write_text(folder / runs.CONFIG, config.to_json())
    return str(folder)


def labels(*changes):
    configs = [ExperimentConfig().replace(**settings) for settings in changes]
    return curves.curve_labels([f"run {i}" for i in range(len(changes))], configs)


def test_validation_dsc_of_runs_without_weights(tmp_path, monkeypatch, capsys):
    drawn = []
    subplots = Figure.subplots
    monkeypatch.setattr(
        Figure, "subplots", lambda *args: drawn.append(subplots(*args)) or drawn[-1]
    )
    one = write_run(tmp_path / "one", [0.5, 0.625, 0.75])
    two = write_run(tmp_path / "two", [0.25], seed=1)
    out = tmp_path / "new" / "curves.png"
    figures.main(["--curves", one, two, "--out", str(out)])
    assert capsys.readouterr().out == f"wrote {out}\n"
    (axes,) = drawn
    first, second = axes.get_lines()
    np.testing.assert_array_equal(first.get_xydata(), [[1, 50], [2, 62.5], [3, 75]])
    # A single epoch is a marker.
    np.testing.assert_array_equal(second.get_xydata(), [[1, 25]])
    assert second.get_marker() == "o"
    assert [line.get_label() for line in axes.get_lines()] == ["seed 0", "seed 1"]
    picture = cv2.imread(str(out))[..., ::-1]
    for color in LINE_COLORS[:2]:
        assert (picture == np.round(255 * np.array(to_rgb(color)))).all(axis=-1).any()


def test_curves_of_the_recipe_pilot(tmp_path):
    folders = sorted(map(str, PILOT.iterdir()))
    figures.main(["--curves", *folders, "--out", str(tmp_path / "a.png")])
    assert (tmp_path / "a.png").is_file()
    configs = [runs.Run(folder).config for folder in folders]
    assert curves.curve_labels(folders, configs) == [
        f"recipe {recipe}, dataset {dataset}"
        for dataset in ("acdc", "isic")
        for recipe in ("modern", "paper")
    ]


def test_runs_are_labeled_by_the_settings_that_differ():
    modern = RECIPES["modern"]
    assert labels({"name": "vqunet"}, {}) == ["model vqunet", "model synergynet-8s2h"]
    assert labels({}, modern) == ["recipe paper", "recipe modern"]
    # Of neither recipe: each setting is named.
    slow = {"learning_rate": 0.001, "augmentation": "strong"}
    assert labels({}, slow) == [
        "learning rate 0.01, augmentation paper",
        "learning rate 0.001, augmentation strong",
    ]
    assert labels({"limit": 5}, {}) == ["limit 5", "limit none"]
    # Where they were computed is no difference; equal labels get the folder.
    same = labels({"data_dir": "a"}, {"strategy": "none"}, {"seed": 1})
    assert same == ["seed 0 (run 0)", "seed 0 (run 1)", "seed 1"]
    assert labels({}, {"data_dir": "a"}) == ["run 0", "run 1"]


def test_names_are_no_formulas(tmp_path):
    opened = [runs.Run(write_run(tmp_path / rf"$\foo{i}$", [0.5])) for i in range(2)]
    curves.draw_validation_curves(tmp_path / "a.png", opened)
    assert (tmp_path / "a.png").is_file()


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--out", "a.png", "--cases", "b"], "not with --curves: --cases"),
        (["--out", "a.png", "--split", "val"], "not with --curves: --split"),
        (["--out", "folder"], "--out must be a .png file with --curves"),
        (["--out", "a.png", "--runs", "b"], "--runs: not allowed with argument"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(flags, line, capsys):
    with pytest.raises(SystemExit):
        figures.parse_args(["--curves", "run", *flags])
    assert line in capsys.readouterr().err


def test_a_damaged_run_leaves_no_file(tmp_path):
    good = write_run(tmp_path / "good", [0.5])
    bad = write_run(tmp_path / "bad", [0.5])
    (tmp_path / "bad" / runs.HISTORY).write_text("epoch\n1\n")
    with pytest.raises(ValueError, match=r"bad/history\.csv is damaged"):
        figures.main(["--curves", good, bad, "--out", str(tmp_path / "a.png")])
    assert not (tmp_path / "a.png").exists()
