"""Intensity normalization and resampling to the network's grid, and back."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from synergynet_tf.config import ExperimentConfig
from synergynet_tf.data.images import read_image
from synergynet_tf.data.splits import complete

__all__ = [
    "Preprocessor",
    "center_box",
    "find_faint",
    "labels_to_network",
    "read_image",
    "to_labels",
    "to_native",
    "to_network",
]

# Values that become 0 and 1: fixed values, or percentiles of each channel of the
# volume. Those of CT are TransUNet's for abdominal organs, in Hounsfield units.
WINDOWS = {"rgb": (0.0, 255.0), "ct": (-125.0, 275.0)}
PERCENTILES = {"mri": (0.5, 99.5)}
MODALITIES = (*WINDOWS, *PERCENTILES)
# Logits of the area outside a center crop, for its class and for the others: their
# probabilities are 1 and 0 in float32.
OUTSIDE_CROP_LOGITS = (200.0, -200.0)
# Most channels that OpenCV 5 resizes at once; OpenCV 4, 512.
MAX_RESIZED_CHANNELS = 128
# Share of the network's range: 12 bits in 16 take up this much, and show next to
# nothing.
FAINT_SPAN = 1 / 16
# Divisor of 16-bit values in `images.read_image`.
PER_GRAY_LEVEL = 257


@dataclasses.dataclass(frozen=True)
class Preprocessor:
    """Preprocessing of a run's images and labels, and back to their own grid.

    Attributes:
        modality: Modality, one of `MODALITIES`, which decides how intensities become
            [0, 1].
        size: Height and width of the network's input in pixels, `S`.
        channels: Up to three channels of the image to take, such as `"0 1 3"`; `""` for
            all.
        center_crop: Share of each side that the network sees, in (0, 1].
    """

    modality: str
    size: int
    channels: str = ""
    center_crop: float = 1.0

    @classmethod
    def of(cls, config: ExperimentConfig) -> Preprocessor:
        """Returns the preprocessing that an experiment's settings name."""
        data = complete(config.data)
        size = config.model.image_size
        return cls(data.modality, size, data.channels, data.center_crop)

    def images(self, image: np.ndarray) -> np.ndarray:
        """Returns an image as `to_network` scales it: `(slices, S, S, 3)`."""
        crop = self.center_crop
        return to_network(image, self.modality, self.size, self.channels, crop)

    def faint(self, image: np.ndarray) -> str:
        """Says why an image shows the network next to nothing: `find_faint`."""
        return find_faint(image, self.modality, self.channels)

    def labels(self, label: np.ndarray) -> np.ndarray:
        """Returns labels as `labels_to_network` resizes them: `(slices, S, S)`."""
        return labels_to_network(label, self.size, self.center_crop)

    def back(self, logits: np.ndarray, rows: int, columns: int) -> np.ndarray:
        """Returns logits as `to_native` resizes them: `(slices, rows, columns, C)`."""
        return to_native(logits, rows, columns, self.center_crop)

    def box(self, rows: int, columns: int) -> tuple[slice, slice]:
        """Returns the pixels of an image that the network sees: `center_box`."""
        return center_box(rows, columns, self.center_crop)


