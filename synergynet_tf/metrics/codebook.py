"""Codebook metrics: usage, perplexity, purity, mutual information."""

from __future__ import annotations

import numpy as np


def codebook_usage(counts: np.ndarray) -> tuple[int, float]:
    """Number of used codes, and their perplexity.

        perplexity = exp(-sum_k p_k log p_k),  p_k = share of the uses of code k

    Args:
        counts: Uses of each code, `(num_codes,)`.

    Returns:
        The number of codes with a use, and the perplexity: 1 if one code has all
        uses, that number if all have equally many. Without any use, 0 and 0.
    """
    used = counts[counts > 0].astype(np.float64)
    if not used.size:
        return 0, 0.0
    share = used / used.sum()
    return used.size, float(np.exp(-np.sum(share * np.log(share))))


def purity(table: np.ndarray) -> np.ndarray:
    """Purity: share of what lies in its code's most frequent class.

        purity = sum_k max_c n_kc / sum_kc n_kc

    With as many codes as samples it is 1, and never below the share of the largest
    class: it means something beside what chance reaches.

    Args:
        table: Number of times code `k` and class `c` meet, `(..., codes, classes)`.

    Returns:
        `(...)`, in [0, 1]; `nan` without a sample.

    Reference:
        Manning, Raghavan and Schuetze, 2008, Introduction to Information Retrieval,
        section 16.3.
    """
    return _divide(table.max(axis=-1).sum(axis=-1), table.sum(axis=(-2, -1)))


def mutual_information(table: np.ndarray) -> np.ndarray:
    """Mutual information of code and class, in bits.

        I = H(code) + H(class) - H(code, class),  H(p) = -sum p log2 p

    Args:
        table: Counts as in `purity`.

    Returns:
        `(...)`, at least 0 and at most `class_entropy`.

    Reference:
        Cover and Thomas, 2006, Elements of Information Theory, section 2.4.
    """
    joint = _entropy(table.reshape(*table.shape[:-2], -1))
    return _entropy(table.sum(axis=-1)) + class_entropy(table) - joint


def class_entropy(table: np.ndarray) -> np.ndarray:
    """Entropy of the classes in bits: the information of a perfect code.

    `mutual_information` divided by it is the homogeneity of Rosenberg and Hirschberg,
    2007, V-Measure (EMNLP-CoNLL), section 2: the share of the class that is known
    when the code is.

    Args:
        table: Counts as in `purity`.
    """
    return _entropy(table.sum(axis=-2))


def _entropy(counts: np.ndarray) -> np.ndarray:
    share = _divide(counts, counts.sum(axis=-1, keepdims=True))
    logarithm = np.log2(share, out=np.zeros_like(share), where=share > 0)
    return -(share * logarithm).sum(axis=-1)


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    undefined = np.full(np.shape(numerator), np.nan)
    return np.divide(numerator, denominator, out=undefined, where=denominator > 0)
