"""The simulation of the intervals' coverage, small, and what docs/ says of it."""

import pathlib
import re

import numpy as np
import pytest

from studies import coverage
from synergynet_tf.metrics import bootstrap, few_patients_warning

PAGE = pathlib.Path(__file__).parents[2] / "docs/intervals.md"


def test_scores_have_the_mean_that_intervals_must_hold():
    rng = np.random.default_rng(0)
    scores = coverage.draw_scores(rng, 100_000)
    # Deviation 0.16 of 100,000 patients: 0.0005.
    assert scores.mean() == pytest.approx(coverage.MEAN, abs=0.002)
    missed = coverage.draw_scores(rng, 100_000, 0.1)
    assert missed.mean() == pytest.approx(0.9 * coverage.MEAN, abs=0.003)
    assert (missed == 0).mean() == pytest.approx(0.1, abs=0.005)
    # Two cases of a patient are alike, and the tail is on the left.
    first, second = scores[::2], scores[1::2]
    assert np.corrcoef(first, second)[0, 1] > 0.5
    assert np.median(scores) > scores.mean()


def test_five_patients_are_covered_less_than_fifty():
    few, many = (
        coverage.cover(np.random.default_rng(0), count, 0.0, 150) for count in (5, 50)
    )
    # Measured 0.80, 0.82, 0.90 and 0.93, 0.94, 0.94, with a deviation of 0.03 here.
    assert max(few[:2]) < 0.9 < min(many) + 0.03
    assert few[2] > few[0]


def test_seeds_widen_the_interval():
    patients, both = coverage.cover_seeds(np.random.default_rng(0), 3, 60)
    assert patients < both


def test_the_command_prints_the_tables(capsys):
    flags = "--patients 3 4 --seeds 2 --simulations 2 --seed 1".split()
    coverage.main(flags)
    printed = capsys.readouterr().out
    assert [line.split(" |")[0] for line in printed.splitlines() if line] == [
        "| patients, no misses",
        "|---|---:|---:|---:|",
        "| 3",
        "| 4",
        "| patients, a tenth missed",
        "|---|---:|---:|---:|",
        "| 3",
        "| 4",
        "| seeds, 50 patients",
        "|---|---:|---:|",
        "| 2",
    ]
    coverage.main(flags)
    assert capsys.readouterr().out == printed


def test_the_warnings_numbers_are_those_of_the_page():
    table = PAGE.read_text("utf-8").split("| patients, no misses")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (\d+) \| ([\d.]+) \| ([\d.]+) \|", table, re.MULTILINE)
    assert bootstrap.MEASURED_COVERAGE == {
        int(patients): pytest.approx((float(percentile) / 100, float(bca) / 100))
        for patients, percentile, bca in rows
    }


@pytest.mark.parametrize(
    ("patients", "measured"),
    [(2, "even with 5"), (5, "with 5"), (19, "with 10"), (49, "with 20")],
)
def test_few_patients_are_warned_of(patients, measured):
    said = few_patients_warning(patients)
    assert said.startswith(f"{patients} patients are few: {measured}, 95 %")
    percentile, bca = bootstrap.MEASURED_COVERAGE[int(measured.split()[-1])]
    assert f"in {100 * percentile:.0f} % of" in said
    assert f"(BCa: {100 * bca:.0f} %)" in said
    assert "\n" not in said


def test_one_patient_and_enough_patients():
    assert few_patients_warning(1).startswith("1 patient has no interval")
    assert few_patients_warning(50) is None and few_patients_warning(0) is None
