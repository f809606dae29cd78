"""What README.md and docs/ say is so: commands, links, Python, and the way through."""

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

from synergynet_tf.cli.synergynet import COMMANDS, EXPORTS
from synergynet_tf.data.datasets import acdc, phantom

ROOT = pathlib.Path(__file__).parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), *sorted(ROOT.glob("docs/**/*.md"))]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
OWN_IMAGES = ROOT / "docs/start/own-images.md"
FIRST = 10  # Its commands up to the first export.

# Added to the documented command, so that training takes seconds.
QUICK = (
    "--encoder-weights none --image-size 32 --num-codes 8 --hidden-dim 16 "
    "--epochs 1 --batch-size 4"
).split()


def blocks(path, language):
    text = path.read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(*paths):
    """Returns the commands of this project in shell blocks, split.

    Settings before a command are left out; what stands for something else, such as
    `RUN` or `...`, stays.
    """
    text = "".join(block for path in paths for block in blocks(path, "sh"))
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and re.match(r"[A-Z_]+=", words[0]):
            words = words[1:]
        own = words and words[0] in ("python", "synergynet") and words[1] != "-c"
        if own and not any("$" in word for word in words):
            found.append(words)
    return found


def module_of(command):
    """Returns the module of a command, and where its flags begin."""
    if command[0] == "synergynet":
        export = command[1] == "export" and len(command) > 2
        module, _ = (
            EXPORTS[command[2]] if export else COMMANDS.get(command[1], ("", ""))
        )
        return module and f"synergynet_tf.{module}", 3 if export else 2
    if command[1] != "-m":
        return command[1].removesuffix(".py"), 2
    package = (ROOT / command[2].replace(".", "/")).is_dir()
    return (f"{command[2]}.__main__" if package else command[2]), 3


@pytest.mark.parametrize(
    "command", {" ".join(c): c for c in commands(*DOCUMENTS)}.values(), ids=" ".join
)
def test_the_command_has_these_flags(command):
    module, first = module_of(command)
    if not module:
        assert command[1] in ("--help", "--version", "export")
    elif module.startswith(
        ("synergynet_tf", "benchmarks", "studies", "export", "tools")
    ):
        importlib.import_module(module).parse_args(command[first:])
    elif module != "http.server":
        importlib.import_module(module).parse_args(command[first:])


def test_a_flag_that_does_not_exist_is_noticed():
    with pytest.raises(SystemExit):
        importlib.import_module("train").parse_args(["--dataset", "isic", "--nonsense"])


def test_every_command_is_documented():
    documented = {c[1] for c in commands(*DOCUMENTS) if c[0] == "synergynet"}
    table = (ROOT / "README.md").read_text("utf-8")
    documented |= set(re.findall(r"`synergynet (\w+)", table))
    assert set(COMMANDS) - documented == set()


@pytest.mark.parametrize(
    ("name", "patients"), [("codes", acdc.PAPER_VAL), ("figures", acdc.PAPER_TEST)]
)
def test_named_cases_are_of_the_part_that_is_looked_at(name, patients):
    (named,) = (
        command[command.index("--cases") + 1]
        for command in commands(*DOCUMENTS)
        if command[1] == name and "--cases" in command
    )
    assert int(re.fullmatch(r"patient(\d+)_frame\d+", named)[1]) in patients


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", ROOT / "docs/start/python.md"], ids=lambda p: p.name
)
def test_the_python_runs(path, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("photo.jpg", np.full((32, 48, 3), 128, np.uint8))
    for block in blocks(path, "python"):
        exec(block, {})
        printed = capsys.readouterr().out
        # What a comment says of a shape is what is printed.
        for shape in re.findall(r"Logits:? ?,? (\([\d, ]+\))", block):
            assert shape in printed


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("docs/**/*.ipynb")), ids=lambda p: p.stem
)
def test_the_notebook_runs(path, tmp_path):
    cells = json.loads(path.read_text("utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert all(cell.get("outputs", []) == [] for cell in cells)
    run(
        ["-c", "\n".join(["import matplotlib; matplotlib.use('agg')", *code])], tmp_path
    )


@pytest.mark.parametrize(
    "path", DOCUMENTS, ids=lambda p: p.relative_to(ROOT).as_posix()
)
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
    section = read("README.md").partition("## Dependencies")[2]
    rows = re.findall(r"^\| ([a-z][\w, -]+) \|", section, re.MULTILINE)
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


def run_commands(commands, folder):
    """Runs commands in one process: TensorFlow's start is most of what each takes."""
    program = "import sys\nfrom synergynet_tf.cli.synergynet import main\n"
    for command in commands:
        flags = QUICK if command[1] == "train" else []
        program += f"sys.argv = {command + flags}\nmain()\n"
    run(["-c", program], folder)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A folder in which the page was followed from training to the served model."""
    folder = tmp_path_factory.mktemp("docs")
    draw_photos(folder / "photos")
    first = commands(OWN_IMAGES)[:FIRST]
    names = ["data", "train", "evaluate", "evaluate", "report", "predict", "predict"]
    names += ["compare", "calibrate", "export"]
    assert [command[1] for command in first] == names
    run_commands(first, folder)
    return folder


def test_own_images_from_training_to_the_served_model(served):
    printed = run(["-c", "".join(blocks(OWN_IMAGES, "python"))], served)
    scored = served / "runs/folder/synergynet-8s2h/seed0"
    assert (scored / "metrics.json").is_file()
    assert (scored / "report.html").is_file()
    assert len(list((scored / "overlays").glob("*.png"))) > 0
    assert len(list((served / "predictions").glob("?.png"))) == 10
    assert (scored / "calibration.json").is_file()
    assert (served / "scores" / "report.html").is_file()
    assert printed in ("(1, 96, 96) (1, 96, 96, 1)\n", "(1, 96, 80) (1, 96, 80, 1)\n")


@pytest.mark.slow
def test_own_images_on_devices(served):
    """Exports, predicts with what was exported, and proves it."""
    labels = {p.name: p.read_bytes() for p in served.glob("predictions/?.png")}
    further = commands(OWN_IMAGES)[FIRST:]
    names = [*["export"] * 3, *["predict"] * 2, "parity"]
    assert [command[1] for command in further] == names
    for command in further:
        run_commands([command], served)
        found = {p.name: p.read_bytes() for p in served.glob("predictions/?.png")}
        assert found == labels, command
    proof = json.loads(next(served.glob("runs/*/*/*/parity.json")).read_text())
    assert len(proof["exports"]) == 4
