"""Between a case's own grid and the network's, in both directions."""

from __future__ import annotations

import cv2
import numpy as np

from synergynet_tf.data.image_files import read_image

__all__ = ["labels_to_network", "read_image", "to_labels", "to_native", "to_network"]

# What becomes 0 and 1: fixed values, or percentiles of each channel of the volume.
# Those of CT are TransUNet's for abdominal organs, in Hounsfield units.
WINDOWS = {"rgb": (0.0, 255.0), "ct": (-125.0, 275.0)}
PERCENTILES = {"mri": (0.5, 99.5)}
MODALITIES = (*WINDOWS, *PERCENTILES)


def to_network(
    image: np.ndarray, modality: str, size: int, channels: str = ""
) -> np.ndarray:
    """Scales an image to [0, 1] and to the network's grid.

    `rgb` divides by 255. `ct` clips to -125..275 Hounsfield units and scales these
    to 0 and 1. `mri` does so with the 0.5 and 99.5 percentile of each channel of the
    whole volume. Resizing averages areas where no side grows, and is bilinear
    otherwise.

    Args:
        image: `(slices, rows, columns, channels)`.
        modality: One of `MODALITIES`.
        size: Height and width of the result in pixels.
        channels: Up to three of the image's to take, in this order: `"0 1 3"`;
            `""` takes all.

    Returns:
        float32 `(slices, size, size, 3)`: one channel is repeated, and after two
        the third is 0.

    Raises:
        ValueError: If `modality` is another, or the image has not 1 to 3 channels or
            not those of `channels`.
    """
    if modality not in MODALITIES:
        raise ValueError(
            f"`modality` must be one of {', '.join(MODALITIES)}. "
            f"Received: modality={modality!r}"
        )
    image = _pick(image, channels)
    scaled = np.stack(
        [_scale(image[..., i], modality) for i in range(image.shape[-1])], axis=-1
    )
    shrinks = min(image.shape[1:3]) >= size
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = _resize(scaled, size, size, method).clip(0.0, 1.0)
    if resized.shape[-1] == 2:
        return np.concatenate([resized, np.zeros_like(resized[..., :1])], axis=-1)
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


def _pick(image: np.ndarray, channels: str) -> np.ndarray:
    count = image.shape[-1]
    if image.ndim != 4 or not (1 <= count <= 3 or (channels and count)):
        raise ValueError(
            "`image` must be (slices, rows, columns, channels) with 1 to 3 channels; "
            "of more, pick up to three with --channels, such as --channels 0 1 3. "
            f"Received: shape {image.shape}"
        )
    if not channels:
        return image
    picked = [int(channel) for channel in channels.split()]
    if max(picked) >= image.shape[-1]:
        raise ValueError(
            f"--channels must be below {image.shape[-1]}, the number of the image's "
            f"channels. Received: --channels {channels}"
        )
    return image[..., picked]


def _scale(channel: np.ndarray, modality: str) -> np.ndarray:
    """Scales `(slices, rows, columns)` to float32 in [0, 1]."""
    if modality in PERCENTILES:
        low, high = np.percentile(channel, PERCENTILES[modality])
    else:
        low, high = WINDOWS[modality]
    scale = high - low if high > low else 1.0  # A constant channel becomes zeros.
    return (channel.clip(low, high) - low).astype(np.float32) / np.float32(scale)


def _resize(array: np.ndarray, rows: int, columns: int, method: int) -> np.ndarray:
    """Resizes each slice of `(slices, rows, columns, channels)`."""
    if array.shape[1:3] == (rows, columns):
        return array.copy()
    channels = array.shape[-1]
    slices = [cv2.resize(s, (columns, rows), interpolation=method) for s in array]
    return np.stack(slices).reshape(len(array), rows, columns, channels)
