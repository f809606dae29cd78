"""Who may import whom, and what a folder and a file may look like."""

import ast
import functools
import graphlib
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
SCRIPTS = {"train", "evaluate", "predict"}

# Each room of the package and what it may import of it, besides `config`, `errors`
# and `safe_io`.
ROOMS = {
    "config": set(),
    "environment": set(),
    "errors": set(),
    "formats": {"metrics"},
    "layers": set(),
    "losses": set(),
    "metrics": set(),
    "parallel": set(),
    "runs": set(),
    "safe_io": set(),
    "signals": set(),
    "data": {"parallel"},
    "models": {"layers"},
    "training": {
        "data",
        "environment",
        "losses",
        "metrics",
        "models",
        "runs",
        "signals",
    },
    "experiments": {
        "environment",
        "formats",
        "models",
        "runs",
        "signals",
        "training",
    },
    "evaluation": {
        "data",
        "experiments",
        "formats",
        "losses",
        "metrics",
        "models",
        "parallel",
        "runs",
    },
    # The shipped models, as files.
    "zoo": set(),
    "export": {
        "data",
        "evaluation",
        "formats",
        "layers",
        "metrics",
        "models",
        "parallel",
        "runs",
        "zoo",
    },
}
# The commands come last.
ROOMS["cli"] = set(ROOMS)
# They only call a command, which `python -m` finds under these names.
DOORS = {
    "synergynet_tf/__init__.py",  # Lazily.
    "synergynet_tf/__main__.py",
    "synergynet_tf/data/__main__.py",
    "synergynet_tf/models/__main__.py",
    "synergynet_tf/evaluation/code_maps.py",
    "synergynet_tf/evaluation/figures/__main__.py",
}
BESIDE = ("export", "benchmarks", "studies", "tools")
KNOW_NOTHING = {"layers", "losses", "metrics", "safe_io"}
TENSORFLOW_ROOMS = (
    "synergynet_tf/data/pipeline.py",
    "synergynet_tf/training/distribution.py",
    "synergynet_tf/export/",
)


def sources():
    """Yields every file of the package, of the folders beside it, and the scripts."""
    for folder in ("", *(f"{name}/**/" for name in ("synergynet_tf", *BESIDE))):
        yield from sorted(ROOT.glob(f"{folder}*.py"))


def name_of(path):
    return path.relative_to(ROOT).as_posix()


@functools.cache
def imports(path):
    """Returns every module that a file names in an import, at any depth of code."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: relative import"
            # `from package import room` names the room.
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Dict):
            # A table of modules to import later, when one of them is asked for.
            texts = (v.value for v in node.values if isinstance(v, ast.Constant))
            names |= {t for t in texts if str(t).startswith("synergynet_tf.")}
    return names


def rooms_imported(path):
    parts = [name.split(".") for name in imports(path)]
    return {p[1] for p in parts if p[0] == "synergynet_tf" and p[1:]} & set(ROOMS)


def all_files():
    return [pytest.param(path, id=name_of(path)) for path in sources()]


def test_every_room_is_known():
    package = ROOT / "synergynet_tf"
    paths = (p for p in package.iterdir() if p.is_dir() or p.suffix == ".py")
    found = {path.stem for path in paths if path.name[0] not in "_."}
    assert found <= set(ROOMS)


def module_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def test_no_imports_go_in_a_circle():
    files = {module_of(path).removesuffix(".__init__"): path for path in sources()}
    graph = {}
    for module, path in files.items():
        found = set()
        for name in imports(path):
            while name and name not in files:  # A name in a module.
                name = name.rpartition(".")[0]
            found.add(name)
        graph[module] = found - {"", module}
    graphlib.TopologicalSorter(graph).prepare()  # Raises, and names the circle.


@pytest.mark.parametrize("path", all_files())
def test_imports_go_one_way(path):
    room, *inside = path.relative_to(ROOT).with_suffix("").parts
    if room != "synergynet_tf" or name_of(path) in DOORS:
        return  # What is beside it comes last.
    room = inside[0]
    if room == "__init__":
        allowed = set()
    elif room in KNOW_NOTHING:
        allowed = {room}
    else:
        allowed = {room, "config", "errors", "safe_io"} | ROOMS[room]
    assert rooms_imported(path) <= allowed


@pytest.mark.parametrize("path", all_files())
def test_nothing_imports_what_comes_last(path):
    last = SCRIPTS | (
        set(BESIDE) if path.is_relative_to(ROOT / "synergynet_tf") else set()
    )
    assert not {name.split(".")[0] for name in imports(path)} & last


@pytest.mark.parametrize("path", all_files())
def test_tensorflow_is_imported_in_its_rooms_alone(path):
    if not name_of(path).startswith(TENSORFLOW_ROOMS):
        assert "tensorflow" not in {name.split(".")[0] for name in imports(path)}


@pytest.mark.parametrize("path", all_files())
def test_file_is_named_after_what_is_in_it(path):
    assert path.stem not in {"utils", "helpers", "common", "base", "misc"}
    assert path.stem == path.stem.lower()


def test_no_folder_holds_one_file():
    folders = {path.parent for path in sources()}
    of_other_files = {ROOT / "export" / "serving", ROOT / "synergynet_tf" / "zoo"}
    for folder in folders - {ROOT} - of_other_files:
        files = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(files) > 1, f"{name_of(folder)} holds {len(files)} file(s)"
