import subprocess
import sys

import numpy as np
import pytest

from synergynet_tf.cli.data import main
from synergynet_tf.config import DataConfig
from synergynet_tf.data import DATASETS
from synergynet_tf.data.check import format_summary, summarize
from tests.data.trees import WRITERS, box_labels, write_acdc, write_nifti


def row(text, name):
    """Returns the cells of a line."""
    (line,) = (line for line in text.splitlines() if line.startswith(name))
    return line.removeprefix(name).split()


def test_table_by_hand(tmp_path):
    root = write_acdc(tmp_path)
    path = root / "training/patient001/patient001_frame01"
    image, labels = np.full((8, 6, 5), 7, np.int16), box_labels((8, 6, 5), 3)
    labels[labels == 1] = 0
    write_nifti(path.with_name(path.name + ".nii.gz"), image, (1.0, 1.5, 8))
    write_nifti(path.with_name(path.name + "_gt.nii.gz"), labels, (1.0, 1.5, 8))
    summary = summarize(DataConfig("acdc", str(root), "random"))
    text = format_summary(summary)
    assert text.startswith(f"acdc at {root}: random split, modality mri\n")
    assert row(text, "train") == ["14", "7"]
    assert row(text, "test") == ["4", "2"]
    # One case of 20 differs.
    assert row(text, "slices") == ["3", "3", "5"]
    assert row(text, "slice mm") == ["8", "10", "10"]
    assert row(text, "column mm") == ["1", "1.5", "1.5"]
    assert row(text, "highest")[0] == "7"
    # One column of 8 by 4 of 6 rows: 1/12; in 19 of 20 cases, and in all.
    assert row(text, "rv") == ["7.917", "19", "of", "20"]
    assert row(text, "lv") == ["8.333", "20", "of", "20"]


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset(name, tmp_path, capsys):
    root = WRITERS[name](tmp_path)
    main(["--dataset", name, "--data-dir", str(root), "--fold", "1/3", "--limit", "2"])
    text = capsys.readouterr().out
    assert "random split, fold 1/3" in text and row(text, "test")[0] == "2"
    for label in DATASETS[name].class_names(root):
        assert row(text, label)[1:] in (["5", "of", "5"], ["6", "of", "6"])


def test_unreadable_cases_are_listed(tmp_path, capsys):
    root = write_acdc(tmp_path)
    for number in (3, 5):
        path = root / f"training/patient{number:03d}/patient{number:03d}_frame12.nii.gz"
        path.write_bytes(b"")
    with pytest.raises(SystemExit) as end:
        main(["--dataset", "acdc", "--data-dir", str(root)])
    assert end.value.code == 1
    text = capsys.readouterr().out
    assert "2 cases cannot be read:" in text
    for number in (3, 5):
        assert f"patient{number:03d}_frame12: Case patient{number:03d}" in text
    assert row(text, "lv")[1:] == ["18", "of", "18"]


def test_command_refuses_in_one_line(tmp_path):
    command = [sys.executable, "-m", "synergynet_tf.data", "--dataset", "acdc"]
    done = subprocess.run(
        [*command, "--data-dir", str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.startswith("error: No training/ in ")
    assert done.stderr.count("\n") == 1
