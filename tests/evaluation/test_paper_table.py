import csv
import io
import re

import pytest

from synergynet_tf.cli import evaluate
from synergynet_tf.config import ExperimentConfig
from synergynet_tf.evaluation.tables.paper_table import unlike_recipe
from synergynet_tf.experiments import TABLES
from tests.evaluation.scored_runs import write_run


@pytest.fixture
def show(tmp_path, capsys):
    """Runs `evaluate.py --table` on runs that are scored; returns what it prints."""

    def run(*flags, table=2):
        command = ["--table", table, "--budget", "short", "--runs", tmp_path, *flags]
        evaluate.main([str(word) for word in command])
        return capsys.readouterr().out

    return run


@pytest.fixture
def acdc(tmp_path):
    """Three seeds of a method, one of its rival."""
    for seed, dsc in enumerate((0.80, 0.82, 0.84)):
        write_run(tmp_path, 2, "synergynet-8s2h", [dsc] * 6, seed)
    write_run(tmp_path, 2, "transunet", [0.81] * 6)


def words(text, start, after=""):
    """Returns the words of the first line after `after` that starts with `start`."""
    lines = text.splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith(after))
    for line in lines[place:]:
        if line.startswith(start):
            return line.removeprefix(start).split()
    raise AssertionError(f"no line starts with {start!r}")


def test_ours_the_papers_and_the_difference(show, acdc):
    text = show()
    ours = words(text, "synergynet-8s2h")
    # Runs, DSC, HD95, three classes, strict DSC; then 82 - 81, and p of one test.
    assert ours[:7] == ["3", "82.00", "8.20", "82.00", "82.00", "82.00", "82.00"]
    assert ours[7:] == ["+1.00", "0.031"]
    name = "synergynet-8s2h"
    deviations = words(text, "  SD over seeds", name)
    assert deviations == ["2.00", "0.20", "2.00", "2.00", "2.00", "2.00"]
    paper = words(text, "  paper", name)
    assert paper == ["89.78", "1.86", "87.68", "86.60", "95.06"]
    difference = words(text, "  difference", name)
    assert difference == ["-7.78", "+6.34", "-5.68", "-4.60", "-13.06"]
    assert words(text, "  95 % interval, from", name) == ours[1:7]


def test_one_patient_has_dashes_for_intervals(show, tmp_path):
    write_run(tmp_path, 2, "synergynet-8s2h", [0.8])
    text, name = show(), "synergynet-8s2h"
    assert words(text, name)[:2] == ["1", "80.00"]
    assert words(text, "  95 % interval, from", name) == ["-"] * 6
    assert words(text, "  to", name) == ["-"] * 6
    assert f"| 95 % interval |  {'| - ' * 6}|" in show("--format", "markdown")
    latex = show("--format", "latex")
    assert rf"95 \% interval &  {'& -- ' * 6}&" in latex
    rows = csv.DictReader(io.StringIO(show("--format", "csv")))
    ours = [row for row in rows if row["row"] == name]
    assert {(row["low"], row["high"]) for row in ours} == {("", "")}
    assert ours[0]["mean"] == "80.0"


def test_what_was_not_run_is_a_dash_beside_the_papers(show, acdc):
    text = show()
    assert words(text, "r50-unet") == ["-"] * 9
    assert words(text, "  paper", "r50-unet")[0] == "87.94"
    assert "Not run: r50-unet, deeplabv3plus" in " ".join(text.split())


def test_nothing_was_run(show):
    text = show()
    assert "Budget short: no run yet." in text
    assert words(text, "synergynet-8s2h") == ["-"] * 9


def test_caption_says_what_was_run_and_that_it_is_not_the_paper(show, acdc, tmp_path):
    write_run(tmp_path, 2, "vqunet", [0.5] * 6, precision="bfloat16")
    caption = " ".join(show().split("\n\n")[0].split())
    assert "bfloat16: vqunet seed 0" in " ".join(show().split())
    for part in (
        "Table 2",
        "acdc, paper split, test part: 6 cases of 6 patients",
        "128 px, 3 epochs of batches of 8, encoder weights none",
        "bfloat16 and float32",
        "seeds 0, 1, 2",
        "TransUNet's test code",
        "not the paper's recipe (image_size 128, not 224; epochs 3, not 150; "
        "encoder_weights none, not imagenet; transformer weights none, not "
        "ImageNet-21k's)",
        "Against transunet: mean over cases of the difference in DSC (protocol strict",
        "Holm's correction for 2 tests",
    ):
        assert part in caption, part


def test_the_papers_recipe_is_not_excused(show, tmp_path):
    for row in ("vqunet", "transunet"):
        vit = {} if row == "vqunet" else {"vit_weights": "folder/vit.npz"}
        write_run(tmp_path, 2, row, [0.5] * 6, budget="paper", **vit)
    text = show("--budget", "paper")
    caption = " ".join(text.split())
    assert "not the paper's recipe" not in caption
    assert "encoder weights imagenet, transformer weights vit.npz" in caption
    assert words(text, "vqunet")[0] == words(text, "transunet")[0] == "1"


def test_another_split_and_no_transformer_weights_are_said(show, tmp_path):
    write_run(tmp_path, 2, "vqunet", [0.5] * 6, budget="paper", split="random")
    text = show("--budget", "paper")
    assert "split random, not paper" in text and "transformer" not in text
    write_run(tmp_path, 2, "transunet", [0.5] * 6, budget="paper", split="random")
    assert "not ImageNet-21k's" in " ".join(show("--budget", "paper").split())


