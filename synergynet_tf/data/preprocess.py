"""Between a case's own grid and the network's, in both directions."""

from __future__ import annotations

import cv2
import numpy as np

from synergynet_tf.data.image_files import read_image

__all__ = ["labels_to_network", "read_image", "to_labels", "to_native", "to_network"]

MODALITIES = ("rgb", "mri")


def to_network(image: np.ndarray, modality: str, size: int) -> np.ndarray:
    """Scales an image to [0, 1] and to the network's grid.

    `rgb` divides by 255. `mri` clips to the 0.5 and 99.5 percentile of the whole
    volume and scales these to 0 and 1. Resizing averages areas where no side
    grows, and is bilinear otherwise.

    Args:
        image: `(slices, rows, columns, channels)`, 1 or 3 channels.
        modality: `rgb` or `mri`.
        size: Height and width of the result in pixels.

    Returns:
        float32 `(slices, size, size, 3)`, a grey image repeated.

    Raises:
        ValueError: If `modality` is another, or the image has not 1 or 3 channels.
    """
    if modality not in MODALITIES:
        raise ValueError(
            f"`modality` must be one of {', '.join(MODALITIES)}. "
            f"Received: modality={modality!r}"
        )
    if image.ndim != 4 or image.shape[-1] not in (1, 3):
        raise ValueError(
            "`image` must be (slices, rows, columns, channels) with 1 or 3 channels. "
            f"Received: shape {image.shape}"
        )
    percentiles = (0.5, 99.5) if modality == "mri" else None
    low, high = np.percentile(image, percentiles) if percentiles else (0.0, 255.0)
    scale = high - low if high > low else 1.0  # A constant volume becomes zeros.
    scaled = (image.clip(low, high) - low).astype(np.float32) / np.float32(scale)
    shrinks = min(image.shape[1:3]) >= size
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = _resize(scaled, size, size, method).clip(0.0, 1.0)
    return resized if resized.shape[-1] == 3 else np.repeat(resized, 3, axis=-1)


def labels_to_network(label: np.ndarray, size: int) -> np.ndarray:
    """Resizes uint8 labels `(slices, rows, columns)` to `(slices, size, size)`.

    Each pixel takes the label of the nearest pixel's center.
    """
    return _resize(label[..., None], size, size, cv2.INTER_NEAREST_EXACT)[..., 0]


def to_native(logits: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Resizes logits `(slices, S, S, C)` bilinearly to `(slices, rows, columns, C)`.

    Logits, not labels: an outline between pixels of the small grid stays smooth.
    """
    return _resize(logits.astype(np.float32), rows, columns, cv2.INTER_LINEAR)


def to_labels(logits: np.ndarray) -> np.ndarray:
    """Returns the uint8 label of each pixel of logits `(..., C)`: `(...)`.

    One channel is foreground where above 0 (probability above one half); several
    are background and the classes, and the largest wins, the first of equals.
    """
    if logits.shape[-1] == 1:
        return (logits[..., 0] > 0).astype(np.uint8)
    return logits.argmax(axis=-1).astype(np.uint8)


def _resize(array: np.ndarray, rows: int, columns: int, method: int) -> np.ndarray:
    """Resizes each slice of `(slices, rows, columns, channels)`."""
    if array.shape[1:3] == (rows, columns):
        return array.copy()
    channels = array.shape[-1]
    slices = [cv2.resize(s, (columns, rows), interpolation=method) for s in array]
    return np.stack(slices).reshape(len(array), rows, columns, channels)
