"""The machine that a number belongs to, and the versions of what ran on it."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import platform
import subprocess
from typing import Any

PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "ai-edge-litert", "medpy")
# What makes 16-bit or 8-bit products fast.
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
CPUINFO = pathlib.Path("/proc/cpuinfo")


def describe() -> dict[str, Any]:
    """Returns the CPU, the cores that may be used, versions and the commit."""
    fields = _cpuinfo()
    has = fields.get("flags", "").split()
    return {
        "cpu": fields.get("model name", platform.processor() or platform.machine()),
        "flags": [flag for flag in FLAGS if flag in has],
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "commit": _commit(),
    }


def _cpuinfo() -> dict[str, str]:
    """Returns what Linux says of its first core; elsewhere nothing."""
    if not CPUINFO.is_file():
        return {}
    first = CPUINFO.read_text(encoding="utf-8").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Returns the commit of the code, `+` if it was changed, or `None`."""
    git = ["git", "-C", str(pathlib.Path(__file__).parent)]
    described = [*git, "describe", "--always", "--abbrev=12", "--dirty=+"]
    try:
        done = subprocess.run(described, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
