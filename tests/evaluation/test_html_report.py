import json
import os
import re

import pytest

from synergynet_tf import runs
from synergynet_tf.cli import evaluate
from synergynet_tf.evaluation import evaluate as evaluation
from synergynet_tf.evaluation.postprocess import Postprocessing
from synergynet_tf.evaluation.report import page
from synergynet_tf.evaluation.report.page import environment, write_html_report
from synergynet_tf.evaluation.report.slices import NAME
from synergynet_tf.experiments import PAPER
from tests.evaluation.page import Page, check_read_aloud, read_page, shown
from tests.evaluation.reported_runs import CLASSES, HOSTILE, IDS, write_run


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path)


def scores_of(run):
    return json.loads((run / "metrics.json").read_text("utf-8"))


def test_text_is_escaped_and_markup_is_not():
    template = environment().from_string(
        "{% macro bold(text) %}<b>{{ text }}</b>{% endmacro %}"
        '<p title="{{ title }}">{{ text }}{{ bold(inner) }}</p>'
    )
    assert template.render(text="<", inner="<&>", title='"') == (
        '<p title="&#34;">&lt;<b>&lt;&amp;&gt;</b></p>'
    )


@pytest.mark.parametrize("protocol", ["strict", "transunet"])
def test_every_mean_and_interval_is_that_of_metrics_json(run, protocol):
    page, _ = read_page(run)
    block = scores_of(run)[protocol]
    head, *rows = page.table(f"Protocol {protocol} ")
    by_name = {name: cells for name, *cells in rows}
    means = {"mean of classes": (block["mean"], block["mean_interval"])}
    for name in CLASSES:
        means[name] = block["per_class"][name], block["per_class_interval"][name]
    for name, (scores, intervals) in means.items():
        expected = []
        for metric in scores:
            low, high = (shown(metric, end) for end in intervals[metric])
            interval = "-" if low == "-" else f"[{low}, {high}]"
            expected.append(f"{shown(metric, scores[metric])} {interval}")
        assert by_name[name] == expected
    units = {"strict": "mm", "transunet": "voxels"}
    assert head[1:3] == ["DSC %", f"HD95 {units[protocol]}"]


def test_the_papers_numbers_stand_under_its_protocol_alone(run):
    page, _ = read_page(run)
    (mean, *_) = [r for r in page.table("Protocol transunet ") if "Table 2" in r[0]]
    paper, ours = PAPER["acdc", "vqunet"], scores_of(run)["transunet"]["mean"]
    assert mean[1:4] == [
        f"78.15 ({100 * (ours['dsc'] - paper['dsc']):+.2f})",
        f"3.19 ({ours['hd95'] - paper['hd95']:+.2f})",
        "",
    ]
    assert not any("Table" in row[0] for row in page.table("Protocol strict "))


def test_every_case_is_a_row_and_hostile_names_are_text(run):
    page, text = read_page(run)
    report = scores_of(run)
    _, *rows = page.table("5 cases")
    assert [row[0] for row in rows] == list(IDS)
    assert [row[2] for row in rows[-2:]] == ["in neither", "2 missed"]
    data = json.loads(page.blocks["case-data"])["classes"]
    for index, name in enumerate(CLASSES, start=1):
        for case, values in zip(report["cases"], data[index]["values"], strict=True):
            expected = [shown(m, v) for m, v in case["per_class"][name].items()]
            assert ["-" if v is None else f"{v:.2f}" for v in values] == expected
    for row, values in zip(rows, data[0]["values"], strict=True):
        assert row[3:] == ["-" if v is None else f"{v:.2f}" for v in values]
    assert HOSTILE not in text
    assert not any("onerror" in attributes for _, attributes in page.tags)
    # The data, and the script.
    assert len(page.all("script")) == 2


def test_cells_of_the_cases_say_what_they_hold(run):
    """Style and script take it from there which columns are numbers."""
    page, _ = read_page(run)
    head, *_ = page.table("5 cases")
    types = [a["data-type"] for _, a in page.tags if "data-type" in a]
    assert types == (1 + len(IDS)) * (3 * ["text"] + (len(head) - 3) * ["number"])
    names = [a["data-column"] for a in page.all("th") if "data-column" in a]
    assert names[:4] == ["case", "patient", "found", "DSC"]


