"""Random flips and rotations of an image and its labels alike."""

from __future__ import annotations

import cv2
import numpy as np

MAX_DEGREES = 20.0


def augment(
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
        rng: What to draw from.

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


def _turn_and_flip(array: np.ndarray, turns: int, axis: int) -> np.ndarray:
    return np.ascontiguousarray(np.flip(np.rot90(array, turns), axis))


def _rotate(array: np.ndarray, degrees: float, method: int) -> np.ndarray:
    rows, columns = array.shape[:2]
    center = ((columns - 1) / 2, (rows - 1) / 2)
    matrix = cv2.getRotationMatrix2D(center, degrees, 1.0)
    moved = cv2.warpAffine(array, matrix, (columns, rows), flags=method)
    return moved.reshape(array.shape)
