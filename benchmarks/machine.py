"""The machine that a number belongs to, and the versions of what ran on it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from typing import Any

from synergynet_tf import environment

PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "ai-edge-litert", "medpy")
# What makes 16-bit or 8-bit products fast.
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")


def describe() -> dict[str, Any]:
    """Returns the CPU, the cores that may be used, versions and the commit."""
    has = environment.cpu_flags()
    return {
        "cpu": environment.cpu_info().get(
            "model name", platform.processor() or platform.machine()
        ),
        "flags": [flag for flag in FLAGS if flag in has],
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "commit": environment.commit(),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