def test_page_needs_nothing_else(run):
    page, text = read_page(run)
    assert "://" not in text and "@import" not in text and "url(" not in text
    links = [
        attributes[name]
        for _, attributes in page.tags
        for name in ("src", "href", "action", "srcset", "data")
        if name in attributes
    ]
    assert all(link.startswith(("data:image/webp;base64,", "#")) for link in links)
    (policy,) = [m["content"] for m in page.all("meta") if "http-equiv" in m]
    assert policy.startswith("default-src 'none'; img-src data:")
    # Attributes of style would be refused by that policy.
    assert not any("style" in attributes for _, attributes in page.tags)


def test_page_can_be_read_aloud(run):
    page, _ = read_page(run)
    assert page.all("html") == [{"lang": "en"}]
    check_read_aloud(page)


def test_curves_have_their_values_in_tables(run):
    page, _ = read_page(run)
    history = runs.Run(run).history
    for caption, columns in (
        ("Training", ("loss", "val_loss", "dsc", "val_dsc", "learning_rate")),
        ("Codebook", ("codes_used", "val_codes_used", "perplexity")),
    ):
        _, *rows = page.table(caption)
        for row, epoch in zip(rows, history, strict=True):
            found = [float(cell) for cell in row[1 : 1 + len(columns)]]
            assert found == pytest.approx([epoch[c] for c in columns], rel=1e-4)


def test_run_without_a_codebook_has_no_life_of_one(tmp_path):
    run = write_run(tmp_path, model="r50-unet")
    rows = runs.Run(run).history
    kept = [
        {k: v for k, v in r.items() if not re.search("code|perp|quan", k)} for r in rows
    ]
    runs.write_csv(run / runs.HISTORY, kept)
    page, _ = read_page(run)
    assert "#codebook" not in [link["href"] for link in page.all("a")]


def test_slices_are_layers_of_the_cases(run):
    page, _ = read_page(run)
    assert [image["width"] for image in page.all("img")] == ["720"] * 3
    stored = json.loads((run / NAME).read_text("utf-8"))
    drawn = [path["d"] for path in page.all("path")]
    # A prediction's paths, then each of the reference's twice: an edge and dashes.
    best = stored["best"]
    assert drawn[:3] == best["prediction"]
    assert drawn[3:9:2] == drawn[4:9:2] == best["reference"]
    # The square from the third to the twelfth pixel, enlarged 45 times.
    numbers = [int(n) for n in re.findall(r"\d+", best["reference"][0])]
    assert (min(numbers), max(numbers)) == pytest.approx((90, 540), abs=1)


def test_slices_of_other_scores_are_not_shown(run):
    stored = json.loads((run / NAME).read_text("utf-8"))
    stored["best"]["dsc"] += 1e-6
    runs.write_json(run / NAME, stored)
    page, _ = read_page(run)
    assert not page.all("img") and "Score the run again" in " ".join(page.texts)
    (run / NAME).unlink()
    assert not read_page(run)[0].all("img")


def test_500_cases_stay_light(tmp_path):
    text = write_html_report(runs.Run(write_run(tmp_path, copies=100))).read_text(
        "utf-8"
    )
    page = Page(text)
    assert len(page.table("500 cases")) == 501
    assert len(page.all("img")) == 3
    assert len(text) < 1_200_000


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "metrics.json",
            None,
            "No metrics.json in .*; score it with synergynet evaluate",
        ),
        ("metrics.json", "{", "metrics.json is damaged"),
        ("metrics.json", '{"dataset": "acdc"}', "metrics.json is of another version"),
        ("history.csv", None, "No history.csv in"),
        ("history.csv", "epoch,loss\n1,x\n", "history.csv is damaged"),
        ("history.csv", "epoch,loss\n1,2\n", "there is no column"),
        ("environment.json", "[]", "environment.json is damaged"),
        (NAME, "{}", "slices.json is damaged"),
        (NAME, '{"best": {"image": "\\""}}', "slices.json is damaged"),
    ],
)
def test_what_is_missing_or_damaged_is_refused(run, name, content, said):
    (run / name).unlink()
    if content is not None:
        (run / name).write_text(content)
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        write_html_report(runs.Run(run))
    assert not (run / "report.html").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"bootstrap": {}},
        {"codes": {}},
        {"structures": {"rv": {}}},
        {"paper_protocol": "pooled"},
    ],
)
def test_scores_that_lack_a_part_are_refused(run, change):
    runs.write_json(run / "metrics.json", scores_of(run) | change)
    with pytest.raises(ValueError, match=r"metrics.json is of another version"):
        write_html_report(runs.Run(run))


