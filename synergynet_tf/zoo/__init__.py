"""Shipped models: `NAME.tflite` and its model card `NAME.json`, for `--model NAME`.

The section `zoo` of each card says what a run's own card cannot know:

    title        what the model labels, in a few words
    data         name, source, licence and attribution of the training data
    license      of the weights
    note         what a reader of the scores must know, or nothing
    protocol     whose DSC is shown first
    command      that trains it again
    baseline     the same recipe without the bottleneck: its name and its scores
"""

from __future__ import annotations

import pathlib

FOLDER = pathlib.Path(__file__).parent
SECTION = "zoo"


def names() -> list[str]:
    """Lists the shipped models."""
    return sorted(path.stem for path in FOLDER.glob("*.tflite"))


def find(name: str) -> pathlib.Path | None:
    """Returns the file of a shipped model; `None` if none has the name."""
    return FOLDER / f"{name}.tflite" if name in names() else None
