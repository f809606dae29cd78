"""Processor and commit: what a number depends on besides settings."""

from __future__ import annotations

import pathlib
import subprocess

CPU_INFO = pathlib.Path("/proc/cpuinfo")


def cpu_info() -> dict[str, str]:
    """Returns what Linux says of the first core; nothing where it does not."""
    try:
        text = CPU_INFO.read_text(encoding="utf-8")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def cpu_flags() -> tuple[str, ...]:
    """Returns what the first core can do, as Linux names it."""
    return tuple(cpu_info().get("flags", "").split())


def commit() -> str | None:
    """Returns the commit of the code, `+` if it was changed, or `None`.

    A package that was installed has none, though it may lie inside another checkout.
    """
    root = pathlib.Path(__file__).parents[1]
    if not (root / ".git").exists():
        return None
    git = ["git", "-C", str(root)]
    # Without tags: a hash alone.
    described = [
        *git,
        "describe",
        "--always",
        "--exclude=*",
        "--abbrev=12",
        "--dirty=+",
    ]
    try:
        done = subprocess.run(described, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
