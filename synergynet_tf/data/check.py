"""Data quality check and summary statistics of a dataset."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import pathlib
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import tqdm

from synergynet_tf.config import DataConfig
from synergynet_tf.data import DATASETS
from synergynet_tf.data.listing import ListingError, first_of, lines, summary
from synergynet_tf.data.preprocess import find_faint
from synergynet_tf.data.spec import Case
from synergynet_tf.data.splits import complete, data_root, split_ids
from synergynet_tf.parallel import map_in_processes

CaseT = TypeVar("CaseT")
ResultT = TypeVar("ResultT")

# Plausible spacings: from a microscope's up to those of a mistaken unit. Unknown ones
# are 1.
SPACING_MM = (0.001, 100.0)
# Notes shared by at least this many cases, and by most, are printed once.
FEWEST_ALIKE = 3
# Number of names in a line.
MAX_NAMED = 10


class Findings(NamedTuple):
    """Result of the check of a dataset.

    Attributes:
        cases: Number of cases that were checked.
        problems: Problems, a line each: what would make a training fail or a score
            wrong.
        notes: Notes, a line each: what may be as it should.
    """

    cases: int
    problems: list[str]
    notes: list[str]


class CaseCheck(NamedTuple):
    """Result of the check of one case.

    Attributes:
        case_id: ID of the case.
        problem: Reason why it cannot be used, or `""`.
        notes: Peculiarities of the case, a line each.
        digest: Digest of the image, equal for equal images; `""` for an unreadable one.
        classes: Labels above 0 that the case has.
    """

    case_id: str
    problem: str = ""
    notes: tuple[str, ...] = ()
    digest: str = ""
    classes: frozenset[int] = frozenset()


def check(data: DataConfig, workers: int) -> Findings:
    """Reads every case of a dataset.

    Args:
        data: Name and folder of the dataset, and its other settings.
        workers: Number of processes that read; 0 for none.

    Raises:
        FileNotFoundError: If the data is not there.
        OSError: If a process died, for example because memory ran out.
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
    else:
        try:
            dataset.patients(root)
        except (OSError, ValueError) as error:
            problems.append(str(error))
    notes: list[str] = []
    with contextlib.suppress(ValueError):  # The error is among the problems.
        listing = dataset.listing(root)
        problems += listing.warnings
        for kind, found in (("meant", problems), ("other", notes), ("expected", notes)):
            found += lines(e for e in listing.passed_over if e.kind == kind)
    names: tuple[str, ...] = ()
    shared = ""  # Reason for which every case would be refused.
    try:
        names = dataset.class_names(root)
        notes += class_notes(data)
    except ValueError as error:
        shared = str(error)
        problems.append(shared)
    check_one = functools.partial(check_case, data.dataset, root)
    results = list(map_cases(check_one, case_ids, workers, "check"))
    problems += _join(
        [(seen.case_id, seen.problem) for seen in results if seen.problem],
        len(results),
        shared,
    )
    problems += _duplicates(results)
    noted = [(seen.case_id, note) for seen in results for note in seen.notes]
    notes += _join(noted, len(results))
    labels = frozenset[int]().union(*(seen.classes for seen in results))
    for label, name in enumerate(names, start=1):
        if label not in labels and any(seen.digest for seen in results):
            notes.append(f"No case has the class {name}")
    return Findings(len(case_ids), list(dict.fromkeys(problems)), notes)


def _join(
    said: Sequence[tuple[str, str]], num_cases: int, shared: str = ""
) -> Iterator[str]:
    """Yields lines about cases; lines that are alike in most cases, once.

    Args:
        said: Case ID and a line of text about the case.
        num_cases: Number of cases.
        shared: Text that has been reported for all cases; lines with it are left out.
    """
    groups: dict[str, list[tuple[str, str]]] = {}
    for case_id, text in said:
        if not shared or shared not in text:
            # Files and case differ from line to line.
            alike = re.sub(r"\S*/\S*", "*", text.replace(case_id, "*"))
            groups.setdefault(alike, []).append((case_id, text))
    for group in groups.values():
        if len(group) >= FEWEST_ALIKE and 2 * len(group) > num_cases:
            others = first_of([case_id for case_id, _ in group[1:]], MAX_NAMED)
            yield f"{group[0][1]} ({len(group) - 1} more cases are alike: {others})"
        else:
            yield from (text for _, text in group)


