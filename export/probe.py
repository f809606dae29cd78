"""Whether an exported model computes what the Keras model computes."""

from __future__ import annotations

import numpy as np

from export.agreement import allowed_difference
from synergynet_tf.data import DATASETS
from synergynet_tf.data.preprocess import to_network

MAX_LOGIT_DIFFERENCE = 1e-4


def probe_images(size: int) -> np.ndarray:
    """Returns images to compare on: noise, and slices of the phantom.

    Args:
        size: Height and width, in pixels.

    Returns:
        float32 `(images, size, size, 3)` in [0, 1].
    """
    phantom = DATASETS["phantom"]
    case = phantom.read_case("", phantom.case_ids("")[0])
    slices = to_network(case.image, phantom.modality(""), size)
    noise = np.random.default_rng(0).random((2, size, size, 3), np.float32)
    return np.concatenate([noise, slices])


def require_same_logits(
    expected: np.ndarray, found: np.ndarray, limit: float = MAX_LOGIT_DIFFERENCE
) -> float:
    """Returns the largest difference of two arrays of logits.

    Raises:
        ValueError: If it is above what `limit` allows, or a value is not finite.
    """
    difference = float(np.max(np.abs(expected - found)))
    allowed = allowed_difference(limit, float(np.max(np.abs(expected))))
    if not (difference <= allowed and np.isfinite(difference)):
        raise ValueError(
            f"The exported model's logits differ from the Keras model's by "
            f"{difference:.1e}, more than {allowed:.1e}; nothing was "
            "written. Please report it with the run's config.json."
        )
    return difference
