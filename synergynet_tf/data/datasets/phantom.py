"""Phantom: synthetic dataset for the demo and the tests; no files are read.

Each case is a short stack of noisy gray slices, loosely a heart in short axis: a
bright `cavity`, the darker `wall` around it, and a bright `crescent` on one side of
the wall. Bright and dark ellipses without a wall (distractors), a texture, noise and
a bias field cover the same intensities, so that shape and surroundings decide, and no
constant or threshold does.

A case depends on its number alone: it is the same on every machine.
"""

from __future__ import annotations

import pathlib

import cv2
import numpy as np

from synergynet_tf.data.listing import Listing
from synergynet_tf.data.spec import Case
from synergynet_tf.data.split_rules import random_split

CLASSES: tuple[str, ...] = ("cavity", "wall", "crescent")
PAPER_PROTOCOL: str = "pooled"

SIZE = 96
NUM_SLICES = 4
COUNTS = {"train": 48, "val": 8, "test": 12}
SPACING_MM = (8.0, 1.5, 1.5)

# Mean intensities before bias, texture and noise.
BACKGROUND, BRIGHT, DARK = 0.45, 0.8, 0.2


def class_names(root: str | pathlib.Path) -> tuple[str, ...]:
    """Returns the three foreground classes; `root` is ignored."""
    return CLASSES


def modality(root: str | pathlib.Path) -> str:
    """Returns `mri`."""
    return "mri"


def case_ids(root: str | pathlib.Path) -> list[str]:
    """Lists the cases, `phantom_000` and so on; `root` is ignored."""
    return [f"phantom_{number:03d}" for number in range(sum(COUNTS.values()))]


def patients(root: str | pathlib.Path) -> dict[str, str]:
    """Returns each case as its own patient: no others are known."""
    return {case_id: case_id for case_id in case_ids(root)}


def listing(root: str | pathlib.Path) -> Listing:
    """Returns all cases, without files; `root` is ignored."""
    return Listing(pathlib.Path(root), {"train": {i: [] for i in case_ids(root)}})


def case_files(root: str | pathlib.Path, case_id: str) -> list[pathlib.Path]:
    """Returns an empty list: a phantom has no files."""
    return []


def read_case(root: str | pathlib.Path, case_id: str) -> Case:
    """Draws one case of 4 slices of 96 x 96 pixels; `root` is ignored.

    Raises:
        ValueError: If there is no such case.
    """
    if case_id not in case_ids(root):
        known = case_ids(root)
        raise ValueError(f"No case {case_id}; they are {known[0]} to {known[-1]}")
    rng = np.random.default_rng(int(case_id.removeprefix("phantom_")))
    label = _draw_label(rng)
    image = np.full(label.shape, BACKGROUND)
    _draw_distractors(rng, image)
    image[label == 1] = BRIGHT
    image[label == 2] = DARK
    image[label == 3] = BRIGHT
    image *= _smooth_field(rng, SIZE / 3, low=0.65, high=1.35)
    image += _smooth_field(rng, 1.5, low=-0.12, high=0.12)
    image += rng.normal(0.0, 0.05, image.shape)
    image = 1000.0 * image.clip(0.0)
    return Case(case_id, image[..., None].astype(np.float32), label, SPACING_MM)


def default_split(root: str | pathlib.Path) -> str:
    """Names `official`; `root` is ignored."""
    return "official"


def splits(root: str | pathlib.Path, split: str, seed: int) -> dict[str, list[str]]:
    """Returns the case ids of `train`, `val` and `test`.

    Args:
        root: Ignored.
        split: `official`: the first 48, the next 8, the last 12. `random`: 70 /
            10 / 20 %.
        seed: Seed of the random split.

    Raises:
        ValueError: If `split` is another.
    """
    ids = case_ids(root)
    if split == "official":
        first, last = COUNTS["train"], COUNTS["train"] + COUNTS["val"]
        return {"train": ids[:first], "val": ids[first:last], "test": ids[last:]}
    if split == "random":
        return random_split(ids, seed)
    raise ValueError(
        f"`split` must be official or random for the phantom. Received: split={split!r}"
    )


def _draw_label(rng: np.random.Generator) -> np.ndarray:
    """Draws the labels, uint8 `(slices, rows, columns)`, thinner towards the end."""
    center = rng.uniform(0.4, 0.6, 2) * SIZE
    cavity, wall = rng.uniform(9, 14), rng.uniform(6, 8)
    crescent, stretch = rng.uniform(10, 13), rng.uniform(0.85, 1.15)
    angle = rng.uniform(0, 2 * np.pi)
    label = np.zeros((NUM_SLICES, SIZE, SIZE), np.uint8)
    for i, scale in enumerate(np.linspace(1.0, 0.75, NUM_SLICES)):
        center = center + rng.normal(0, 0.5, 2)
        outer = scale * (cavity + wall)
        # A disk as large as the wall's, moved sideways: what sticks out is left.
        moved = center + scale * crescent * np.array([np.sin(angle), np.cos(angle)])
        label[i][_ellipse(moved, outer, stretch, angle)] = 3
        label[i][_ellipse(center, outer, stretch, angle)] = 2
        label[i][_ellipse(center, scale * cavity, stretch, angle)] = 1
    return label


def _draw_distractors(rng: np.random.Generator, image: np.ndarray) -> None:
    """Draws ellipses without a wall into all slices, in place."""
    for intensity in (BRIGHT, BRIGHT, BRIGHT, DARK, DARK, DARK):
        center, radius = rng.uniform(0, SIZE, 2), rng.uniform(6, 13)
        stretch, angle = rng.uniform(0.7, 1.4), rng.uniform(0, np.pi)
        for slice_ in image:
            center = center + rng.normal(0, 0.5, 2)
            slice_[_ellipse(center, radius, stretch, angle)] = intensity


def _ellipse(
    center: np.ndarray, radius: float, stretch: float, angle: float
) -> np.ndarray:
    """Returns a bool mask `(rows, columns)`: half axes `radius` times, by `stretch`."""
    rows, columns = np.mgrid[:SIZE, :SIZE] - center[:, None, None]
    along = np.cos(angle) * columns + np.sin(angle) * rows
    across = np.cos(angle) * rows - np.sin(angle) * columns
    return (along / stretch) ** 2 + (across * stretch) ** 2 <= radius**2


def _smooth_field(
    rng: np.random.Generator, sigma: float, low: float, high: float
) -> np.ndarray:
    """Draws a field for each slice: blurred noise, from `low` to `high`."""
    noise = rng.normal(size=(NUM_SLICES, SIZE, SIZE))
    fields = np.stack([cv2.GaussianBlur(n, (0, 0), sigma) for n in noise])
    fields -= fields.min(axis=(1, 2), keepdims=True)
    fields /= fields.max(axis=(1, 2), keepdims=True)
    return low + (high - low) * fields
