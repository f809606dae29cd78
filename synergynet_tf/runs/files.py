"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pathlib
import uuid
from collections.abc import Iterator, Sequence
from typing import Any


def write_text(path: str | pathlib.Path, text: str) -> None:
    """Writes a text file whole or not at all."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | pathlib.Path, value: Any) -> None:
    """Writes indented JSON whole or not at all; refuses `nan` and infinities.

    Raises:
        ValueError: If `value` holds a number that JSON has no word for.
    """
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_csv(path: str | pathlib.Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes a table, whole or not at all; the first row's keys are the columns."""
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    write_text(path, text.getvalue())


@contextlib.contextmanager
def atomic_file(path: str | pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives a temporary path beside `path` that takes its place on success.

    The temporary name keeps every suffix, because some writers look at it. It is
    removed if the block fails.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}.{path.name}")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
