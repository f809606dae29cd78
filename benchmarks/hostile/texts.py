"""JSON and CSV that their own parsers take, and a reader may not expect."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from benchmarks.hostile.mutations import Rng, damage

# What a reader of text or numbers may not expect. Those of JSON as it is written.
JSON_VALUES = (
    *("null", "true", "-1", "0", "1.5", "1e999", "-1e999", "NaN", "Infinity"),
    *("1" + "0" * 30, "1" + "0" * 400, "1" + "0" * 5000, "4e18", "-0.0", "1e-320"),
    *('""', '"../../etc/passwd"', '"/etc/passwd"', '"\\u0000"', '"\\ud800"', '"a\\nb"'),
    *('"\\u001b[31m"', '"' + "x" * 10**5 + '"', "[]", "{}", "[[]]", '{"a": {"b": []}}'),
    *("[" * 90 + "]" * 90, "[" * 10**5, '{"a":' * 900 + "1" + "}" * 900, "[null]"),
)
CELLS = (
    *("nan", "inf", "-inf", "1e999", "", "x", '"', '"a\nb"', "1,2", "\0", "1e3"),
    *("9" * 400, "x" * 200_000, "\u0665", "'", "\udcff"),
)


def mutate_json(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """Replaces, drops, renames or repeats an entry, however deep."""
    root = json.loads(data)
    entries = list(_entries(root))
    if not entries:
        return damage(rng, data)
    parent, key = entries[int(rng.integers(len(entries)))]
    way = rng.choice(["replace", "replace", "drop", "rename", "repeat"])
    value = JSON_VALUES[int(rng.integers(len(JSON_VALUES)))]
    if way == "drop" or (way in ("rename", "repeat") and isinstance(parent, list)):
        del parent[key]
        way = "drop"
    elif way == "rename":
        parent[str(rng.choice(["", "x", "a\nb", "../a", "\x1b[0m"]))] = parent.pop(key)
    elif way == "replace":
        parent[key] = "@here@"
    text = json.dumps(root)
    if way == "replace":
        text = text.replace('"@here@"', value, 1)
    elif way == "repeat":
        entry = f"{json.dumps(key)}: {json.dumps(parent[key])}"
        text = text.replace(entry, f"{entry}, {json.dumps(key)}: {value}", 1)
    return text.encode("utf-8", "surrogatepass"), f"json {way} {key!r} {value[:20]}"


def _entries(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yields each container with each of its keys or places."""
    if isinstance(value, dict | list):
        keys = list(value) if isinstance(value, dict) else range(len(value))
        for key in keys:
            yield value, key
            yield from _entries(value[key])


def mutate_csv(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """Replaces a cell, or adds or drops one."""
    lines = [line.split(",") for line in data.decode().splitlines()]
    line = lines[int(rng.integers(len(lines)))]
    cell = int(rng.integers(len(line)))
    value = CELLS[int(rng.integers(len(CELLS)))]
    way = str(rng.choice(["replace", "replace", "drop", "add"]))
    if way == "replace":
        line[cell] = value
    elif way == "drop":
        del line[cell]
    else:
        line.insert(cell, value)
    text = "\n".join(",".join(cells) for cells in lines) + "\n"
    return text.encode("utf-8", "surrogateescape"), f"csv {way} {value[:20]!r}"


MUTATIONS = {"json": mutate_json, "csv": mutate_csv}
