import numpy as np
import pytest

from synergynet_tf.metrics import (
    class_entropy,
    codebook_usage,
    mutual_information,
    purity,
)


def test_usage_by_hand():
    # Shares 1/4, 1/4, 1/2: entropy 2 * 1/4 log 4 + 1/2 log 2 = 1.5 log 2.
    assert codebook_usage(np.array([2.0, 2.0, 0.0, 4.0])) == pytest.approx((3, 2**1.5))
    assert codebook_usage(np.array([0.0, 7.0])) == pytest.approx((1, 1.0))
    assert codebook_usage(np.zeros(4)) == (0, 0.0)
    assert codebook_usage(np.full(8, 3.0)) == pytest.approx((8, 8.0))


def test_purity_by_hand():
    # 3 of 4, 2 of 2, and the unused code.
    table = np.array([[3.0, 1.0], [0.0, 2.0], [0.0, 0.0]])
    assert purity(table) == 5 / 6
    assert np.isnan(purity(0 * table))


def test_mutual_information_by_hand():
    # Two codes alike, two classes alike: the code is the class, 1 bit.
    assert mutual_information(np.diag([3.0, 3.0])) == pytest.approx(1)
    assert mutual_information(np.ones((3, 2))) == pytest.approx(0)
    # The second code splits the second class: still 1 bit, not 1.5.
    table = np.array([[2.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert mutual_information(table) == class_entropy(table) == pytest.approx(1)
    # sum p log2 (p / (p_code p_class)), a term a cell.
    table = np.array([[4.0, 2.0], [1.0, 9.0]])
    terms = [(4, 6, 5), (2, 6, 11), (1, 10, 5), (9, 10, 11)]
    expected = sum(n / 16 * np.log2(16 * n / (k * c)) for n, k, c in terms)
    assert mutual_information(table) == pytest.approx(expected)


def test_numbers_of_many_tables_at_once():
    tables = np.random.default_rng(0).integers(0, 9, (5, 4, 3)).astype(float)
    for function in (purity, mutual_information, class_entropy):
        one_by_one = [function(table) for table in tables]
        np.testing.assert_allclose(function(tables), one_by_one)
