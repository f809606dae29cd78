"""No file and no case is left out without a word: a search of the code.

Three ways to do it are looked for, and each function that is right to is listed with
the reason. One that is not listed fails the test, and so does a name that is listed and
not found.
"""

import ast
import pathlib
import textwrap

import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / "synergynet_tf"
# Where the files of users are told apart.
READERS = ("data/", "evaluation/inputs.py")
# Calls that list a folder. A pattern passes over what does not match it.
LISTING = {"iterdir", "glob", "rglob", "listdir", "scandir", "walk"}
# What a file is told by.
TESTS = {
    "exists",
    "fullmatch",
    "is_dir",
    "is_file",
    "is_symlink",
    "isdecimal",
    "match",
    "name",
    "stem",
    "suffix",
    "suffixes",
}
# Reason -> the functions.
ALLOWED = {
    "It lists a folder, and what it passes over is collected and said.": [
        "data/datasets/acdc.py listing",
        "data/datasets/bts.py listing",
        "data/datasets/bts.py _mat_files",
        "data/datasets/isic.py listing",
        "data/leaks.py _list",
        "data/listing.py list_files",
        "data/listing.py list_others",
    ],
    "It looks for one folder or table, and its caller says what was not found.": [
        "data/datasets/bts.py _find_folds",
        "data/datasets/folder.py _folders",
        "data/datasets/isic.py _folders",
        "data/datasets/msd.py _find_description",
        "models/lite0_weights.py require_package",
    ],
    "It picks names for a message.": [
        "data/check.py check",
        "data/check.py check_case",
        "data/datasets/msd.py _differences",
    ],
    "A cache that is damaged or cannot be written is as an empty one.": [
        "data/cache.py _load",
        "data/cache.py _save",
    ],
    "The files are the program's own, and what is other stays as it is.": [
        "data/store.py _sweep",
        "data/store.py _touched",
        "evaluation/tables/rows.py _seeds",
        "export/exported_model.py _saved_model",
        "export/parity.py _size",
        "export/saved_model.py version_dir",
        "runs/files.py remove_temporaries",
        "runs/run.py delete",
        "runs/run.py find_runs",
        "zoo/__init__.py names",
        "training/checkpoint.py _files",
    ],
    "Scores that are damaged are made anew.": [
        "evaluation/robustness/score.py _scored_rows",
    ],
    "That a thing is not there, or is no such thing, is the answer.": [
        "data/images.py orientation",
        "data/listing.py _by_name",
        "data/listing.py _holds",
        "data/listing.py file_stamp",
        "data/itk.py count_channels",
        "data/nifti.py count_channels",
        "environment.py _keras_json",
        "environment.py commit",
        "environment.py cpu_info",
        "export/serving_client.py _decode",
        "runs/lock.py Lock.is_there",
        "runs/lock.py check_unlocked",
        "training/distribution.py _capability",
        "training/fit.py _check_data",
    ],
    "Another process holds the lock: the caller refuses.": ["runs/lock.py _try"],
    "A lock that nobody holds locks nothing, whether or not its file is there.": [
        "runs/lock.py lock",
    ],
    "The file itself is written, or its error is already on its way.": [
        "runs/files.py _sync_folder",
        "runs/files.py atomic_file",
    ],
}


def functions(tree):
    """Yields the statements and expressions of each function, with its name."""

    def walk(node, name):
        for child in ast.iter_child_nodes(node):
            inner = name
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                inner = f"{name}.{child.name}".removeprefix(".")
            yield inner, child
            yield from walk(child, inner)

    yield from walk(tree, "")


def attributes(node):
    return {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}


def lists(node, path):
    """Tells whether a call lists a folder."""
    return isinstance(node, ast.Call) and bool(LISTING & attributes(node.func))