def center_box(rows: int, columns: int, share: float) -> tuple[slice, slice]:
    """Returns the pixels in the middle, a share of each side, at least one.

    `rows * share` is rounded to the nearest number of the same parity as `rows`, so
    that as much is left out on either side.

    Args:
        rows: Number of rows of the image.
        columns: Number of columns of the image.
        share: Share of each side, in (0, 1].
    """
    cut = (1 - share) / 2
    # Something stays, however little is asked for.
    top, left = (min(round(n * cut), (n - 1) // 2) for n in (rows, columns))
    return slice(top, rows - top), slice(left, columns - left)


def to_network(
    image: np.ndarray,
    modality: str,
    size: int,
    channels: str = "",
    center_crop: float = 1.0,
) -> np.ndarray:
    """Scales an image to [0, 1] and to the network's grid.

    `rgb` divides by 255. `ct` clips to -125..275 Hounsfield units and scales these
    to 0 and 1. `mri` does so with the 0.5 and 99.5 percentile of each channel of the
    whole volume, also of what a center crop cuts off; where both are one value, with
    this value and the percentiles of the voxels that differ from it. Resizing averages
    areas where no side grows, and is bilinear otherwise.

    Args:
        image: `(slices, rows, columns, channels)`.
        modality: One of `MODALITIES`.
        size: Height and width of the result in pixels.
        channels: Up to three channels of the image to take, in this order: `"0 1 3"`;
            `""` takes all.
        center_crop: Share of each side to take, `center_box`.

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
    scaled = _crop(scaled, center_crop)
    shrinks = min(scaled.shape[1:3]) >= size
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = _resize(scaled, size, size, method).clip(0.0, 1.0)
    if resized.shape[-1] == 2:
        return np.concatenate([resized, np.zeros_like(resized[..., :1])], axis=-1)
    return resized if resized.shape[-1] == 3 else np.repeat(resized, 3, axis=-1)


def find_faint(image: np.ndarray, modality: str, channels: str = "") -> str:
    """Says why an image shows the network nothing, or next to nothing.

    It is constant, or spans less than a sixteenth of [0, 1] after scaling, as 12 bits
    in a 16-bit file do; or over 99 % of its voxels are one value. A channel of a scan
    is looked at by itself.

    Args:
        image: Image, as for `to_network`.
        modality: Modality, as for `to_network`.
        channels: Channels to take, as for `to_network`.

    Returns:
        A clause without a full stop; `""` for an image like most.
    """
    image = _pick(image, channels)
    if modality == "rgb":
        return _faint(image, modality)
    reasons = [_faint(image[..., i], modality) for i in range(image.shape[-1])]
    numbers = [int(number) for number in channels.split()] or range(len(reasons))
    prefix = "channel {}: " if len(reasons) > 1 else ""
    return "; ".join(
        prefix.format(number) + reason
        for number, reason in zip(numbers, reasons, strict=True)
        if reason
    )


def _faint(values: np.ndarray, modality: str) -> str:
    lowest, highest = float(values.min()), float(values.max())
    if lowest == highest:
        return f"its image is {lowest:g} everywhere"
    if modality in PERCENTILES:
        low, high = np.percentile(values, PERCENTILES[modality])
        if low < high:
            return ""
        return f"over 99 % of its voxels are {low:g}; it is scaled by the others"
    low, high = WINDOWS[modality]
    shown = [min(max(value, low), high) for value in (lowest, highest)]
    if shown[1] - shown[0] >= FAINT_SPAN * (high - low):
        return ""
    # 8-bit values are whole numbers; 16-bit values were divided.
    if modality == "rgb" and lowest >= 0 and (values % 1).any():
        top = round(highest * PER_GRAY_LEVEL)
        if top < 2**12:
            return (
                f"its highest value is {top} of 65535: {top.bit_length()} bits in a "
                "16-bit file, nearly black to the network; scale the values up"
            )
    return (
        f"its values, {lowest:g} to {highest:g}, show the network next to nothing: "
        f"{low:g} to {high:g} become 0 to 1"
    )


def labels_to_network(
    label: np.ndarray, size: int, center_crop: float = 1.0
) -> np.ndarray:
    """Resizes uint8 labels `(slices, rows, columns)` to `(slices, size, size)`.

    Each pixel takes the label of the nearest pixel's center, of those in `center_box`.
    """
    label = _crop(label, center_crop)
    return _resize(label[..., None], size, size, cv2.INTER_NEAREST_EXACT)[..., 0]


def to_native(
    logits: np.ndarray, rows: int, columns: int, center_crop: float = 1.0
) -> np.ndarray:
    """Resizes logits `(slices, S, S, C)` bilinearly to `(slices, rows, columns, C)`.

    Logits, not labels: an outline between pixels of the small grid stays smooth. What
    a center crop cut off is background: one logit is -200 there; of several the first
    is 200 and the others are -200.
    """
    box = center_box(rows, columns, center_crop)
    tall, wide = (side.stop - side.start for side in box)
    inside = _resize(logits.astype(np.float32), tall, wide, cv2.INTER_LINEAR)
    if (tall, wide) == (rows, columns):
        return inside
    outside = np.full(logits.shape[-1], OUTSIDE_CROP_LOGITS[1], np.float32)
    if len(outside) > 1:
        outside[0] = OUTSIDE_CROP_LOGITS[0]
    whole = np.tile(outside, (len(logits), rows, columns, 1))
    whole[:, box[0], box[1]] = inside
    return whole


def to_labels(logits: np.ndarray) -> np.ndarray:
    """Returns the uint8 label of each pixel of logits `(..., C)`: `(...)`.

    One channel is foreground where above 0 (probability above one half); several
    are background and the classes, and the largest wins, the first of equals.
    """
    if logits.shape[-1] == 1:
        return (logits[..., 0] > 0).astype(np.uint8)
    return logits.argmax(axis=-1).astype(np.uint8)


def _crop(array: np.ndarray, share: float) -> np.ndarray:
    """Takes the center of `(slices, rows, columns, ...)`."""
    rows, columns = center_box(array.shape[1], array.shape[2], share)
    return array[:, rows, columns]


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
        others = channel[channel != low] if low == high else channel[:0]
        if others.size:  # The window has closed on a background of over 99 %.
            ends = np.percentile(others, PERCENTILES[modality])
            low, high = min(low, ends[0]), max(high, ends[1])
    else:
        low, high = WINDOWS[modality]
    scale = high - low if high > low else 1.0  # A constant channel becomes zeros.
    return (channel.clip(low, high) - low).astype(np.float32) / np.float32(scale)


def _resize(array: np.ndarray, rows: int, columns: int, method: int) -> np.ndarray:
    """Resizes each slice of `(slices, rows, columns, channels)`."""
    if array.shape[1:3] == (rows, columns):
        return array.copy()
    channels = array.shape[-1]
    resized = np.empty((len(array), rows, columns, channels), array.dtype)
    for target, source in zip(resized, array, strict=True):
        for first in range(0, channels, MAX_RESIZED_CHANNELS):
            group = slice(first, first + MAX_RESIZED_CHANNELS)
            part = cv2.resize(source[..., group], (columns, rows), interpolation=method)
            target[..., group] = part.reshape(rows, columns, -1)
    return resized
