"""No reader fails on a mutated file: it accepts it, or refuses it in one line."""

import functools
import pathlib
import shutil
import sys
import tempfile
from typing import NamedTuple

import pytest
from hypothesis import given, settings

from tests.fuzz import strategies
from tests.fuzz.readers import READERS, examine, find
from tests.fuzz.sandbox import Sandbox, Verdict

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
NAMES = [
    pytest.param(name, marks=pytest.mark.slow if reader.slow else ())
    for name, reader in READERS.items()
]


class Target(NamedTuple):
    """A reader, its valid folder, what it made of it, and where to mutate copies."""

    name: str
    folder: pathlib.Path
    verdict: Verdict
    space: pathlib.Path


@pytest.fixture(scope="module")
def sandbox():
    process = Sandbox()
    yield process
    process.close()


@pytest.fixture(scope="module", params=NAMES)
def target(request, sandbox, tmp_path_factory):
    name, space = request.param, tmp_path_factory.mktemp("fuzz")
    folder = space / "valid"
    folder.mkdir()
    real = [request.getfixturevalue("real_data")] if READERS[name].real else []
    READERS[name].write(folder, *real)
    work = functools.partial(examine, folder, name, find(folder, name))
    return Target(name, folder, sandbox.warm_up(work), space)


def test_valid_file_is_accepted(target):
    assert target.verdict == Verdict("accepted", "")


def test_mutated_file_is_accepted_or_refused(target, sandbox, record_property):
    reader, valid = READERS[target.name], find(target.folder, target.name)
    examples = settings().max_examples
    if reader.slow:
        examples = max(examples // 10, min(examples, 6))

    @settings(max_examples=examples)
    @given(strategies.mutations(reader.kind, valid.read_bytes()))
    def read(mutate):
        folder = pathlib.Path(tempfile.mkdtemp(dir=target.space))
        shutil.copytree(target.folder, folder, dirs_exist_ok=True)
        path = folder / valid.relative_to(target.folder)
        mutate(path)
        verdict = sandbox.run(functools.partial(examine, folder, target.name, path))
        record_property(target.name, verdict.kind)
        assert verdict.kind != "failed", f"{verdict.text}; see {path}"
        shutil.rmtree(folder)

    read()


@pytest.mark.parametrize("kind", strategies.FORMATS)
def test_strategies_differ_from_the_valid_file(kind, tmp_path):
    """Most of what a format's strategy makes is another file, and no two are one."""
    name = next(n for n, r in READERS.items() if r.kind == kind and not r.slow)
    READERS[name].write(tmp_path)
    valid, made = find(tmp_path, name).read_bytes(), set()

    @given(strategies.FORMATS[kind](valid))
    def collect(content):
        made.add(content)

    collect()
    assert len(made - {valid}) >= 3
