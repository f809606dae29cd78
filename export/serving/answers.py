"""What a server may answer: labels, a refusal, or nothing for now."""

from __future__ import annotations

import re
from typing import NamedTuple, Protocol

import cv2
import numpy as np

SIGNATURE = "png_from_bytes"
OUTPUTS = ("labels_png_bytes", "areas", "classes", "sizes")


class Unavailable(OSError):
    """No answer for now: the same request may succeed later."""


class Refused(ValueError):
    """An answer that stays the same however often one asks."""


class Answer(NamedTuple):
    """What was found in one image.

    Attributes:
        labels: uint8 `(rows, columns)`: 0 is background, `i + 1` is class `i`.
        classes: Names of the foreground classes.
    """

    labels: np.ndarray
    classes: list[str]


class Connection(Protocol):
    """A server's model, by whichever protocol; `str` names both."""

    def predict(self, image: bytes) -> Answer:
        """Labels one encoded image.

        Raises:
            Unavailable: If the server does not answer, or is busy.
            Refused: If it has no such model, or does not take the image.
        """


def read_answer(
    png: bytes, areas: list[int], classes: list[str], size: list[int]
) -> Answer:
    """Decodes a label map, and refuses one that is not what the server says it is."""
    labels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    if labels is None or labels.dtype != np.uint8 or labels.shape != tuple(size):
        raise Refused(f"the answer's label map is not an image of {size} pixels")
    counts = np.bincount(labels.ravel(), minlength=len(classes) + 1)[1:]
    if counts.tolist() != areas or len(areas) != len(classes):
        raise Refused(f"the answer's areas, {areas}, are not those of its label map")
    return Answer(labels, classes)


def reason(text: str) -> str:
    """Returns the sentence of an error of TensorFlow's that says what was wrong.

    The model's own checks come as `... assertion failed: [sentence] [[{{node}}]]`.
    """
    found = re.search(r"assertion failed: \[(.*?)\]\s*(\[\[|$)", text, re.DOTALL)
    sentence = found[1] if found else text.split("[[{{")[0]
    return " ".join(sentence.split()).rstrip(".")
