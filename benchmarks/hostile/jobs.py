"""One mutated file: written, read, judged. What the processes import."""

from __future__ import annotations

import functools
import pathlib
import shutil
import tempfile
from typing import NamedTuple

import numpy as np

from benchmarks.hostile import archives, mutations, pictures, tensors, texts, workers
from benchmarks.hostile.readers import READERS
from benchmarks.hostile.workers import Verdict

MUTATIONS = {
    **texts.MUTATIONS,
    **pictures.MUTATIONS,
    **archives.MUTATIONS,
    **tensors.MUTATIONS,
}


class Job(NamedTuple):
    """One mutated file.

    Attributes:
        seed: Of all files.
        number: Of this one.
        reader: A key of `READERS`.
        space: Folder of all files.
        real: Folder of real data to mutate, if given.
    """

    seed: int
    number: int
    reader: str
    space: pathlib.Path
    real: pathlib.Path | None

    @property
    def folder(self) -> pathlib.Path:
        """Where the file and what belongs to it are written."""
        return self.space / f"{self.number:05d}"


def mutate(job: Job) -> tuple[pathlib.Path, str]:
    """Writes a job's folder; returns the file that was mutated, and how."""
    rng = np.random.default_rng([job.seed, job.number])
    reader = READERS[job.reader]
    source = _sample(job.reader, job.real)
    shutil.copytree(source[0], job.folder)
    path = job.folder / source[1]
    choice = rng.random()
    if choice < 0.1:
        return path, mutations.replace(rng, path)
    data = path.read_bytes()
    if choice < 0.6 and reader.kind in MUTATIONS:
        changed, how = MUTATIONS[reader.kind](rng, data)
    else:
        changed, how = mutations.damage(rng, data)
    path.write_bytes(changed)
    return path, how


@functools.cache
def _sample(
    reader: str, real: pathlib.Path | None
) -> tuple[pathlib.Path, pathlib.PurePath]:
    """Writes a whole folder of a reader, once a process; returns it and its file."""
    space = _space()
    folder = pathlib.Path(tempfile.mkdtemp(dir=space.name))
    path = READERS[reader].sample(folder, real)
    return folder, path.relative_to(folder)


@functools.cache
def _space() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="hostile-samples-")


def read(job: Job, mutated: tuple[pathlib.Path, str]) -> Verdict:
    """Reads the folder of one mutated file."""
    path, how = mutated
    # What is not there any more may be told by its folder.
    beside = [found.name for found in job.folder.rglob("*") if found.is_file()]
    stem = path.name.partition(".")[0]
    names = [path.name, stem, *beside]
    if not path.is_file():
        names.append(job.folder.name)
    reader = READERS[job.reader]
    verdict = workers.measured(
        lambda: workers.attempt(lambda: reader.read(job.folder), names)
    )
    return Verdict(verdict.kind, f"{how}: {verdict.text}")
