"""Slices of the report's overlays in layers: a run's `slices.json`."""

from __future__ import annotations

import base64
import dataclasses
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from synergynet_tf.evaluation.figures.overlays import (
    busiest_slice,
    enlarge_mask,
    outlines,
    readable,
)
from synergynet_tf.safe_io import read_json, require

NAME = "slices.json"
PLACES = ("best", "median", "worst")
WEBP_QUALITY = 90
# Largest distance of a path from its outline, in pixels of the picture.
TOLERANCE = 0.5


@dataclasses.dataclass(frozen=True)
class Slice:
    """A slice of a case, with prediction and reference to be laid over it.

    Attributes:
        case_id: Case ID of the dataset.
        dsc: The case's mean DSC over its classes, under `strict`.
        index: Index of the slice, from 0.
        count: Number of slices of the case.
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.
        image: The picture, a WebP file in base64.
        prediction: Path around each class, as SVG writes it, in pixels of the picture;
            filled where an odd number of lines is around.
        reference: Path around each class of the reference, likewise.
        codes: Code at each position of the bottleneck, row by row; empty for a method
            without a codebook.
        codes_box: Area that the codes cover: left, top, width and height as shares of
            the picture's. A center crop has no codes around it.
    """

    case_id: str
    dsc: float
    index: int
    count: int
    width: int
    height: int
    image: str
    prediction: tuple[str, ...]
    reference: tuple[str, ...]
    codes: Sequence[Sequence[int]] = dataclasses.field(default_factory=list)
    codes_box: Sequence[float] = (0.0, 0.0, 1.0, 1.0)


def make_slice(
    case_id: str,
    dsc: float,
    image: np.ndarray,
    pred_labels: np.ndarray,
    true_labels: np.ndarray,
    num_classes: int,
) -> Slice:
    """Draws the slice that `overlay` shows of a case.

    Args:
        case_id: Case ID of the dataset.
        dsc: Mean DSC of the case, as in `Slice`.
        image: float32 `(slices, rows, columns, channels)`, as `overlay` takes it.
        pred_labels: uint8 `(slices, rows, columns)`.
        true_labels: The reference, as `pred_labels`.
        num_classes: Number of foreground classes.
    """
    index = busiest_slice(pred_labels, true_labels)
    picture = readable(image[index])
    height, width = picture.shape[:2]
    quality = [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY]
    _, data = cv2.imencode(".webp", picture[..., ::-1], quality)
    prediction, reference = (
        tuple(
            _path(outlines(enlarge_mask(labels[index] == value, picture)))
            for value in range(1, num_classes + 1)
        )
        for labels in (pred_labels, true_labels)
    )
    return Slice(
        case_id=case_id,
        dsc=dsc,
        index=index,
        count=len(image),
        width=width,
        height=height,
        image=base64.b64encode(data.tobytes()).decode("ascii"),
        prediction=prediction,
        reference=reference,
    )


def read_slices(run: str | pathlib.Path) -> dict[str, Slice]:
    """Reads the slices that the last scoring has left, by their `PLACES`.

    Returns:
        None if the scoring was of a version that left none.

    Raises:
        LookupError, TypeError, ValueError: If the file is damaged.
    """
    path = pathlib.Path(run, NAME)
    if not path.is_file():
        return {}
    found = read_json(path)
    return {place: _read(found[place]) for place in PLACES}


def _path(lines: Iterable[np.ndarray]) -> str:
    """Writes closed lines as SVG does: `M0 0 4 0 4 3Z`."""
    simpler = (cv2.approxPolyDP(line, TOLERANCE, True).ravel() for line in lines)
    return "".join(f"M{' '.join(map(str, line.tolist()))}Z" for line in simpler)


def _read(value: Mapping[str, Any]) -> Slice:
    part = Slice(**value)
    box = part.codes_box
    ok = isinstance(box, list | tuple) and len(box) == 4
    ok = ok and all(isinstance(share, float | int) and 0 <= share <= 1 for share in box)
    ok = ok and box[2] > 0 and box[3] > 0
    require(ok, "codes_box", "shares of the picture", box)
    return part
