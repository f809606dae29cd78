import json
import os

import numpy as np
import pytest

from synergynet_tf import runs
from synergynet_tf.evaluation.tables.paired_runs import compare_runs, format_comparison
from synergynet_tf.metrics import METRICS
from tests.evaluation.scored_runs import RUN, make_block

NAMES = ("a", "b")


def write_scores(folder, dsc, patients=None, **changes):
    """Writes a scored run; `dsc` has a row of two classes for each case."""
    # What is compared is `per_class`; the rest is there because files have it.
    scores = dict.fromkeys(METRICS, 0.5)
    block, by_class = make_block(NAMES, scores), dict.fromkeys(NAMES, scores)
    report = {
        **RUN,
        "dataset": "acdc",
        "data_split": "paper",
        "protocol": "strict",
        "paper_protocol": "pooled",
        "model": folder.name,
        "seed": 0,
        "num_cases": len(dsc),
        "num_patients": len(dsc),
        "strict": block,
        "pooled": block,
        "structures": {},
        "cases": [
            {
                "case_id": f"case{i}",
                "patient": patients[i] if patients else f"case{i}",
                "per_class": {
                    name: {"dsc": value, "hd95": None if value is None else 10 - value}
                    for name, value in zip(NAMES, values, strict=True)
                },
                "strict": by_class,
                "pooled": by_class,
                "counts": {name: [0.25] * 4 for name in NAMES},
            }
            for i, values in enumerate(dsc)
        ],
    }
    runs.write_json(folder / "metrics.json", {**report, **changes})
    return folder


FIRST = [(0.5, 0.5), (0.6, 0.6), (0.7, 0.7), (0.8, None)]
SECOND = [(0.6, 0.8), (0.6, 0.6), (0.6, 0.7), (0.9, 0.4)]


@pytest.fixture
def folders(tmp_path):
    return (
        write_scores(tmp_path / "first", FIRST),
        write_scores(tmp_path / "second", SECOND),
    )


def test_scores_of_earlier_weights_are_refused(folders):
    weights = folders[1] / runs.BEST_WEIGHTS
    weights.write_bytes(b"")
    scores = folders[1] / "metrics.json"
    os.utime(weights, (2, 2))
    compare_runs(*map(runs.Run, folders))
    os.utime(scores, (1, 1))
    with pytest.raises(ValueError, match=r"second/metrics\.json is older than the w"):
        compare_runs(*map(runs.Run, folders))


def test_differences_by_hand(folders):
    comparison = compare_runs(*map(runs.Run, folders))
    a = comparison["per_class"]["a"]["dsc"]
    # 0.1, 0, -0.1 and 0.1.
    assert a["difference"] == pytest.approx(0.025)
    assert (a["better"], a["worse"], a["equal"], a["one_sided"]) == (2, 1, 1, 0)
    b = comparison["per_class"]["b"]["dsc"]
    # 0.3, 0 and 0; the fourth case has a score in the second run alone.
    assert b["difference"] == pytest.approx(0.1)
    assert (b["better"], b["worse"], b["equal"], b["one_sided"]) == (1, 0, 2, 1)
    mean = comparison["mean"]["dsc"]
    # 0.2, 0, -0.05 and 0.1: of the fourth case its first class.
    assert mean["difference"] == pytest.approx(0.0625)
    assert mean["interval"][0] <= 0.0625 <= mean["interval"][1]
    assert (mean["better"], mean["worse"], mean["equal"]) == (2, 1, 1)
    differences = [case["mean"]["dsc"] for case in comparison["cases"]]
    assert differences == pytest.approx([0.2, 0.0, -0.05, 0.1])
    assert comparison["cases"][3]["per_class"]["b"]["dsc"] is None


def test_of_distances_less_is_better(folders):
    hd95 = compare_runs(*map(runs.Run, folders))["per_class"]["a"]["hd95"]
    assert hd95["difference"] == pytest.approx(-0.025)
    assert (hd95["better"], hd95["worse"]) == (2, 1)


def test_what_is_written_is_what_is_returned(folders):
    comparison = compare_runs(*map(runs.Run, folders))
    assert json.loads((folders[1] / "compare.json").read_text()) == comparison
    assert not (folders[0] / "compare.json").exists()