def test_every_part_of_another_recipe_is_said(show, tmp_path):
    write_run(tmp_path, 2, "vqunet", [0.5] * 6, budget="converged")
    caption = " ".join(show("--budget", "converged").split())
    for part in (
        *("optimizer adamw, not sgd", "learning_rate 0.001, not 0.01"),
        *("ema_decay 0.999, not 0.0", "augmentation strong, not paper"),
        *("backbone efficientnetlite0, not resnet50", "num_codes 256, not 1024"),
    ):
        assert part in caption, part
    configs = [ExperimentConfig().replace(split="paper", num_codes=256)]
    assert unlike_recipe(configs) == ["num_codes 256, not 1024"]
    assert unlike_recipe(configs, of_row="num_codes") == []


def test_a_center_crop_is_said(show, tmp_path):
    write_run(tmp_path, 2, "vqunet", [0.5] * 6, budget="paper", center_crop=0.8)
    caption = " ".join(show("--budget", "paper").split())
    assert "not the paper's recipe (center_crop 0.8, not 1.0)" in caption


def test_another_rival(show, acdc):
    text = show("--rival", "synergynet-8s2h")
    assert words(text, "transunet")[-2:] == ["-1.00", "0.031"]
    assert words(text, "synergynet-8s2h")[-2:] == ["-", "-"]
    text = show("--rival", "vqunet")
    assert "vqunet was not run, so nothing is tested against it." in " ".join(
        text.split()
    )


def test_seeds_are_those_asked_for(show, acdc):
    assert words(show("--seeds", 0, 2), "synergynet-8s2h")[:2] == ["2", "82.00"]
    text = show("--seeds", 0)
    assert words(text, "synergynet-8s2h")[:2] == ["1", "80.00"]
    assert "  SD over seeds" not in text


def test_markdown_can_be_pasted(show, acdc):
    caption, table = show("--format", "markdown").split("\n\n")
    head, rule, *lines = table.splitlines()
    assert "\n" not in caption
    columns = head.count("|")
    assert rule.count("|") == columns and re.fullmatch(r"\|---\|(---:\|)+", rule)
    assert all(line.count("|") == columns for line in lines)
    # Ours, the interval, the paper's and the difference; two lines if not run.
    assert len(lines) == 2 * 4 + 9 * 2
    (ours,) = (line for line in lines if line.startswith("| synergynet-8s2h"))
    assert "| 82.00 ± 2.00 |" in ours and "| +1.00 | 0.031 |" in ours
    assert "| *paper* |  | *89.78* |" in "\n".join(lines)


def test_latex_can_be_pasted(show, tmp_path):
    write_run(tmp_path, 5, "64", [0.5] * 6)
    text = show("--dataset", "acdc", "--format", "latex", table=5)
    begins, ends = (re.findall(rf"\\{w}{{(\w+)}}", text) for w in ("begin", "end"))
    assert begins == ["table", "tabular"] and ends == begins[::-1]
    assert text.count("{") == text.count("}")
    for rule in ("toprule", "midrule", "bottomrule"):
        assert text.count(rf"\{rule}") == 1
    (columns,) = re.findall(r"begin{tabular}{(l?r+)}", text)
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 1 + 4 + 4 * 2
    assert {line.count(" & ") + 1 for line in rows} == {len(columns)}
    # Nothing that LaTeX would take for a command, a comment or a subscript.
    assert not re.search(r"(?<!\\)[%_#]|(?<!\\)&(?! )", text)
    assert r"image\_size 128" in text and "$-$38.79" in text


def test_csv_says_of_every_number_how_it_was_made(show, acdc):
    rows = list(csv.DictReader(io.StringIO(show("--format", "csv"))))
    assert len(rows) == 11 * 6
    (row,) = (r for r in rows if (r["row"], r["column"]) == ("synergynet-8s2h", "dsc"))
    assert row["budget"] == "short" and row["epochs"] == "3"
    assert row["is_paper_recipe"] == "no"
    assert (row["runs"], row["unit"], row["protocol"]) == ("3", "%", "transunet")
    numbers = {name: float(row[name]) for name in ("mean", "sd", "paper", "difference")}
    assert numbers == {"mean": 82.0, "sd": 2.0, "paper": 89.78, "difference": -7.78}
    assert (row["against_rival"], row["p_holm"]) == ("+1.00", "0.031")
    (empty,) = (r for r in rows if (r["row"], r["column"]) == ("r50-unet", "hd95"))
    assert (empty["mean"], empty["paper"], empty["unit"]) == ("", "2.01", "voxels")


def test_pooled_scores_are_tested_by_their_strict_dsc(show, tmp_path):
    write_run(tmp_path, 3, "vqunet", [0.5] * 4)
    assert "signed-rank" not in show(table=3)
    write_run(tmp_path, 3, "transunet", [0.4] * 4)
    text = " ".join(show(table=3).split())
    assert (
        "difference in DSC (protocol strict; a case's" in text and "voxels" not in text
    )
    assert words(show(table=3), "vqunet")[1:3] == ["50.00", "50.00"]


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.number)
@pytest.mark.parametrize("format_", ["text", "markdown", "latex", "csv"])
def test_every_table_has_its_rows_in_every_format(show, table, format_):
    dataset = table.datasets[-1]
    text = show("--dataset", dataset, "--format", format_, table=table.number)
    for row in table.rows.values():
        assert row.key in text
        for name, value in row.paper[dataset].items():
            shown = value if name == "hd95" else 100 * value
            assert f"{shown:.2f}" in text or f",{round(shown, 4)}," in text


def test_one_run_is_printed_in_another_table_too(show, tmp_path):
    write_run(tmp_path, 2, "synergynet-8s2h", [0.8] * 6)
    text = show("--dataset", "acdc", table=8)
    assert words(text, "synergynet ")[:2] == ["1", "80.00"]
    # Table 8 has numbers of its own for this row.
    assert words(text, "  paper", "synergynet ") == ["89.03", "2.17"]
