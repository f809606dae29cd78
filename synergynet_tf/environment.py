"""Processor, commit and keras.json: what a number depends on besides settings."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

CPU_INFO = pathlib.Path("/proc/cpuinfo")
# Instructions that multiply bfloat16 numbers, as Linux names them.
BFLOAT16_FLAGS = ("amx_bf16", "avx512_bf16")
BACKENDS = ("tensorflow", "jax")
# Keras' settings without a keras.json; with others all results would change.
KERAS_DEFAULTS = {
    "floatx": "float32",
    "epsilon": 1e-7,
    "image_data_format": "channels_last",
}


def called(name: str) -> str:
    """Returns how another command is called, the way that this one was."""
    installed = sys.argv[0].startswith("synergynet ")
    return f"synergynet {name}" if installed else f"python {name}.py"


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
    # Without tags, the commit's hash alone.
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


def require_backend() -> None:
    """Refuses a Keras backend that this project does not run on.

    One that is not installed is refused where Keras is imported: commands that need
    no Keras run without.

    Raises:
        ValueError: If it refuses one; names where the backend was set.
    """
    if backend := os.environ.get("KERAS_BACKEND"):
        if backend not in BACKENDS:
            raise ValueError(f"KERAS_BACKEND={backend}: choose {' or '.join(BACKENDS)}")
        return
    backend = _keras_json().get("backend", BACKENDS[0])
    if backend not in BACKENDS:
        raise ValueError(
            f'{_keras_json_path()}: "backend": {json.dumps(backend)}: this project '
            f"runs on {' or '.join(BACKENDS)}; set KERAS_BACKEND={BACKENDS[0]}, which "
            "goes before the file"
        )


def reset_keras() -> None:
    """Gives Keras its own defaults, if the user's keras.json holds others.

    That file serves all projects of a user. Keras reads it when it is imported, so it
    is imported here, but only for a file that holds other values.
    """
    found = _keras_json()
    if all(found.get(name, value) == value for name, value in KERAS_DEFAULTS.items()):
        return
    try:
        import keras
    except ModuleNotFoundError as error:
        if error.name != "keras":
            raise
        return  # What follows needs no Keras, or reports that it is missing.
    except (AttributeError, ValueError) as error:  # keras.json has an invalid value.
        raise ValueError(f"{_keras_json_path()}: {error}") from error
    keras.config.set_floatx(KERAS_DEFAULTS["floatx"])
    keras.config.set_dtype_policy(KERAS_DEFAULTS["floatx"])
    keras.config.set_epsilon(KERAS_DEFAULTS["epsilon"])
    keras.config.set_image_data_format(KERAS_DEFAULTS["image_data_format"])


def _keras_json_path() -> pathlib.Path:
    """Returns where Keras looks for its settings."""
    home = os.path.expanduser("~")
    folder = os.path.join(home if os.access(home, os.W_OK) else "/tmp", ".keras")
    folder = os.environ.get("KERAS_HOME", folder)
    return pathlib.Path(os.path.expanduser(folder), "keras.json")


def _keras_json() -> dict[str, Any]:
    """Returns the settings; none where Keras finds none, or passes over the file."""
    path = _keras_json_path()
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold an object; correct or delete it")
    return found
