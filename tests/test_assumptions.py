"""docs/assumptions.md lists every `Assumption:` of the code, and nothing else."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]
SOURCES = ("*.py", "synergynet_tf/**/*.py", "export/**/*.py")
MARK = "Assumption: "


def assumptions_in_code():
    """Returns what follows each mark, on one line, by file."""
    found = {}
    for path in sorted(path for glob in SOURCES for path in ROOT.glob(glob)):
        text = " ".join(path.read_text("utf-8").replace("#", " ").split())
        if MARK in text:
            found[path.relative_to(ROOT).as_posix()] = text.split(MARK)[1:]
    return found


def assumptions_in_document():
    """Returns the first words of each mark that the page lists, by file."""
    text = (ROOT / "docs" / "assumptions.md").read_text("utf-8")
    _, *parts = re.split(r"^## `(.+)`$", text, flags=re.MULTILINE)
    sections = zip(parts[::2], parts[1::2], strict=True)
    return {
        file: re.findall(r"^- \*([^*]+)\*:", section, flags=re.MULTILINE)
        for file, section in sections
    }


def test_every_file_with_assumptions_is_listed():
    assert set(assumptions_in_document()) == set(assumptions_in_code())


def test_every_assumption_is_listed_once_with_its_first_words():
    listed = assumptions_in_document()
    for file, marks in assumptions_in_code().items():
        starts = [
            [words for words in listed[file] if mark.startswith(words)]
            for mark in marks
        ]
        assert [len(words) for words in starts] == [1] * len(marks), (file, starts)
        assert len(listed[file]) == len(marks), file
