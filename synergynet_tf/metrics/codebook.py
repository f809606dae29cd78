"""How well a codebook is used."""

from __future__ import annotations

import numpy as np


def codebook_usage(counts: np.ndarray) -> tuple[int, float]:
    """Says how many codes are used, and how evenly.

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
