"""A batch as training sees it, the same for every program; NumPy alone."""

from __future__ import annotations

import numpy as np


def images(batch: int, size: int) -> np.ndarray:
    """Returns noise in [0, 1], float32 `(batch, size, size, 3)`."""
    generator = np.random.default_rng(0)
    return generator.random((batch, size, size, 3), np.float32)


def labels(batch: int, size: int) -> np.ndarray:
    """Returns a disk in each image, uint8 `(batch, size, size)`."""
    row, column = np.ogrid[:size, :size]
    radius = size / 4
    disk = (row - size / 2) ** 2 + (column - size / 2) ** 2 < radius**2
    return np.repeat(disk[None].astype(np.uint8), batch, axis=0)
