import json
import math

from synergynet_tf import formats
from synergynet_tf.metrics import LESION_METRICS, METRICS

REPORT = {
    "dataset": "acdc",
    "data_split": "random",
    "fold": "",
    "split": "test",
    "limit": None,
    "num_cases": 8,
    "num_patients": 4,
}


def test_what_is_undefined_is_a_dash():
    for value in (None, math.nan):
        assert formats.number(value) == formats.percent(value) == formats.DASH
        assert formats.points(value) == formats.score("hd95", value) == formats.DASH
        assert formats.in_brackets((value, 0.5)) == formats.DASH
        assert formats.in_brackets((0.5, value)) == formats.DASH
        assert formats.with_interval(value, (0.4, 0.6)) == formats.DASH
        assert formats.with_interval(0.5, (value, value)) == "0.50 -"
        assert formats.mean_and_sd(0.5, value) == "0.50"


def test_zero_is_a_number():
    assert formats.number(0, "+.2f") == "+0.00"
    assert formats.mean_and_sd(0.0, 0.0) == "0.00 ± 0.00"
    assert formats.in_brackets((0.0, 0.0), ".1f") == "[0.0, 0.0]"


def test_nan_goes_through_json_and_back():
    scores = {"a": [0.5, math.nan], "b": ({"dsc": math.nan}, 1, "nan")}
    written = json.dumps(formats.without_nan(scores), allow_nan=False)
    assert written == '{"a": [0.5, null], "b": [{"dsc": null}, 1, "nan"]}'
    read = formats.with_nan(json.loads(written))
    assert read["a"][0] == 0.5 and math.isnan(read["a"][1])
    assert math.isnan(read["b"][0]["dsc"]) and read["b"][1:] == [1, "nan"]


def test_titles_name_the_fold_and_the_limit_if_there_are_any():
    assert formats.data_title(REPORT) == "acdc, random split, test part"
    folded = formats.data_title(REPORT | {"fold": "1/5"})
    assert folded == "acdc, random split, fold 1/5, test part"
    assert formats.cases_title(REPORT) == "8 cases of 4 patients"
    limited = formats.cases_title(REPORT | {"limit": 8})
    assert limited == "8 cases of 4 patients (--limit 8)"


def test_columns_are_as_wide_as_their_widest_cell():
    rows = [["", "", "DSC"], ["mean", "a", "+6.25"], [], ["  low", "", "5"]]
    assert formats.columns(rows, left=2).splitlines() == [
        "            DSC",
        "mean   a  +6.25",
        "",
        "  low         5",
    ]


def test_a_bar_does_not_end_a_markdown_cell():
    table = formats.markdown([["a", "b", "c"], ["x|y", "1", "2"]], left=2)
    assert table == "| a | b | c |\n|---|---|---:|\n| x\\|y | 1 | 2 |"


def test_every_metric_has_its_names():
    assert [*formats.METRIC_NAMES] == [*(METRICS | LESION_METRICS)]