def test_a_run_against_itself_differs_nowhere(folders):
    comparison = compare_runs(runs.Run(folders[0]), runs.Run(folders[0]))
    for summary in comparison["mean"].values():
        assert summary["difference"] == 0 and summary["p"] == 1
        assert summary["interval"] == [0, 0]
        assert (summary["better"], summary["worse"], summary["equal"]) == (0, 0, 4)


def test_a_clear_difference_is_found(tmp_path):
    rng = np.random.default_rng(0)
    low = rng.uniform(0.5, 0.8, (30, 2))
    high = low + rng.uniform(0.01, 0.1, (30, 2))
    folders = (
        write_scores(tmp_path / "low", low.tolist()),
        write_scores(tmp_path / "high", high.tolist()),
    )
    dsc = compare_runs(*map(runs.Run, folders))["mean"]["dsc"]
    assert dsc["interval"][0] > 0 and dsc["p"] < 1e-6 and dsc["better"] == 30


def test_intervals_and_p_are_by_patient(tmp_path):
    patients = ["x", "x", "y", "y"]
    folders = [
        write_scores(tmp_path / name, dsc, patients)
        for name, dsc in (("first", FIRST), ("second", SECOND))
    ]
    comparison = compare_runs(*map(runs.Run, folders))
    assert comparison["num_patients"] == 2
    # Patients of 0.1 and 0.025: each mean is one of them, or 0.0625.
    low, high = comparison["mean"]["dsc"]["interval"]
    assert (low, high) == pytest.approx((0.025, 0.1))
    assert comparison["mean"]["dsc"]["p"] == 0.5  # 2 of 2^2


def test_one_patient_has_no_interval(tmp_path):
    folders = [
        write_scores(tmp_path / name, dsc, ["x"] * 4)
        for name, dsc in (("first", FIRST), ("second", SECOND))
    ]
    comparison = compare_runs(*map(runs.Run, folders))
    assert comparison["mean"]["dsc"]["interval"] == [None, None]
    line = format_comparison(comparison).splitlines()[5]
    # Mean of 0.2, 0, -0.05 and 0.1.
    assert line.split()[:5] == ["mean", "DSC", "+6.25", "-", "-"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "val"}, "their split differs, 'test' and 'val'"),
        ({"protocol": "pooled"}, "protocol differs"),
        ({"dataset": "isic"}, "dataset differs"),
        ({"fold": "1/5"}, "fold differs"),
        ({"dsc": SECOND[:3]}, "1 cases were scored in one"),
        ({"patients": list("xxyz")}, "scored in one"),
    ],
)
def test_what_was_not_scored_alike_is_refused(changes, message, folders):
    other = write_scores(folders[1], **{"dsc": SECOND, **changes})
    with pytest.raises(ValueError, match=f"cannot be compared: .*{message}"):
        compare_runs(runs.Run(folders[0]), runs.Run(other))
    assert not (other / "compare.json").exists()


def test_scores_that_cannot_be_read_are_refused(folders, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"metrics.json in .*--run"):
        compare_runs(runs.Run(folders[0]), runs.Run(tmp_path))
    for text, message in (
        ("{", "damaged"),
        ("{}", "another version"),
        ("[]", "another"),
    ):
        (folders[1] / "metrics.json").write_text(text)
        with pytest.raises(ValueError, match=f"{message}.*--run"):
            compare_runs(*map(runs.Run, folders))


def test_table(folders):
    options = {"flips": True, "largest": False}
    write_scores(folders[1], SECOND, options=options)
    text = format_comparison(compare_runs(*map(runs.Run, folders)))
    lines = text.splitlines()
    assert lines[0] == "acdc, paper split, test part, strict: 4 cases of 4 patients"
    assert lines[2].startswith("second  second seed 0, with flips, ")
    (mean,) = (line.split() for line in lines if line.startswith("mean"))
    assert mean[:3] == ["mean", "DSC", "+6.25"]
    assert mean[-4:] == ["2", "1", "1", "1"]
    (b,) = (line.split() for line in lines if line.startswith("b "))
    assert b[:3] == ["b", "DSC", "+10.00"]
    assert "HD95 mm" in text
    assert max(map(len, lines[3:])) <= 96
