import numpy as np
import pytest

from synergynet_tf.export import probe
from synergynet_tf.export.exported_model import Answers


def answers(logits, codes=None):
    """Returns those of images of one pixel, and of ten by ten positions."""
    logits = np.asarray(logits, "float32").reshape(-1, 1, 1, 1)
    if codes is not None:
        codes = np.broadcast_to(
            np.zeros((10, 10), "int32"), (len(logits), 10, 10)
        ).copy()
    return Answers(logits, codes)


def test_the_limit_is_a_share_of_the_largest_logit():
    run = answers([8.0, -10.0])
    assert probe.require_same_answers(run, answers([8.0009, -10.0])) > 8e-4
    with pytest.raises(ValueError, match=r"by 1\.2e-03, more than 1\.0e-03"):
        probe.require_same_answers(run, answers([8.0012, -10.0]))
    with pytest.raises(ValueError, match="nothing was written"):
        probe.require_same_answers(run, answers([np.nan, -10.0]))
    assert probe.require_same_answers(run, answers([9.0, -10.0]), np.inf) == 1.0


def test_an_image_with_another_code_is_not_compared():
    run, export = answers([1.0, 1.0], codes=0), answers([1.0, 1.5], codes=0)
    with pytest.raises(ValueError, match=r"by 5\.0e-01"):
        probe.require_same_answers(run, export)
    export.codes[1, 4, 4] = 7
    assert probe.require_same_answers(run, export) == 0.0
    # Of 200 codes two are 1 %, and three are no rounding any more.
    export.codes[1, 4, 5] = 7
    assert probe.require_same_answers(run, export) == 0.0
    export.codes[1, 4, 6] = 7
    with pytest.raises(ValueError, match=r"1\.5% of the exported model's codes"):
        probe.require_same_answers(run, export)


def test_one_image_at_least_is_compared():
    run, export = answers([1.0, 1.0], codes=0), answers([1.0, 1.0], codes=0)
    export.codes[:, 0, 0] = 7
    with pytest.raises(ValueError, match="0 images have all of them"):
        probe.require_same_answers(run, export)
