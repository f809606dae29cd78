"""The two commands of a table, run for real on a tiny tree."""

import os
import pathlib
import subprocess
import sys

import pytest

from synergynet_tf import runs
from tests.data import trees

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.slow
def test_a_table_is_trained_resumed_and_printed(tmp_path):
    """A row that cannot be trained does not end the others; nothing is done twice."""
    root = trees.write_isic(tmp_path / "isic", train=20, val=3, test=4)
    runs_dir = tmp_path / "my runs"
    broken = runs_dir / "smoke/isic/r50-unet/seed0"
    runs.write_text(broken / "config.json", "{}")

    def run(script, *flags):
        common = ["--table", "3", "--budget", "smoke", "--runs", str(runs_dir)]
        done = subprocess.run(
            [sys.executable, script, *common, *flags],
            cwd=ROOT,
            env={**os.environ, "SYNERGYNET_CACHE": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout

    train = ("train.py", "--data-dir", str(root), "--row", "r50-unet", "vqunet")
    code, printed = run(*train)
    assert code == 1
    first, second = printed.splitlines()[-2:]
    assert first.startswith("r50-unet seed 0  failed: ") and "config.json" in first
    assert second.startswith("vqunet seed 0    trained in ")

    finished = runs_dir / "smoke/isic/vqunet/seed0" / runs.FINISHED
    before = finished.stat().st_mtime_ns
    (broken / "config.json").unlink()
    code, printed = run(*train)
    assert code == 0
    first, second = printed.splitlines()[-2:]
    assert "trained in" in first and second.endswith("finished in float32")
    assert finished.stat().st_mtime_ns == before

    code, table = run("evaluate.py", "--rival", "r50-unet", "--workers", "0")
    assert code == 0
    assert "official split, test part: 4 cases of 4 patients" in table
    assert "32 px, 1 epoch of batches of 2" in table and "limit 32" in table
    ours = [line.split() for line in table.splitlines() if line.startswith("vqunet")]
    assert len(ours) == 1 and len(ours[0]) == 10 and "-" not in ours[0][:8]
    # The scores are there by now, and give the same table.
    assert run("evaluate.py", "--rival", "r50-unet") == (0, table)
