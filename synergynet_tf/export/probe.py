"""Whether an exported model computes what the Keras model computes."""

from __future__ import annotations

import numpy as np

from synergynet_tf.data import DATASETS
from synergynet_tf.data.preprocess import to_network
from synergynet_tf.export.agreement import (
    MAX_OTHER_CODES,
    allowed_difference,
    same_codes,
)
from synergynet_tf.export.exported_model import Answers

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


def require_same_answers(
    expected: Answers, found: Answers, limit: float = MAX_LOGIT_DIFFERENCE
) -> float:
    """Returns the largest difference of the logits of two models.

    Under a limit, of the images whose codes are the same.

    Args:
        expected: The Keras model's.
        found: The exported model's.
        limit: As `allowed_difference` takes it; may be `inf`.

    Raises:
        ValueError: If it is above what `limit` allows, or a value is not finite, or
            other codes are more than rounding explains.
    """
    advice = "nothing was written. Please report it with the run's config.json."
    differences = np.abs(expected.logits - found.logits)
    if expected.codes is not None and found.codes is not None and limit < np.inf:
        differences = differences[same_codes(expected.codes, found.codes)]
        other = float(np.mean(expected.codes != found.codes))
        if other > MAX_OTHER_CODES or not len(differences):
            raise ValueError(
                f"{other:.1%} of the exported model's codes are not the Keras model's, "
                f"and {len(differences)} images have all of them; {advice}"
            )
    difference = float(np.max(differences))
    allowed = allowed_difference(limit, float(np.max(np.abs(expected.logits))))
    if not (difference <= allowed and np.isfinite(difference)):
        raise ValueError(
            f"The exported model's logits differ from the Keras model's by "
            f"{difference:.1e}, more than {allowed:.1e}; {advice}"
        )
    return difference
