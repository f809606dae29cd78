"""Validated fields of a run's JSON files; an error names file and field."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from synergynet_tf.runs import SCORED_SHA256, Run
from synergynet_tf.safe_io import read_json, require, shown

T = TypeVar("T")
Context = dict[str, Any]
KINDS: dict[type, str] = {str: "text", list: "a list", dict: "an object"}


@contextlib.contextmanager
def blame(path: pathlib.Path, fault: str, advice: str) -> Iterator[None]:
    """Turns errors from unexpected content of a file into one that names the file.

    Args:
        path: Path of the file.
        fault: Description of the fault for the error, such as `is damaged`.
        advice: Advice to the user on how to mend it.
    """
    try:
        yield
    except (
        *(ArithmeticError, AttributeError, LookupError),
        *(TypeError, ValueError),
    ) as error:
        raise ValueError(f"{path} {fault} ({error}); {advice}") from error


def take(entry: Mapping[str, Any], name: str, kind: type[T]) -> T:
    """Returns a field of one of `KINDS`."""
    value = entry[name]
    if not isinstance(value, kind):
        require(False, name, KINDS[kind], value)
    return value


def take_number(entry: Mapping[str, Any], name: str) -> float | None:
    """Returns a field that is a number or null."""
    value: float | None = entry[name]
    require(isinstance(value, int | float | None), name, "a number", value)
    return value


def word(entry: Mapping[str, Any], name: str, words: Mapping[str, str]) -> str:
    """Returns the words for a field that is one of the names of `words`."""
    value = entry[name]
    require(value in words, name, f"one of {', '.join(words)}", value)
    return words[value]


def read_object(run: pathlib.Path, name: str) -> Context:
    """Reads an object of JSON of the run's folder; an empty one if it is not there.

    Raises:
        ValueError: If it is damaged.
    """
    path = run / name
    if not path.is_file():
        return {}
    try:
        value = read_json(path)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}; delete it") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} is damaged: it holds {shown(value)}; delete it")
    return value


def read_result(
    run: Run, name: str, command: str, make: Callable[[Any], Context]
) -> Context | None:
    """Reads the results of another command on a run.

    Args:
        run: The run.
        name: Name of the JSON file, in the folder of the run's results or else its own.
        command: Command that writes the file again, without `--run`.
        make: Function that makes the template's context of the content.

    Returns:
        None if there is no such file, or it is not of the run's weights.

    Raises:
        ValueError: If it is damaged.
    """
    path = run.results / name
    if not path.is_file():
        path = run.path / name
    if not path.is_file():
        return None
    with blame(path, "is damaged", f"write it again with {command} --run {run}"):
        found = read_json(path)
        if run.why_stale(path, found.get(SCORED_SHA256)):
            return None
        return make(found)
