"""Lists what this machine can do: versions, devices, extras, caches, data folders."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import pathlib
import platform
from collections.abc import Sequence

from synergynet_tf import __version__, environment
from synergynet_tf.cli import command_line
from synergynet_tf.config import default_data_dir
from synergynet_tf.data import DATASETS
from synergynet_tf.data.cache import cache_dir

# Package extra -> the distributions that show that it is installed.
_PACKAGES = {
    "train": ("tensorflow", "keras"),
    "serve": ("tensorflow-serving-api",),
    "formats": ("simpleitk",),
    "onnx": ("onnxruntime", "onnx", "tf2onnx"),
    "jax": ("jax",),
}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    return command_line.ArgumentParser(__doc__).parse_args(argv)


def main(argv: Sequence[str]) -> None:
    """Prints a line for each thing."""
    parse_args(argv)
    cpu = environment.cpu_info().get("model name", platform.processor() or "unknown")
    flags = environment.cpu_flags()
    fast = [flag for flag in environment.BFLOAT16_FLAGS if flag in flags]
    rows = [
        ("synergynet-tf", f"{__version__}, commit {environment.commit() or 'unknown'}"),
        ("Python", f"{platform.python_version()} on {platform.platform()}"),
        ("CPU", f"{cpu}, {os.cpu_count()} cores"),
        ("bfloat16", f"computed by {', '.join(fast)}" if fast else "not in hardware"),
        ("devices", _devices()),
    ]
    rows += [
        (f"[{extra}]", _versions(extra, names)) for extra, names in _PACKAGES.items()
    ]
    rows += [("cache", str(cache_dir())), ("data", _data())]
    for name, text in rows:
        print(f"{name:<14} {text}")


def _versions(extra: str, names: Sequence[str]) -> str:
    """Returns what is there, and the command that installs what is not."""
    found, missing = [], []
    for name in names:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    parts = [", ".join(found)] if found else []
    if missing:
        hint = f"pip install 'synergynet-tf[{extra}]'"
        parts.append(f"without {', '.join(missing)}: {hint}")
    return "; ".join(parts)


def _devices() -> str:
    """Returns what the backend of Keras computes on."""
    try:
        import keras
    except ImportError:
        return "unknown without Keras"

    return ", ".join(map(str, keras.distribution.list_devices() or ["cpu"]))


def _data() -> str:
    """Returns the datasets whose default folder is there."""
    folders = {name: pathlib.Path(default_data_dir(name)) for name in DATASETS}
    found = [f"{name} in {path}" for name, path in folders.items() if path.is_dir()]
    return ", ".join(found) or "none in $SYNERGYNET_DATA or data/"
