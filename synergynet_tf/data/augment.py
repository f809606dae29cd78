"""Data augmentation: random changes of an image and its labels."""

from __future__ import annotations

import cv2
import numpy as np

MAX_DEGREES = 20.0
# Settings of `strong`: the probability of each change, and the range of each.
SHARE = 0.3
SCALES = (0.85, 1.25)
GAMMAS = (0.7, 1.5)
CONTRASTS = (0.75, 1.25)
MAX_NOISE = 0.05


def flip_and_rotate(
    image: np.ndarray, label: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Returns an image and its labels, moved alike or left as they are.

    Half of the time: turned by a multiple of 90 degrees, then flipped along one
    axis. A quarter: rotated by -20 to 20 degrees, the image bilinearly, the labels
    by the nearest pixel, with 0 where nothing was. A quarter: unchanged.

    Assumption: the paper says "flipping and rotating" and no more (section 3);
    this is the recipe of TransUNet (arXiv:2102.04306v1 and its published code),
    whose numbers the paper prints beside its own.

    Args:
        image: float32 `(S, S, channels)`.
        label: uint8 `(S, S)`.
        rng: Random generator to draw from.

    Returns:
        Arrays of the same shapes and dtypes; the arguments stay as they are.
    """
    draw = rng.random()
    if draw < 0.5:
        turns, axis = int(rng.integers(4)), int(rng.integers(2))
        return _turn_and_flip(image, turns, axis), _turn_and_flip(label, turns, axis)
    if draw < 0.75:
        degrees = rng.uniform(-MAX_DEGREES, MAX_DEGREES)
        return (
            _rotate(image, degrees, cv2.INTER_LINEAR),
            _rotate(label, degrees, cv2.INTER_NEAREST),
        )
    return image.copy(), label.copy()


def strong(
    image: np.ndarray, label: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Returns what `flip_and_rotate` makes of an image and its labels, and more.

    Each with probability 0.3, in this order: scaled about the center by 0.85 to 1.25,
    labels alike, with 0 where nothing was; gamma, `image ** 0.7` to `image ** 1.5`;
    contrast, differences from the mean of each channel times 0.75 to 1.25; Gaussian
    noise of a standard deviation up to 0.05. They are kinds of nnU-Net's
    augmentation, of smaller ranges (Isensee et al., 2021, supplementary note 4).

    Args:
        image: float32 `(S, S, channels)` in [0, 1].
        label: uint8 `(S, S)`.
        rng: Random generator to draw from.

    Returns:
        Arrays of the same shapes and dtypes, the image in [0, 1]; the arguments stay
        as they are.
    """
    image, label = flip_and_rotate(image, label, rng)
    if rng.random() < SHARE:
        scale = rng.uniform(*SCALES)
        image = _rotate(image, 0.0, cv2.INTER_LINEAR, scale)
        label = _rotate(label, 0.0, cv2.INTER_NEAREST, scale)
    if rng.random() < SHARE:
        image = image.clip(0.0, 1.0) ** np.float32(rng.uniform(*GAMMAS))
    if rng.random() < SHARE:
        mean = image.mean(axis=(0, 1))
        image = mean + (image - mean) * np.float32(rng.uniform(*CONTRASTS))
    if rng.random() < SHARE:
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        image = image + noise * np.float32(rng.uniform(0.0, MAX_NOISE))
    return image.clip(0.0, 1.0), label


AUGMENTATIONS = {"paper": flip_and_rotate, "strong": strong}


def _turn_and_flip(array: np.ndarray, turns: int, axis: int) -> np.ndarray:
    return np.ascontiguousarray(np.flip(np.rot90(array, turns), axis))


def _rotate(
    array: np.ndarray, degrees: float, method: int, scale: float = 1.0
) -> np.ndarray:
    rows, columns = array.shape[:2]
    center = ((columns - 1) / 2, (rows - 1) / 2)
    matrix = cv2.getRotationMatrix2D(center, degrees, scale)
    moved = cv2.warpAffine(array, matrix, (columns, rows), flags=method)
    return moved.reshape(array.shape)
