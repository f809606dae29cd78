"""Everything that is wrong with a dataset's files, found at once."""

from __future__ import annotations

import concurrent.futures
import functools
import hashlib
import multiprocessing
import pathlib
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

import numpy as np
import tqdm

from synergynet_tf.config import DataConfig
from synergynet_tf.data import DATASETS
from synergynet_tf.data.spec import Case, ListingError
from synergynet_tf.data.splits import data_root

# Between microscopes and mistaken units; ones stand where no spacing is known.
SPACING_MM = (0.001, 100.0)


class Findings(NamedTuple):
    """What was found.

    Attributes:
        cases: How many were looked at.
        problems: A line each: what a training or a score would fail of, or be wrong by.
        notes: A line each: what may be as it should.
    """

    cases: int
    problems: list[str]
    notes: list[str]


class Look(NamedTuple):
    """What is seen of one case.

    Attributes:
        case_id: The case.
        problem: Why it cannot be used, or `""`.
        notes: What is strange about it.
        digest: The same for images that are the same; `""` for one that is unreadable.
        classes: The labels that it has, above 0.
    """

    case_id: str
    problem: str = ""
    notes: tuple[str, ...] = ()
    digest: str = ""
    classes: frozenset[int] = frozenset()


def check(data: DataConfig, workers: int) -> Findings:
    """Reads every case of a dataset.

    Args:
        data: Which dataset, and where.
        workers: Processes that read; 0 for none.

    Raises:
        FileNotFoundError: If the data is not there.
        OSError: If a process died, for example for want of memory.
    """
    dataset, root = DATASETS[data.dataset], data_root(data)
    problems: list[str] = []
    try:
        case_ids = dataset.case_ids(root)
    except ListingError as error:
        problems += error.problems
        case_ids = sorted(error.case_ids)
    except ValueError as error:
        problems.append(str(error))
        case_ids = []
    names: tuple[str, ...] = ()
    try:
        names = dataset.class_names(root)
    except ValueError as error:
        problems.append(str(error))
    look = functools.partial(look_at, data.dataset, root)
    looks = list(_map(look, case_ids, workers))
    problems += [seen.problem for seen in looks if seen.problem]
    problems += _duplicates(looks)
    notes = [note for seen in looks for note in seen.notes]
    found = frozenset[int]().union(*(seen.classes for seen in looks))
    for label, name in enumerate(names, start=1):
        if label not in found and looks:
            notes.append(f"No case has the class {name}")
    return Findings(len(case_ids), list(dict.fromkeys(problems)), notes)


def look_at(name: str, root: pathlib.Path, case_id: str) -> Look:
    """Reads one case and says what is wrong or strange about it."""
    try:
        case = DATASETS[name].read_case(root, case_id)
    except ListingError as error:
        return Look(case_id, error.problems[0])
    except (OSError, ValueError, MemoryError) as error:
        text = str(error) or type(error).__name__
        return Look(case_id, text if case_id in text else f"Case {case_id}: {text}")
    low, high = SPACING_MM
    problem = ""
    if not all(low <= mm <= high for mm in case.spacing_mm):
        paths = DATASETS[name].case_files(root, case_id)
        files = [str(path) for path in paths if path.suffix != ".json"]
        problem = (
            f"Case {case_id}: a spacing of {case.spacing_mm} mm; correct it in "
            f"{' and '.join(files)}"
        )
    digest = hashlib.blake2b(np.ascontiguousarray(case.image).data, digest_size=16)
    digest.update(repr(case.image.shape).encode())
    classes = frozenset(np.unique(case.label).tolist()) - {0}
    return Look(case_id, problem, tuple(_notes(case)), digest.hexdigest(), classes)


def format_findings(findings: Findings) -> str:
    """Lays findings out as text: a line each, and a count."""
    cases, problems, notes = findings
    lines = [f"problem: {_line(problem)}" for problem in problems]
    lines += [f"note: {_line(note)}" for note in notes]
    count = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
    tail = f", {len(notes)} note{'' if len(notes) == 1 else 's'}" if notes else ""
    lines.append(f"{cases} cases: {count if problems else 'no problems'}{tail}")
    return "\n".join(lines)


def _notes(case: Case) -> Iterator[str]:
    if not case.label.any():
        yield f"Case {case.case_id}: its mask is empty"
    elif case.label.all():
        yield f"Case {case.case_id}: its mask has no background"
    if case.image.min() == case.image.max():
        yield f"Case {case.case_id}: its image is {case.image.min():g} everywhere"


def _duplicates(looks: Sequence[Look]) -> Iterator[str]:
    """Yields a line for each case whose image another has."""
    owners: dict[str, str] = {}
    for seen in looks:
        first = owners.setdefault(seen.digest, seen.case_id) if seen.digest else ""
        if first and first != seen.case_id:
            yield (
                f"Case {seen.case_id}: the same image as case {first}; they may come "
                "to be in training and in test: remove one"
            )


def _map(
    look: functools.partial[Look], case_ids: Sequence[str], workers: int
) -> Iterator[Look]:
    bar = functools.partial(
        tqdm.tqdm, desc="check", total=len(case_ids), unit="case", disable=None
    )
    if not workers:
        yield from bar(map(look, case_ids))
        return
    # Started afresh: OpenCV's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, context) as pool:
        try:
            yield from bar(pool.map(look, case_ids, chunksize=4))
        except BrokenProcessPool as error:
            raise OSError(
                "A reading process ended before its time, for example for want of "
                "memory; use fewer with --workers, 0 for none"
            ) from error


def _line(text: str) -> str:
    return " ".join(text.split())