def class_notes(data: DataConfig) -> list[str]:
    """Returns lines on how the values of the labels were understood."""
    notes = getattr(DATASETS[data.dataset], "class_notes", None)
    return notes(data_root(data)) if notes else []


def announce(data: DataConfig) -> None:
    """Prints a line on the classes, and on stderr what is passed over or differs."""
    dataset, root = DATASETS[data.dataset], data_root(data)
    names = dataset.class_names(root)
    count = "1 class" if len(names) == 1 else f"{len(names)} classes"
    print(f"{count}: {first_of(names, MAX_NAMED)}")
    listing = dataset.listing(root)
    remarks = [*class_notes(data), *listing.warnings]
    if passed_over := summary(listing.passed_over):
        remarks.append(f"{passed_over}; see data --dataset {data.dataset} --check")
    for line in remarks:
        print(f"note: {line}", file=sys.stderr)


def check_case(name: str, root: pathlib.Path, case_id: str) -> CaseCheck:
    """Reads one case and says what is wrong or strange about it."""
    try:
        case = DATASETS[name].read_case(root, case_id)
    except ListingError as error:
        return CaseCheck(case_id, error.problems[0])
    except (OSError, ValueError, MemoryError) as error:
        text = str(error) or type(error).__name__
        return CaseCheck(
            case_id, text if case_id in text else f"Case {case_id}: {text}"
        )
    low, high = SPACING_MM
    problem = ""
    if not all(low <= mm <= high for mm in case.spacing_mm):
        paths = DATASETS[name].case_files(root, case_id)
        files = [str(path) for path in paths if path.suffix != ".json"]
        problem = (
            f"Case {case_id}: a spacing of {case.spacing_mm} mm; correct it in "
            f"{' and '.join(files)}"
        )
    classes = frozenset(np.unique(case.label).tolist()) - {0}
    notes = tuple(_notes(case, DATASETS[name].modality(root)))
    return CaseCheck(case_id, problem, notes, digest(case.image), classes)


def digest(voxels: np.ndarray) -> str:
    """Returns a hash of an image, the same where all voxels and the shape are."""
    own = hashlib.blake2b(np.ascontiguousarray(voxels).data, digest_size=16)
    own.update(repr(voxels.shape).encode())
    return own.hexdigest()


def format_findings(findings: Findings) -> str:
    """Lays findings out as text: a line each, and a count."""
    cases, problems, notes = findings
    found = [f"problem: {_line(problem)}" for problem in problems]
    found += [f"note: {_line(note)}" for note in notes]
    count = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
    tail = f", {len(notes)} note{'' if len(notes) == 1 else 's'}" if notes else ""
    found.append(f"{cases} cases: {count if problems else 'no problems'}{tail}")
    return "\n".join(found)


def _notes(case: Case, modality: str) -> Iterator[str]:
    if not case.label.any():
        yield f"Case {case.case_id}: its mask is empty"
    elif case.label.all():
        yield f"Case {case.case_id}: its mask has no background"
    if case.image.min() == case.image.max():
        yield f"Case {case.case_id}: its image is {case.image.min():g} everywhere"
    else:
        # One by one: a scan may have more channels than a network takes.
        count = 1 if modality == "rgb" else case.image.shape[-1]
        for i in range(count):
            image = case.image if modality == "rgb" else case.image[..., i : i + 1]
            if reason := find_faint(image, modality):
                channel = f"channel {i}: " if count > 1 else ""
                yield f"Case {case.case_id}: {channel}{reason}"
    if case.steps_mm is not None:
        yield (
            f"Case {case.case_id}: the axes of its grid are not orthogonal (a tilted "
            "gantry?); volumes and distances are computed on the grid as it is"
        )


def _duplicates(results: Sequence[CaseCheck]) -> Iterator[str]:
    """Yields a line for each case whose image equals another case's."""
    owners: dict[str, str] = {}
    for seen in results:
        first = owners.setdefault(seen.digest, seen.case_id) if seen.digest else ""
        if first and first != seen.case_id:
            yield (
                f"Case {seen.case_id}: the same image as case {first}; they may come "
                "to be in training and in test: remove one"
            )