def test_scores_older_than_the_weights_are_refused(run):
    later = (run / "metrics.json").stat().st_mtime + 10
    os.utime(run / runs.BEST_WEIGHTS, (later, later))
    with pytest.raises(ValueError, match="older than the weights"):
        write_html_report(runs.Run(run))


def test_the_flag_takes_scores_that_are_there(run, capsys):
    before = (run / "metrics.json").read_bytes()
    evaluate.main(["--run", str(run), "--report"])
    assert capsys.readouterr().out == f"wrote {run}/report.html\n"
    assert (run / "metrics.json").read_bytes() == before


def test_the_flag_takes_scores_of_the_same_data(run, capsys, monkeypatch):
    scores = scores_of(run)
    monkeypatch.chdir(run)
    (run / "metrics.json").write_text(json.dumps(scores | {"data_dir": f"{run}/data"}))
    evaluate.main(["--run", str(run), "--report", "--data-dir", "x/../data"])
    assert capsys.readouterr().err == ""


def test_scores_that_do_not_name_their_data_do_not_serve(run, monkeypatch):
    scores = scores_of(run)
    del scores["data_dir"]
    (run / "metrics.json").write_text(json.dumps(scores))
    plain = "test", "strict"
    assert evaluate._why_not(runs.Run(run), *plain, None, Postprocessing()) == ""
    assert "data_dir" in evaluate._why_not(
        runs.Run(run), *plain, "nowhere", Postprocessing()
    )


def test_the_flag_makes_scores_that_are_missing(squares_run, capsys):
    evaluate.main(["--run", str(squares_run), "--workers", "0", "--report"])
    printed = capsys.readouterr()
    assert f"scoring {squares_run}: it has no metrics.json\n" in printed.err
    page = Page((squares_run / "report.html").read_text("utf-8"))
    assert len(page.table("4 cases")) == 5
    assert [image["width"] for image in page.all("img")] == ["720"] * 3


@pytest.mark.parametrize(
    ("flags", "content", "reason"),
    [
        ((), "{", "its metrics.json is damaged, or of another version"),
        ((), None, "its metrics.json is older than the weights"),
        (("--largest",), "", "its metrics.json is of other options"),
        (("--split", "val", "--flips"), "", "of other split and options"),
        (("--protocol", "paper"), "", "its metrics.json is of other protocol"),
        (("--data-dir", "other"), "", "its metrics.json is of other data_dir"),
    ],
)
def test_the_flag_makes_scores_that_do_not_serve(
    run, flags, content, reason, capsys, monkeypatch
):
    if content:
        (run / "metrics.json").write_text(content)
    if content is None:
        os.utime(run / "metrics.json", (0, 0))
    found, scored = [], []
    monkeypatch.setattr(evaluate, "find_cases", lambda *how: found.append(how))
    monkeypatch.setattr(page, "write_html_report", lambda run: run)
    monkeypatch.setattr(evaluation, "evaluate_run", lambda *how: scored.append(how))
    evaluate.main(["--run", str(run), "--report", "--workers", "0", *flags])
    assert f"{reason}\n" in capsys.readouterr().err
    assert len(found) == len(scored) == 1
    assert found[0][1] == ("val" if "val" in flags else "test")
    assert scored[0][2] == Postprocessing("--flips" in flags, "--largest" in flags)


def test_all_of_a_run_is_in_the_report(run):
    page, _ = read_page(run)
    text = " ".join(page.texts)
    for word in ("vqunet on resnet50", "0123abc", "2 min", "paper split"):
        assert word in text
    assert "This is not the paper's recipe" in text
    assert HOSTILE in text
