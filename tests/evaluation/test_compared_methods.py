"""What a comparison says besides scores: lesions, BCa, seeds, effect sizes, ranks."""

import csv
import itertools
import json

import nibabel
import numpy as np
import pytest
from scipy import stats

from synergynet_tf import metrics
from synergynet_tf.cli import compare
from synergynet_tf.evaluation import label_maps
from synergynet_tf.metrics import bootstrap

SHAPE = (12, 6, 5)
CASES = [f"case{i}" for i in range(6)]


def save(folder, name, labels):
    folder.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(labels.astype(np.uint8), np.diag([1.0, 2.0, 3.0, 1.0]))
    nibabel.save(image, folder / f"{name}.nii.gz")


def bar(stop, start=0):
    """Returns a mask with `stop - start` of 12 slabs of 30 voxels."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[start:stop] = 1
    return labels


def dsc(stop, reference=6):
    """Returns the DSC of two bars that begin at one end."""
    return 2 * min(stop, reference) / (stop + reference)


def run(folder, *flags, predictions):
    """Runs the command in this process; returns what comparison.json holds."""
    arguments = ["--reference", folder / "reference", "--predictions", *predictions]
    arguments += ["--out", folder / "out", "--workers", 0, *flags]
    compare.main(list(map(str, arguments)))
    return json.loads((folder / "out" / "comparison.json").read_text())


def rows(path):
    with open(path) as file:
        return list(csv.DictReader(file))


# The length of each case's bar, by folder; the reference's is 6.
LENGTHS = {
    "first": [6, 5, 5, 4, 6, 3],
    "second0": [6, 6, 5, 5, 6, 4],
    "second1": [5, 6, 6, 6, 3, 5],
}


@pytest.fixture
def bars(tmp_path):
    for i, name in enumerate(CASES):
        save(tmp_path / "reference", name, bar(6))
        for folder, lengths in LENGTHS.items():
            save(tmp_path / folder, name, bar(lengths[i]))
    return tmp_path


def scores_of(folder):
    return np.array([dsc(stop) for stop in LENGTHS[folder]])


def test_bca_stands_beside_the_percentiles_and_is_scipys(bars):
    report = run(bars, predictions=[f"first={bars / 'first'}"])
    (first,) = report["predictions"]
    interval = first["bca"]["strict"]["mean_interval"]["dsc"]
    assert first["bca"]["strict"]["per_class_interval"]["foreground"]["dsc"] == interval
    assert interval != first["strict"]["mean_interval"]["dsc"]
    scipys = stats.bootstrap(
        (scores_of("first"),),
        np.mean,
        method="BCa",
        n_resamples=20_000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    # Two draws of 2,000 and of 20,000 resamples, of a mean in steps.
    assert interval == pytest.approx(scipys, abs=0.012)
    (line,) = (
        row
        for row in rows(bars / "out" / "summary.csv")
        if (row["class"], row["metric"]) == ("mean", "dsc")
    )
    assert [float(line[f"bca_{end}"]) for end in ("low", "high")] == interval
    assert line["rank"] == "1.0" and line["sd_of_seeds"] == line["difference"] == ""


def test_few_patients_are_warned_of(bars, capsys):
    report = run(bars, predictions=[f"first={bars / 'first'}"])
    printed = " ".join(capsys.readouterr().out.split())
    assert report["warning"] == bootstrap.few_patients_warning(6)
    assert f"warning: {report['warning']}" in printed
    assert "with 5, 95 % intervals held the true mean in 81 %" in printed


def test_fifty_patients_are_enough(tmp_path, capsys):
    for i in range(50):
        for folder in ("reference", "first"):
            save(tmp_path / folder, f"case{i}", bar(6)[:, :2, :2])
    report = run(tmp_path, predictions=[tmp_path / "first"])
    assert report["warning"] is None
    assert "warning" not in capsys.readouterr().out


def test_effect_sizes_are_those_of_the_differences(bars, capsys):
    report = run(bars, predictions=[f"a={bars / 'first'}", f"b={bars / 'second0'}"])
    difference = scores_of("second0") - scores_of("first")
    own = report["differences"][0]["strict"]["mean"]["dsc"]
    # Three differences above 0, none below.
    assert own["rank_biserial"] == 1.0
    assert own["cohens_d_z"] == pytest.approx(
        difference.mean() / difference.std(ddof=1)
    )
    low, high = own["bca_interval"]
    scipys = stats.bootstrap(
        (difference,), np.mean, n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert (low, high) == pytest.approx(scipys, abs=0.01)
    (line,) = (
        row
        for row in rows(bars / "out" / "summary.csv")
        if (row["prediction"], row["class"], row["metric"]) == ("b", "mean", "dsc")
    )
    assert line["rank_biserial"] == "1.0"
    assert float(line["cohens_d_z"]) == own["cohens_d_z"]
    assert float(line["difference_bca_low"]) == low
    assert "d_z" in capsys.readouterr().out


def test_ranks_and_their_share_of_the_resamples(bars, capsys):
    report = run(bars, predictions=[f"a={bars / 'first'}", f"b={bars / 'second0'}"])
    ranks = report["ranks"]["strict"]["dsc"]
    assert (ranks["a"]["rank"], ranks["b"]["rank"]) == (2, 1)
    # They are equal where none of the three cases is drawn that differ: (3 / 6)^6.
    assert ranks["b"]["shares"][0] == 1.0
    assert ranks["a"]["shares"][0] == pytest.approx((3 / 6) ** 6, abs=0.01)
    assert "1 (100 %)" in capsys.readouterr().out


def test_seeds_of_a_method_are_one_method(bars, capsys):
    seeds = [f"b={bars / 'second0'}", f"b={bars / 'second1'}"]
    report = run(bars, predictions=[f"a={bars / 'first'}", *seeds])
    assert [own["name"] for own in report["predictions"]] == ["a", "b #1", "b #2"]
    assert [own["predictions"] for own in report["methods"]] == [
        ["a"],
        ["b #1", "b #2"],
    ]
    means = [scores_of(name).mean() for name in ("second0", "second1")]
    own = report["methods"][1]["strict"]["mean"]["dsc"]
    assert own["mean"] == pytest.approx(np.mean(means))
    assert own["sd"] == pytest.approx(np.std(means, ddof=1))
    # Of one seed the method is its prediction.
    alone, first = report["methods"][0]["strict"], report["predictions"][0]["strict"]
    assert alone["mean"]["dsc"]["mean"] == first["mean"]["dsc"]
    assert alone["mean"]["dsc"]["sd"] is None
    assert alone["mean"]["dsc"]["interval"] == pytest.approx(
        first["mean_interval"]["dsc"], abs=1e-12
    )
    (entry,) = report["differences"]
    assert (entry["name"], entry["minus"]) == ("b", "a")
    # Summed up in the same order: rounding decides which ranks are tied.
    seeds = [scores_of(name) - scores_of("first") for name in ("second0", "second1")]
    difference = (seeds[0] + seeds[1]) / 2
    found = entry["strict"]["mean"]["dsc"]
    assert found["difference"] == pytest.approx(difference.mean())
    assert found["p"] == pytest.approx(stats.wilcoxon(difference).pvalue)
    assert (found["better"], found["worse"]) == (4, 2)
    lines = [r for r in rows(bars / "out" / "summary.csv") if r["metric"] == "dsc"]
    names = [r["prediction"] for r in lines if r["class"] == "mean"]
    assert names == ["a", "b #1", "b #2", "b"]
    assert float(lines[-1]["sd_of_seeds"]) == own["sd"]
    assert "±" in capsys.readouterr().out


def test_the_interval_of_a_difference_draws_the_seeds_too(bars):
    """All four draws of two seeds, and all 6^6 of the patients, count alike."""
    seeds = [f"b={bars / 'second0'}", f"b={bars / 'second1'}"]
    report = run(bars, predictions=[f"a={bars / 'first'}", *seeds])
    low, high = report["differences"][0]["strict"]["mean"]["dsc"]["interval"]
    first = scores_of("first")
    every = np.array(list(itertools.product(range(6), repeat=6)))
    means = [
        (np.mean([scores_of(f"second{i}") for i in drawn], axis=0) - first)[every]
        for drawn in itertools.product((0, 1), repeat=2)
    ]
    exact = np.quantile(np.mean(means, axis=2), (0.025, 0.975))
    # 2,000 draws: the deviation of such a percentile is about 0.004.
    assert (low, high) == pytest.approx(exact, abs=0.015)


def test_pooled_differences_of_seeds_are_means_of_pools(bars):
    seeds = [f"b={bars / 'second0'}", f"b={bars / 'second1'}"]
    report = run(
        bars, "--protocol", "pooled", predictions=[f"a={bars / 'first'}", *seeds]
    )
    pools = [own["pooled"]["mean"]["dsc"] for own in report["predictions"]]
    own = report["differences"][0]["pooled"]["mean"]["dsc"]
    assert own["difference"] == pytest.approx((pools[1] + pools[2]) / 2 - pools[0])
    low, high = own["interval"]
    assert low < own["difference"] < high
    assert own["bca_interval"] != own["interval"]


def test_a_folder_is_one_seed_only(bars):
    with pytest.raises(ValueError, match="a folder of b twice"):
        run(bars, predictions=[f"b={bars / 'first'}", f"b={bars / 'first'}"])
    with pytest.raises(ValueError, match="the name b #1 twice"):
        label_maps.find_cases(
            bars / "reference",
            {
                "b": [bars / "first", bars / "second0"],
                "b #1": bars / "second1",
            },
        )


@pytest.fixture
def lesions(tmp_path):
    """Two lesions in `x`, of 60 and 30 voxels, and none in `y`."""
    both = np.maximum(bar(2), bar(9, 8))
    save(tmp_path / "reference", "x", both)
    save(tmp_path / "reference", "y", 0 * both)
    # The larger one is half found; elsewhere in `x` there is one, in `y` another.
    found = np.maximum(bar(1), bar(12, 11))
    save(tmp_path / "first", "x", found)
    save(tmp_path / "first", "y", bar(2))
    return tmp_path


def test_lesions_by_hand(lesions, capsys):
    report = run(
        lesions, "--lesions", "any", "--classes", "lesion=1",
        predictions=[f"first={lesions / 'first'}"],
    )  # fmt: skip
    assert report["lesion_rule"] == {
        "overlap": "any",
        "threshold": None,
        "connectivity": "full",
        "minimal_size": 1,
    }
    (first,) = report["predictions"]
    x, y = first["cases"]
    assert x["lesion_sizes"]["lesion"] == {
        "detected": [60],
        "missed": [30],
        "true": [30],
        "false": [30],
    }
    assert x["lesions"]["lesion"] == {
        "lesion_precision": 0.5,
        "lesion_recall": 0.5,
        "lesion_f1": 0.5,
    }
    # No lesion, and a finding of two slabs.
    assert y["lesions"]["lesion"]["lesion_recall"] is None
    assert y["lesions"]["lesion"]["lesion_f1"] == 0.0
    assert first["lesions"]["mean"]["lesion_f1"] == 0.25
    total = first["lesions"]["total"]["lesion"]
    assert [total[k] for k in ("detected", "missed", "true", "false")] == [1, 1, 1, 2]
    assert total["missed_sizes"] == [30]
    assert total["lesion_precision"] == pytest.approx(1 / 3)
    lines = rows(lesions / "out" / "lesions.csv")
    assert [(r["case"], r["missed_sizes"], r["false_sizes"]) for r in lines] == [
        ("x", "30", "30"),
        ("y", "", "60"),
    ]
    assert (lines[0]["detected"], lines[0]["lesion_f1"]) == ("1", "0.5")
    summary = [
        row
        for row in rows(lesions / "out" / "summary.csv")
        if (row["protocol"], row["class"], row["metric"])
        == ("lesions", "lesion", "lesion_f1")
    ]
    assert [float(row["mean"]) for row in summary] == [0.25]
    assert "lesions, overlap any" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "detected"),
    [
        (["share", "--lesion-threshold", "0.5"], 1),
        (["share", "--lesion-threshold", "0.51"], 0),
        # 30 of 60 voxels.
        (["iou", "--lesion-threshold", "0.5"], 1),
        (["iou", "--lesion-threshold", "0.6"], 0),
        (["any", "--lesion-size", "31"], 0),
    ],
)
def test_the_rule_of_lesions_reaches_the_numbers(lesions, flags, detected):
    report = run(lesions, "--lesions", *flags, predictions=[lesions / "first"])
    (total,) = report["predictions"][0]["lesions"]["total"].values()
    assert total["detected"] == detected


def test_lesions_are_compared_case_by_case(lesions):
    for name in "xy":
        save(lesions / "second", name, bar(2) if name == "x" else 0 * bar(2))
    report = run(
        lesions,
        "--lesions",
        "any",
        predictions=[f"{name}={lesions / name}" for name in ("first", "second")],
    )
    own = report["differences"][0]["lesions"]["mean"]["lesion_f1"]
    # 2 / 3 instead of 1 / 2; in `y` there is nothing, and a score on one side alone.
    assert own["difference"] == pytest.approx(2 / 3 - 1 / 2)
    assert (own["better"], own["one_sided"]) == (1, 1)
    assert report["ranks"]["lesions"]["lesion_f1"]["second"]["rank"] == 1


@pytest.mark.parametrize(
    "flags",
    [
        ["--lesion-size", "3"],
        ["--lesion-threshold", "0.5"],
        ["--lesions", "iou"],
        ["--lesions", "share", "--lesion-threshold", "0"],
        ["--lesions", "any", "--lesion-threshold", "0.5"],
        ["--lesions", "any", "--lesion-size", "0"],
    ],
)
def test_flags_of_lesions_that_make_no_sense(flags, capsys):
    with pytest.raises(SystemExit):
        compare.parse_args(
            ["--reference", "a", "--predictions", "b", "--out", "c", *flags]
        )
    assert capsys.readouterr().err.startswith("error: ")


def test_totals_are_those_of_the_metrics(lesions):
    rule = metrics.LesionRule("iou", 0.1)
    cases = label_maps.find_cases(lesions / "reference", {"a": lesions / "first"})
    classes = label_maps.choose_classes(cases)
    report = label_maps.compare_label_maps(
        cases, classes, lesions / "out", ("transunet",), lesions=rule
    )
    masks = [
        [
            np.asarray(nibabel.load(lesions / f / f"{n}.nii.gz").dataobj) == 1
            for n in "xy"
        ]
        for f in ("reference", "first")
    ]
    own = [metrics.find_lesions(t, p, rule) for t, p in zip(*masks, strict=True)]
    (total,) = report["predictions"][0]["lesions"]["total"].values()
    assert total["lesion_f1"] == metrics.total_lesions(own).f1