def map_cases(
    function: Callable[[CaseT], ResultT],
    cases: Sequence[CaseT],
    workers: int,
    title: str,
) -> Iterator[ResultT]:
    """Yields `function(case)` for each case, in order, with a progress bar.

    Args:
        function: Function that can be pickled, as can its arguments and results.
        cases: Arguments of the function.
        workers: Number of processes; 0 for none.
        title: Title of the progress bar.

    Raises:
        OSError: If a process died, for example because memory ran out.
    """
    found = map_in_processes(function, cases, workers)
    yield from tqdm.tqdm(found, title, len(cases), unit="case", disable=None)


def _line(text: str) -> str:
    return " ".join(text.split())


@dataclasses.dataclass(frozen=True)
class Summary:
    """Summary statistics of a dataset.

    Attributes:
        data: Settings of the data, complete.
        cases: Number of cases of each part.
        patients: Number of patients of each part.
        ranges: Value of each measure in each case that could be read.
        shares: Share of each class in each case's voxels.
        unreadable: Reason why each of the other cases could not be read.
    """

    data: DataConfig
    cases: dict[str, int]
    patients: dict[str, int]
    ranges: dict[str, list[float]]
    shares: dict[str, list[float]]
    unreadable: list[str]


def summarize(data: DataConfig) -> Summary:
    """Reads every case of a dataset.

    Raises:
        FileNotFoundError: If the data is not there.
        ValueError: If its cases cannot be listed, or not be split as asked.
    """
    data = complete(data)
    dataset, root = DATASETS[data.dataset], data_root(data)
    parts, owners = split_ids(data), dataset.patients(root)
    names = dataset.class_names(root)
    ranges: dict[str, list[float]] = {}
    shares: dict[str, list[float]] = {name: [] for name in names}
    unreadable = []
    everything = [case_id for ids in parts.values() for case_id in ids]
    for case_id in tqdm.tqdm(everything, "read", unit="case", disable=None):
        try:
            case = dataset.read_case(root, case_id)
        except (OSError, ValueError) as error:
            unreadable.append(f"{case_id}: {error}")
            continue
        measures = (
            *zip(
                ("slices", "rows", "columns", "channels"), case.image.shape, strict=True
            ),
            *zip(("slice mm", "row mm", "column mm"), case.spacing_mm, strict=True),
            ("lowest", case.image.min()),
            ("median", np.median(case.image)),
            ("highest", case.image.max()),
        )
        for name, value in measures:
            ranges.setdefault(name, []).append(float(value))
        counts = np.bincount(case.label.ravel(), minlength=len(names) + 1)
        for name, count in zip(names, counts[1:], strict=True):
            shares[name].append(float(count) / case.label.size)
    return Summary(
        data=data,
        cases={part: len(ids) for part, ids in parts.items()},
        patients={p: len({owners[i] for i in ids}) for p, ids in parts.items()},
        ranges=ranges,
        shares=shares,
        unreadable=unreadable,
    )


def format_summary(summary: Summary) -> str:
    """Lays a summary out as text; of each measure min, median and max."""
    data, cases, patients = summary.data, summary.cases, summary.patients
    split = f"{data.split} split" + (f", fold {data.fold}" if data.fold else "")
    lines = [
        f"{data.dataset} at {data.data_dir}: {split}, modality {data.modality}",
        "",
    ]
    lines.append(_row("", "cases", "patients"))
    lines += [_row(part, f"{cases[part]}", f"{patients[part]}") for part in cases]
    lines += ["", _row("of each case", "min", "median", "max")]
    for name, values in summary.ranges.items():
        numbers = (min(values), float(np.median(values)), max(values))
        lines.append(_row(name, *(f"{number:.6g}" for number in numbers)))
    lines += ["", _row("class", "% of voxels", "cases with it")]
    for name, values in summary.shares.items():
        share = 100 * float(np.mean(values)) if values else 0.0
        count = sum(value > 0 for value in values)
        lines.append(_row(name, f"{share:.3f}", f"{count} of {len(values)}"))
    if summary.unreadable:
        lines += ["", f"{len(summary.unreadable)} cases cannot be read:"]
        lines += summary.unreadable
    return "\n".join(lines)


def _row(name: str, *cells: str) -> str:
    return "".join([f"{name:<16}", *(f"{cell:>15}" for cell in cells)]).rstrip()
