"""Codes as moving averages of the vectors that chose them."""

from keras import ops

# VQ-VAE's, appendix A.1.
DECAY = 0.99
# Of a code's share, for Laplace smoothing: one never used must not divide by zero.
SMOOTHING = 1e-8


def average_codes(shares, sums, uses, totals):
    """Takes a step of the moving averages and returns the codes: `(K, channels)`.

    With `n_k` of the `n` vectors of a step at code `k`, and `t_k` their sum:

        share_k = decay * share_k + (1 - decay) * n_k / n
        sum_k   = decay * sum_k + (1 - decay) * t_k / n
        e_k     = sum_k / smoothed share_k

    This is VQ-VAE's divided by `n`, which changes no code.

    Args:
        shares: `keras.Variable` `(K,)`, is changed.
        sums: `keras.Variable` `(K, channels)`, is changed.
        uses: float32 `(K,)`: `n_k`.
        totals: float32 `(K, channels)`: `t_k`.

    Reference:
        van den Oord et al., 2017, appendix A.1, https://arxiv.org/abs/1711.00937v2.
    """
    num_codes = shares.shape[0]
    for average, new in ((shares, uses), (sums, totals)):
        average.assign(DECAY * average + (1.0 - DECAY) * new / ops.sum(uses))
    total = ops.sum(shares)
    smoothed = (shares + SMOOTHING) * (total / (total + num_codes * SMOOTHING))
    return sums / smoothed[:, None]
