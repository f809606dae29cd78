import numpy as np
import pytest

from synergynet_tf.metrics import codebook_usage


def test_usage_by_hand():
    # Shares 1/4, 1/4, 1/2: entropy 2 * 1/4 log 4 + 1/2 log 2 = 1.5 log 2.
    assert codebook_usage(np.array([2.0, 2.0, 0.0, 4.0])) == pytest.approx((3, 2**1.5))
    assert codebook_usage(np.array([0.0, 7.0])) == pytest.approx((1, 1.0))
    assert codebook_usage(np.zeros(4)) == (0, 0.0)
    assert codebook_usage(np.full(8, 3.0)) == pytest.approx((8, 8.0))
