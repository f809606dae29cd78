"""Strict JSON: bounded size, depth and numbers."""

from __future__ import annotations

import json
import math
import pathlib
from typing import Any

from synergynet_tf.safe_io.content import read_content

# Scores of 100,000 cases take 200 MB.
MAX_BYTES = 2**28
MAX_LEVELS = 32
MAX_INTEGER = 2**63
MAX_SHOWN = 200


def read_json(path: str | pathlib.Path) -> Any:
    """Reads a file of JSON, which may begin with a byte order mark.

    Raises:
        OSError: If it cannot be read.
        ValueError: In the cases of `parse_json`, or if it is too large or not UTF-8.
    """
    return parse_json(decode_text(read_content(path, MAX_BYTES)))


def decode_text(content: bytes) -> str:
    """Returns UTF-8 text, without the byte order mark that Windows programs write.

    Raises:
        ValueError: If it is not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"byte {error.start} is not utf-8 text; save the file as UTF-8"
        ) from error


def parse_json(text: str) -> Any:
    """Reads JSON whose every value can be computed with, shown and written again.

    Raises:
        ValueError: If it is not JSON; has `NaN`, `Infinity`, or a number beyond
            float64 or 64 bits; a key twice in one object; over 32 levels; or half a
            surrogate pair, which is no text.

    Example:
    >>> parse_json('{"a": [1, 2.5]}')
    {'a': [1, 2.5]}
    """
    try:
        value = json.loads(
            text,
            parse_float=_float,
            parse_int=_integer,
            parse_constant=_refuse_constant,
            object_pairs_hook=_without_repetition,
        )
    except RecursionError as error:
        raise ValueError(f"it has over {MAX_LEVELS} levels") from error
    _check_levels(value)
    return value


def shown(value: object) -> str:
    """Returns a value as a message shows it: the beginning, if it is long."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]} ..."


def require(ok: bool, where: str, rule: str, value: object) -> None:
    """Refuses a value of a file, unless it is as it must be.

    Raises:
        ValueError: If the value is not as it must be.
    """
    if not ok:
        raise ValueError(f"{shown(where)} must be {rule}. Received: {shown(value)}")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is beyond float64")
    return number


def _integer(text: str) -> int:
    # Python itself takes time that grows with the square of the digits.
    if len(text) > 20 or not -MAX_INTEGER <= int(text) < MAX_INTEGER:
        raise ValueError(f"{text[:40]} is beyond 64 bits")
    return int(text)


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuses a name that is there twice, of which JSON would keep the last."""
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{shown(repeated)} is there twice; keep one")
    return values


def _check_levels(value: Any) -> None:
    level = [value]
    for _ in range(MAX_LEVELS):
        inner: list[Any] = []
        for entry in level:
            if isinstance(entry, dict):
                inner += [*entry.keys(), *entry.values()]
            elif isinstance(entry, list):
                inner += entry
            elif isinstance(entry, str):
                _check_text(entry)
        if not inner:
            return
        level = inner
    raise ValueError(f"it has over {MAX_LEVELS} levels")


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{shown(text)} is no text") from error