def swallows(node, path):
    """Tells whether an error is caught and nothing comes of it, nor is said."""
    if isinstance(node, ast.withitem):
        return "suppress" in attributes(node.context_expr)
    return isinstance(node, ast.ExceptHandler) and all(map(is_nothing, node.body))


def is_nothing(statement):
    """Tells whether a statement goes on without a word: `pass`, `return None`."""
    if isinstance(statement, ast.Return):
        # Not a text, which is the word.
        values = list(ast.walk(statement.value)) if statement.value else []
        texts = (getattr(value, "value", None) for value in values)
        calls = any(isinstance(value, ast.Call) for value in values)
        return not calls and not any(isinstance(t, str) and t for t in texts)
    return isinstance(statement, ast.Pass | ast.Continue | ast.Break)


def skips(node, path):
    """Tells whether a loop leaves a file out for what files are told by."""
    if not path.startswith(READERS):
        return False
    if isinstance(node, ast.comprehension):
        return any(attributes(test) & TESTS for test in node.ifs)
    if not isinstance(node, ast.For):
        return False
    tests = [
        inner
        for inner in ast.walk(node)
        if isinstance(inner, ast.If) and attributes(inner.test) & TESTS
    ]
    return any(
        # `if path.is_dir(): continue`, and `if path.is_file():` around all there is.
        isinstance(test.body[0], ast.Continue) or node.body == [test]
        for test in tests
        if not test.orelse and not isinstance(test.body[-1], ast.Raise | ast.Return)
    )


WAYS = (lists, swallows, skips)


def places(path, text):
    """Returns the functions of a file, such as `data/a.py read`, that need a reason."""
    return {
        f"{path} {name}".strip()
        for name, node in functions(ast.parse(text))
        if any(way(node, path) for way in WAYS)
    }


def test_every_place_has_its_reason():
    found = set()
    for path in PACKAGE.rglob("*.py"):
        found |= places(path.relative_to(PACKAGE).as_posix(), path.read_text("utf-8"))
    listed = {place for group in ALLOWED.values() for place in group}
    assert not found - listed, "give a reason, or say what is left out"
    assert not listed - found, "these are needed no longer"


@pytest.mark.parametrize(
    "body",
    [
        "for p in root.iterdir():\n  read(p)",
        "paths = sorted(root.glob('*.png'))",
        "names = os.listdir(root)",
        "try:\n  read(p)\nexcept ValueError:\n  pass",
        "for p in ps:\n  try:\n    read(p)\n  except OSError as e:\n    continue",
        "try:\n  read(p)\nexcept (KeyError, ValueError):\n  return None",
        "with contextlib.suppress(OSError):\n  read(p)",
        "for p in ps:\n  if not p.is_file():\n    continue\n  read(p)",
        "for p in ps:\n  if p.suffix in KINDS:\n    read(p)",
        "cases = [p for p in ps if p.suffix in KINDS]",
        "cases = {m[1]: p for p in ps if (m := CASE.fullmatch(p.name))}",
    ],
)
def test_what_drops_a_file_is_found(body):
    code = f"def f():\n{textwrap.indent(body, '  ')}"
    assert places("data/a.py", code) == {"data/a.py f"}


@pytest.mark.parametrize(
    "body",
    [
        "for p in ps:\n  read(p)",
        "try:\n  read(p)\nexcept ValueError as e:\n  problems.append(str(e))",
        "try:\n  read(p)\nexcept OSError as e:\n  raise ValueError(p) from e",
        "try:\n  read(p)\nexcept KeyError:\n  return None, 'of another version'",
        "for p in ps:\n  if p.is_dir():\n    passed.append(p)\n    continue\n  read(p)",
        "for p in ps:\n  if p.name in seen:\n    raise ValueError(p)\n  read(p)",
        "big = [x for x in xs if x > 1]",
    ],
)
def test_what_says_so_is_not(body):
    code = f"def f():\n{textwrap.indent(body, '  ')}"
    assert places("data/a.py", code) == set()
