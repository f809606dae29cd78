"""What a server may answer: labels, a refusal, or nothing for now."""

from __future__ import annotations

import re
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from synergynet_tf.data.image_files import MAX_PIXELS
from synergynet_tf.data.image_headers import check_image

SIGNATURE = "png_from_bytes"
OUTPUTS = ("labels_png_bytes", "areas", "classes", "sizes")
# A label map has a byte a pixel, and PNG makes it no larger to speak of; base64 makes 4
# bytes of 3. So this is what the largest image is answered with, and half as much.
MAX_ANSWER_BYTES = 2 * MAX_PIXELS


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
    """Decodes a label map, and refuses one that is not what the server says it is.

    Args:
        png: The label map as a file.
        areas: Pixels of each foreground class.
        classes: Their names.
        size: The map's rows and columns.

    Raises:
        Refused: If one is of another type, or they do not agree with each other.
    """
    for name, values, kind in (
        ("areas", areas, int),
        ("classes", classes, str),
        ("sizes", size, int),
    ):
        if not isinstance(values, list) or any(type(v) is not kind for v in values):
            raise Refused(f"the answer's {name} are no list of {kind.__name__}")
    labels = _decode(png, size)
    if labels is None or labels.dtype != np.uint8 or labels.shape != tuple(size):
        raise Refused(f"the answer's label map is not an image of {size} pixels")
    counts = np.bincount(labels.ravel(), minlength=len(classes) + 1)[1:]
    if counts.tolist() != areas or len(areas) != len(classes):
        raise Refused(f"the answer's areas, {areas}, are not those of its label map")
    return Answer(labels, classes)


def _decode(png: bytes, size: list[int]) -> np.ndarray | None:
    """Returns the pixels of a PNG file of that size; `None` if it is none."""
    try:
        if list(check_image(png)) != size:
            return None
        return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    except (ValueError, cv2.error):
        return None


def reason(text: str) -> str:
    """Returns the sentence of an error of TensorFlow's that says what was wrong.

    The model's own checks come as `... assertion failed: [sentence] [[{{node}}]]`.
    """
    found = re.search(r"assertion failed: \[(.*?)\]\s*(\[\[|$)", text, re.DOTALL)
    sentence = found[1] if found else text.split("[[{{")[0]
    sentence = " ".join(sentence.split()).rstrip(".")
    if re.search(rf'[Ss]ignature .*"{SIGNATURE}" not found', sentence):
        sentence += (
            "; the model takes no image files, as one of CT does not: label volumes "
            "with predict.py"
        )
    return sentence
