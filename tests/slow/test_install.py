"""The package as a user installs it: fresh environments, outside the checkout."""

import os
import pathlib
import subprocess
import sys

import pytest

from tests.test_zoo import spot

ROOT = pathlib.Path(__file__).parents[2]
# Without TensorFlow; with Python's own files, pip and compiled modules.
MAX_LIGHT_BYTES = 620e6
OUT = ("--output", "out")

pytestmark = pytest.mark.slow


def install(folder, what):
    """Installs the checkout into a fresh environment; returns where programs are."""
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    programs = folder / "venv" / "bin"
    command = [programs / "python", "-m", "pip", "install", "--quiet", what]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode and "No matching distribution" in done.stderr:
        pytest.skip("no package index is at hand")
    assert done.returncode == 0, done.stderr
    return programs


def run(programs, folder, *arguments):
    """Runs `synergynet` in a folder of its own; returns what it printed."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [programs / "synergynet", *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_light_install_segments_by_name_and_compares(tmp_path):
    import cv2

    programs = install(tmp_path, str(ROOT))
    installed = sum(
        path.lstat().st_size
        for path in (tmp_path / "venv").rglob("*")
        if path.is_file()
    )
    assert installed < MAX_LIGHT_BYTES
    place = tmp_path / "elsewhere"
    place.mkdir()
    image, disk = spot()
    cv2.imwrite(str(place / "photo.png"), image[..., ::-1])
    assert "isic-lite0" in run(programs, place, "models", "--zoo")
    run(programs, place, "predict", "photo.png", "--model", "isic-lite0", *OUT)
    labels = cv2.imread(str(place / "out" / "photo.png"), cv2.IMREAD_UNCHANGED)
    # As in this environment.
    command = [sys.executable, "-m", "synergynet_tf", "predict", place / "photo.png"]
    command += ["--model", "isic-lite0", "--output", tmp_path / "here"]
    subprocess.run(command, check=True, cwd=ROOT)
    here = cv2.imread(str(tmp_path / "here" / "photo.png"), cv2.IMREAD_UNCHANGED)
    assert (labels == here).all() and labels.any()
    for folder, mask in (("truth", disk * 255), ("found", labels)):
        (place / folder).mkdir()
        cv2.imwrite(str(place / folder / "photo.png"), mask.astype("uint8"))
    names = ["--reference", "truth", "--predictions", "found", "--out", "scores"]
    assert "found" in run(programs, place, "compare", *names)


def test_an_install_with_train_trains_the_demo(tmp_path):
    programs = install(tmp_path, f"{ROOT}[train]")
    place = tmp_path / "elsewhere"
    place.mkdir()
    flags = "--dataset phantom --encoder-weights none --image-size 32 --limit 8"
    flags += " --num-codes 16 --hidden-dim 16 --epochs 1 --backbone efficientnetlite0"
    run(programs, place, "train", *flags.split())
    assert "synergynet-8s2h" in run(programs, place, "evaluate", "--workers", "0")
    assert {path.name for path in place.iterdir()} == {"runs"}
