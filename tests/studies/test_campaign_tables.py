"""The tables of kept scores: worked out by hand, and those of docs/results.md."""

import csv
import pathlib

import pytest

from studies import campaign_tables
from synergynet_tf.metrics import METRICS

DOCS = pathlib.Path(__file__).parents[2] / "docs"


def write_run(folder, dsc, hd95=1.0):
    """Writes a run whose cases have these DSC in both of two classes."""
    folder.mkdir()
    with (folder / "cases.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["case_id", "patient", "class", *METRICS])
        writer.writeheader()
        for case_id, value in dsc.items():
            scores = {**dict.fromkeys(METRICS, 0.5), "dsc": value, "hd95": hd95}
            for name in ("a", "b"):
                row = {"case_id": case_id, "patient": case_id, "class": name}
                writer.writerow({**row, **scores})
    (folder / "history.csv").write_text("epoch,val_dsc\n1,0.5\n2,0.75\n3,0.625\n")


def printed(capsys, folder, *flags):
    """Returns the cells of each line, those of the heads among them."""
    campaign_tables.main([str(folder), "--dataset", "toy", *flags])
    lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in rows if len(row) > 1]


def test_means_and_differences_by_hand(tmp_path, capsys):
    write_run(tmp_path / "toy-base-seed0", {"x": 0.5, "y": 0.7})
    write_run(tmp_path / "toy-base-seed1", {"x": 0.6, "y": 0.8})
    write_run(tmp_path / "toy-new-seed0", {"x": 0.9, "y": 0.7}, hd95=3.0)
    write_run(tmp_path / "other-new-seed0", {"x": 0.1})
    rows = printed(capsys, tmp_path, "--baseline", "base")
    assert ["Method", "Seed", "DSC (%)", "a", "b"] == rows[0][:5]
    runs = [row[:2] + row[3:5] + row[-1:] for row in rows[2:5]]
    assert runs == [
        ["base", "0", "60.0", "60.0", "75.0"],
        ["base", "1", "70.0", "70.0", "75.0"],
        ["new", "0", "80.0", "80.0", "75.0"],
    ]
    assert rows[2][2] == "60.00 [50.0, 70.0]" and rows[4][2] == "80.00 [70.0, 90.0]"
    assert [row[1] for row in rows[7:9]] == ["2", "1"]
    assert rows[7][2].startswith("65.00 [") and rows[8][3] == "3.00 [3.00, 3.00]"
    # x: 0.9 less 0.5 and 0.6 is 0.35; y: 0.7 less 0.7 and 0.8 is -0.05.
    assert rows[-1][0] == "new" and rows[-1][1].startswith("+15.00 [")
    assert rows[-1][3].startswith("+2.00 [") and rows[-1][-1] == "1, 1"


def test_runs_of_other_cases_are_refused(tmp_path):
    write_run(tmp_path / "toy-base-seed0", {"x": 0.5, "y": 0.7})
    write_run(tmp_path / "toy-new-seed0", {"x": 0.5, "z": 0.7})
    with pytest.raises(ValueError, match="new and base have other cases"):
        campaign_tables.main([str(tmp_path), "--dataset", "toy", "--baseline", "base"])


def test_a_missing_baseline_and_a_foreign_file_are_named(tmp_path):
    flags = [str(tmp_path), "--dataset", "toy", "--baseline", "base"]
    with pytest.raises(FileNotFoundError, match="toy-base-seed"):
        campaign_tables.main(flags)
    write_run(tmp_path / "toy-base-seed0", {"x": "good"})
    with pytest.raises(ValueError, match=r"toy-base-seed0/cases\.csv is no cases"):
        campaign_tables.main(flags)


def test_the_page_has_the_numbers_of_the_kept_scores(capsys):
    def cells(line):
        return [cell.strip() for cell in line.strip("|").split("|")]

    campaign_tables.main([str(DOCS / "results/campaign")])
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    page = (DOCS / "results.md").read_text().splitlines()
    for line in lines:
        name, *numbers = cells(
            line.replace("-paper-attention", ", `--attention paper`")
        )
        shown = [cells(row)[1:] for row in page if row.startswith(f"| {name} |")]
        # The page has one column more: the DSC under `transunet`.
        assert any(set(numbers) <= set(row) for row in shown) or "---" in name, line
