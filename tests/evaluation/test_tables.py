import pytest

from synergynet_tf.evaluation.scores import Scores
from synergynet_tf.evaluation.tables.console import format_tables
from synergynet_tf.metrics import PROTOCOLS

POOLED = {"iou": 0.8, "dsc": 0.8889, "acc": 0.95, "sp": 0.97, "se": 0.88}
STRICT = POOLED | {"dsc": 0.9012, "iou": 0.8123, "hd95": 12.345, "nsd": 0.5}


def block(mean):
    """Returns a mean with an interval of two percentage points around it."""
    interval = {
        metric: [None, None] if value is None else [value - 0.01, value + 0.01]
        for metric, value in mean.items()
    }
    return {"mean": mean, "mean_interval": interval}


def report(**changes):
    values = {
        "dataset": "isic",
        "model": "synergynet-8s2h",
        "backbone": "resnet50",
        "num_codes": 1024,
        "hidden_dim": 512,
        "seed": 0,
        "split": "test",
        "data_split": "paper",
        "fold": "",
        "limit": None,
        "options": {"flips": False, "largest": False},
        "image_size": 224,
        "epochs": 150,
        "trained_epochs": changes.get("epochs", 150),
        "protocol": "strict",
        "paper_protocol": "pooled",
        "distance_unit": "px",
        "num_cases": 520,
        "num_patients": 520,
        "bootstrap": {},
        "cases": [],
        "strict": block(STRICT),
        "pooled": block(POOLED),
        "structures": {"lesion": {"empty": 0, "missed": 0, "false": 0}},
        "codes": {"used": 732, "total": 1024, "perplexity": 300.0},
    } | changes
    names = [name for name in PROTOCOLS if name in values]
    blocks = {name: values.pop(name) for name in names}
    return Scores(**values, blocks=blocks)


def words(text, start):
    """Returns the words of the one line that starts with `start`."""
    (line,) = (line for line in text.splitlines() if line.startswith(start))
    return line.removeprefix(start).split()


def test_ours_the_papers_and_the_difference():
    text = format_tables([report()])
    ours = words(text, "synergynet-8s2h seed 0")
    assert ours[:5] == ["80.00", "88.89", "95.00", "97.00", "88.00"]
    # The paper's Table 3, and 80.00 - 80.68, 88.89 - 89.31, ...
    assert words(text, "  paper") == ["80.68", "89.31", "94.91", "97.37", "87.28"]
    expected = ["-0.68", "-0.42", "+0.09", "-0.37", "+0.72"]
    assert words(text, "  difference") == expected


def test_cases_and_codes_stand_beside():
    text = format_tables([report()])
    beside = words(text, "synergynet-8s2h seed 0")[5:]
    assert beside == ["90.12", "81.23", "12.35", "732", "of", "1024"]
    assert "pooled" in text and "strict" in text


def test_intervals_stand_below():
    text = format_tables([report()])
    low, high = words(text, "  95 % interval, from"), words(text, "  to")
    assert low == [
        "79.00",
        "87.89",
        "94.00",
        "96.00",
        "87.00",
        "89.12",
        "80.23",
        "12.34",
    ]
    assert high[:5] == ["81.00", "89.89", "96.00", "98.00", "89.00"]


def test_of_scans_nsd_stands_beside():
    text = format_tables([report(dataset="phantom", distance_unit="mm")])
    assert words(text, "synergynet-8s2h seed 0")[5:8] == ["90.12", "50.00", "12.35"]
    assert "(%, mm)" in text and "NSD" in text


def test_title_says_the_fold_and_the_options():
    changes = {"fold": "1/5", "options": {"flips": True, "largest": True}}
    title = format_tables([report(**changes)]).splitlines()[0]
    assert "paper split, fold 1/5, test part" in title
    assert title.endswith("150 epochs, with flips, largest")


def test_title_says_what_was_run():
    title = format_tables([report(epochs=3, limit=520)]).splitlines()[0]
    assert title == (
        "isic, paper split, test part: 520 cases of 520 patients (--limit 520), "
        "224 px, 3 epochs"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 3},
        {"image_size": 128},
        {"data_split": "official"},
        {"split": "val"},
        {"fold": "1/5"},
        {"options": {"flips": True, "largest": False}},
        {"num_cases": 5},
        {"dataset": "phantom"},
        {"protocol": "transunet", "transunet": block(STRICT)},
        {"distance_unit": "mm"},
    ],
)
def test_what_differs_is_not_in_one_table(change):
    text = format_tables([report(), report(), report(**change)])
    assert text.count(" part: ") == 2


def test_no_paper_number_is_a_dash():
    text = format_tables([report(num_codes=512)])
    assert words(text, "  paper") == ["-"] * 5
    assert "difference" not in text
    text = format_tables([report(dataset="phantom")])  # Not in the paper.
    assert "  paper" not in text and "Table" not in text


def test_paper_is_compared_under_its_own_protocol_only():
    text = format_tables([report(protocol="transunet", transunet=block(STRICT))])
    assert words(text, "  paper") == ["-"] * 2


def test_undefined_is_a_dash():
    undefined = block(POOLED | {"se": None})
    text = format_tables([report(pooled=undefined, codes=None)])
    ours = words(text, "synergynet-8s2h seed 0")
    assert (ours[4], ours[-1]) == ("-", "-")
    assert words(text, "  difference")[4] == "-"


def test_missed_and_false_are_said():
    structures = {"lesion": {"empty": 0, "missed": 2, "false": 1}}
    text = format_tables([report(structures=structures)])
    assert "2 structures missed, 1 false" in text


def test_lines_fit_a_terminal():
    assert max(map(len, format_tables([report()]).splitlines())) <= 96


def test_a_run_that_ended_early_is_marked():
    note = "synergynet-8s2h seed 0: trained for 7 of 150 epochs"
    assert note in format_tables([report(trained_epochs=7)])
    assert "trained for" not in format_tables([report()])


@pytest.mark.parametrize(
    "change", [{"num_codes": 64}, {"hidden_dim": 128}, {"backbone": "resnet18"}]
)
def test_the_papers_number_is_not_of_another_row(change):
    text = format_tables([report(**change)])
    assert words(text, "  paper") == ["-"] * 5
    ((name, value),) = change.items()
    assert f"synergynet-8s2h seed 0: {name} {value}, not " in text
