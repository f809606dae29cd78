"""Optional post-processing: flip test-time augmentation, largest connected component.

It is chosen on validation data: a choice made on the test set would flatter it. So it
is off by default, and `metrics.json` says what was on.
"""

from __future__ import annotations

import argparse
import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Postprocessing:
    """The post-processing of a prediction.

    Attributes:
        flips: Test-time augmentation: the logits are the mean over the four flips of
            the image.
        largest: Whether to keep only the largest connected component of each class.
    """

    flips: bool = False
    largest: bool = False

    def __str__(self) -> str:
        """Names those that are on: `flips, largest`."""
        return ", ".join(name for name, on in vars(self).items() if on)


NO_POSTPROCESSING = Postprocessing()


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Gives a command a flag for each."""
    parser.add_argument(
        "--flips",
        action="store_true",
        help="average the logits over the four flips of each image: 4 times the work",
    )
    parser.add_argument(
        "--largest",
        action="store_true",
        help="keep only the largest component of each class of each case",
    )


def keep_largest(labels: np.ndarray) -> np.ndarray:
    """Keeps the largest connected component of each class, the first of equals.

    Pixels that touch by a face, an edge or a corner are one component; what is not
    kept becomes background.

    Args:
        labels: uint8 `(slices, rows, columns)`.
    """
    from scipy import ndimage

    kept = np.zeros_like(labels)
    touching = ndimage.generate_binary_structure(labels.ndim, labels.ndim)
    for value, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        components, _ = ndimage.label(labels[box] == value, touching)
        sizes = np.bincount(components.ravel())
        kept[box][components == 1 + sizes[1:].argmax()] = value
    return kept
