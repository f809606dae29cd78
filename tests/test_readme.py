"""What README.md and its kin say is so: commands, links, and the way through."""

import importlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

import cv2
import numpy as np
import pytest

from synergynet_tf.data.datasets import acdc, phantom

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")

# Added to the README's own command, so that training takes seconds.
QUICK = (
    "--encoder-weights none --image-size 32 --num-codes 8 --hidden-dim 16 "
    "--epochs 1 --batch-size 4"
).split()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def commands():
    """Returns each command of the shell blocks, split, without settings before it."""
    lines = "".join(blocks("sh")).replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True) for line in lines]
    return [[w for w in c if not re.match(r"[A-Z_]+=", w)] for c in words if c]


def module_of(command):
    """Returns the Python module that a command runs."""
    assert command[0] == "python", command
    if command[1] != "-m":
        return command[1].removesuffix(".py")
    package = (ROOT / command[2].replace(".", "/")).is_dir()
    return f"{command[2]}.__main__" if package else command[2]


def flags_of(command):
    return command[3:] if command[1] == "-m" else command[2:]


@pytest.mark.parametrize(
    "command", [c for c in commands() if c[0] != "make"], ids=" ".join
)
def test_the_command_has_these_flags(command):
    importlib.import_module(module_of(command)).parse_args(flags_of(command))


def test_a_flag_that_does_not_exist_is_noticed():
    with pytest.raises(SystemExit):
        importlib.import_module("train").parse_args(["--dataset", "isic", "--nonsense"])


@pytest.mark.parametrize(
    ("module", "patients"),
    [("code_maps", acdc.PAPER_VAL), ("figures", acdc.PAPER_TEST)],
)
def test_named_cases_are_of_the_part_that_is_looked_at(module, patients):
    (named,) = (
        command[command.index("--cases") + 1]
        for command in commands()
        if f"synergynet_tf.evaluation.{module}" in command and "--cases" in command
    )
    assert int(re.fullmatch(r"patient(\d+)_frame\d+", named)[1]) in patients


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_make_targets_and_links_exist(path):
    text = path.read_text("utf-8")
    targets = set(re.findall(r"`make ([a-z-]+)`|^make ([a-z-]+)", text, re.MULTILINE))
    for target in {first or second for first, second in targets}:
        assert re.search(rf"^{target}:.*##", MAKEFILE, re.MULTILINE), f"make {target}"
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", prose):
        assert link.startswith("https://") or (path.parent / link).exists(), link


def test_every_dependency_has_its_reason():
    listed = set(re.findall(r"^[a-z][\w-]+", read("requirements.txt"), re.MULTILINE))
    listed |= set(
        re.findall(r"^[a-z][\w-]+", read("requirements-dev.txt"), re.MULTILINE)
    )
    rows = re.findall(r"^\| ([a-z][\w, -]+) \|", README, re.MULTILINE)
    assert {name for row in rows for name in row.split(", ")} == listed


def read(name):
    return (ROOT / name).read_text("utf-8")


def draw_photos(folder):
    """Writes ten small photographs with masks, of two sizes."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for number in range(10):
        case = phantom.read_case("", phantom.case_ids("")[number])
        columns = (96, 80)[number % 2]
        image = np.clip(case.image[0, :, :columns, 0] / 5, 0, 255).astype(np.uint8)
        mask = (case.label[0, :, :columns] > 0).astype(np.uint8) * 255
        cv2.imwrite(str(folder / "images" / f"{number}.png"), cv2.merge([image] * 3))
        cv2.imwrite(str(folder / "masks" / f"{number}.png"), mask)


def run(arguments, folder):
    """Runs Python in `folder` as a user would; returns what it prints."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "SYNERGYNET_CACHE": str(folder / "cache"),
        "KERAS_BACKEND": "tensorflow",
    }
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,  # Of a busy machine; alone it takes a tenth.
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def own_commands():
    """The README's commands for one's own images, what takes exports last."""
    own = [c for c in commands() if "photos" in " ".join(c) or "folder" in " ".join(c)]
    return sorted(own, key=lambda command: "--model" in command)


def run_command(command, folder):
    module = module_of(command)
    script = ["-m", module] if command[1] == "-m" else [str(ROOT / command[1])]
    quick = QUICK if module == "train" else []
    run([*script, *flags_of(command), *quick], folder)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A folder in which the README was followed from training to the served model."""
    folder = tmp_path_factory.mktemp("readme")
    draw_photos(folder / "photos")
    first = own_commands()[:5]
    modules = ["train", "evaluate", "evaluate", "predict", "export.saved_model"]
    assert [module_of(command) for command in first] == modules
    for command in first:
        run_command(command, folder)
    return folder


def test_the_readme_from_training_to_the_served_model(served):
    printed = run(["-c", "".join(blocks("python"))], served)
    scored = served / "runs/folder/synergynet-8s2h/seed0"
    assert (scored / "metrics.json").is_file()
    assert (scored / "report.html").is_file()
    assert len(list((scored / "overlays").glob("*.png"))) > 0
    assert len(list((served / "predictions").glob("?.png"))) == 10
    assert printed in ("(1, 96, 96) (1, 96, 96, 1)\n", "(1, 96, 80) (1, 96, 80, 1)\n")


@pytest.mark.slow
def test_the_readme_on_devices(served):
    """Exports, predicts with what was exported, and proves it."""
    labels = {p.name: p.read_bytes() for p in served.glob("predictions/?.png")}
    further = own_commands()[5:]
    modules = [*["export.tflite"] * 3, *["predict"] * 2, "export.parity"]
    assert [module_of(command) for command in further] == modules
    for command in further:
        run_command(command, served)
        found = {p.name: p.read_bytes() for p in served.glob("predictions/?.png")}
        assert found == labels, command
    proof = json.loads(next(served.glob("runs/*/*/*/parity.json")).read_text())
    assert len(proof["exports"]) == 4
