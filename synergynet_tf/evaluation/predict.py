"""From an image to labels on the image's own grid, as scores and files need them.

Without Keras: the model may be a run's or an exported one.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import cv2
import numpy as np

from synergynet_tf.data.preprocess import to_labels, to_native, to_network
from synergynet_tf.evaluation.options import PLAIN, Options, keep_largest

BATCH_SIZE = 8
# Axes of `(slices, rows, columns, channels)`; the first leaves the image as it is.
FLIPS: tuple[tuple[int, ...], ...] = ((), (1,), (2,), (1, 2))


class Model(Protocol):
    """What predicts: a run's `Predictor`, an exported model, or a `keras.Model`."""

    def predict_on_batch(self, images: np.ndarray) -> np.ndarray:
        """Returns the logits `(n, S, S, C)` of images `(n, S, S, 3)`."""


def predict_case(
    model: Model,
    image: np.ndarray,
    modality: str,
    size: int,
    channels: str = "",
    options: Options = PLAIN,
) -> np.ndarray:
    """Labels each pixel of one photograph or volume, on the image's own grid.

    Arguments are those of `predict_grids`.

    Returns:
        uint8 `(slices, rows, columns)`: 0 is background, `i + 1` is class `i`.
    """
    return predict_grids(model, image, modality, size, channels, options)["native"]


def predict_grids(
    model: Model,
    image: np.ndarray,
    modality: str,
    size: int,
    channels: str = "",
    options: Options = PLAIN,
    grids: Collection[str] = ("native",),
    batch_size: int = BATCH_SIZE,
) -> dict[str, np.ndarray]:
    """Labels each pixel, deciding on one grid or on several, from one prediction.

    `native`: the logits are brought to the image's grid, then labeled: a better
    outline than enlarged labels have. `network`: the logits are labeled as they are,
    then each pixel of the image takes the nearest label, as in TransUNet's test code.

    Of a volume only labels are kept: its logits on its own grid can take gigabytes.
    Cases are not mixed in a batch, so a case's labels do not depend on its
    neighbors.

    Args:
        model: What predicts.
        image: float32 `(slices, rows, columns, channels)`, as a dataset reads it.
        modality: The run's `DataConfig.modality`.
        size: Height and width of the model's input, `S`.
        channels: The run's `DataConfig.channels`.
        options: What else is done to the prediction.
        grids: `native`, `network` or both.
        batch_size: Slices predicted at once.

    Returns:
        For each grid uint8 `(slices, rows, columns)`, always of the image's pixels:
        0 is background, `i + 1` is class `i`.
    """
    images = to_network(image, modality, size, channels)
    maps = {grid: np.empty(image.shape[:3], np.uint8) for grid in grids}
    for start in range(0, len(images), batch_size):
        batch = slice(start, start + batch_size)
        logits = _logits(model, images[batch], options)
        for grid, labels in maps.items():
            labels[batch] = _label(logits, grid, *image.shape[1:3])
    if options.largest:
        return {grid: keep_largest(labels) for grid, labels in maps.items()}
    return maps


def _logits(model: Model, images: np.ndarray, options: Options) -> np.ndarray:
    """Returns logits `(n, S, S, C)`, the mean over the flips of images if asked."""
    flips = FLIPS if options.flips else FLIPS[:1]
    total: np.ndarray | float = 0.0
    for axes in flips:
        logits = model.predict_on_batch(np.flip(images, axes))
        total = total + np.flip(np.asarray(logits), axes)
    mean = np.asarray(total) / np.float32(len(flips))
    if not np.isfinite(mean).all():
        raise ValueError(
            "The model's logits are not finite: its weights are damaged, or its "
            "training diverged. Train the run again with --force."
        )
    return mean


def _label(logits: np.ndarray, grid: str, rows: int, columns: int) -> np.ndarray:
    if grid == "native":
        return to_labels(to_native(logits, rows, columns))
    labels = to_labels(logits)
    nearest = cv2.INTER_NEAREST_EXACT
    return np.stack(
        [cv2.resize(s, (columns, rows), interpolation=nearest) for s in labels]
    )
