"""Codebook operations: nearest code, gradient estimators, EMA update, restart."""

import numpy as np
from keras import ops

# EMA: the decay of VQ-VAE's appendix A.1, and the term that Laplace smoothing adds to a
# code's share, so that a code never used does not divide by zero.
DECAY = 0.99
SMOOTHING = 1e-8
# Shorter vectors are not scaled to unit length, nor rotated.
_MIN_LENGTH = 1e-4
_MIN_ROTATED = 1e-6


def unit(x):
    """Returns vectors divided by their lengths: float32 `(..., channels)`.

    One shorter than 1e-4 is divided by that, and so is its gradient.
    """
    squares = ops.sum(ops.square(x), axis=-1, keepdims=True)
    return x * ops.rsqrt(ops.maximum(squares, _MIN_LENGTH**2))


def nearest_code(z, codes):
    """Returns `argmin_j ||z - e_j||^2`, the first of equals: int32 `(...)`.

    Distances are taken from the codebook's mean: far from the origin the expanded
    square loses the digits that decide.

    Args:
        z: float32 `(..., channels)`.
        codes: float32 `(K, channels)`.
    """
    center = ops.mean(codes, axis=0)
    codes, z = codes - center, z - center
    # ||z||^2 is the same for every code and cannot change which is nearest.
    nearness = ops.matmul(z, ops.transpose(codes)) - 0.5 * ops.sum(
        ops.square(codes), axis=-1
    )
    # Not `argmax`, whose lowering TFLite and ONNX refuse.
    return ops.squeeze(ops.top_k(nearness, 1)[1], axis=-1)


@ops.custom_gradient
def straight_through(z, codes):
    """Returns `codes`; passes the gradient to `z` unchanged and none to `codes`.

    Reference:
        van den Oord et al., 2017, https://arxiv.org/abs/1711.00937v2, section 3.1.
    """

    def grad(*args, upstream=None):
        upstream = args[0] if upstream is None else upstream
        return upstream, ops.zeros_like(upstream)

    return codes, grad


@ops.custom_gradient
def rotation(z, codes):
    """Returns `codes`; rotates and scales the gradient from the code back to `z`.

    With unit vectors `u` of `z` and `v` of its code, and `r` that of `u + v`:

        code = s R z,  s = ||code|| / ||z||,  R = I - 2 r r^T + 2 v u^T
        gradient of z = s R^T g = s (g - 2 r (r . g) + 2 u (v . g))

    `R` and `s` count as constants. A zero vector has no direction: there the gradient
    goes straight through. `codes` get none.

    Reference:
        Fifty et al., 2024, Restructuring Vector Quantization with the Rotation
        Trick, https://arxiv.org/abs/2410.06424, section 4.
    """
    u, z_length = _direction(z)
    v, code_length = _direction(codes)
    r, _ = _direction(u + v)

    def grad(*args, upstream=None):
        upstream = args[0] if upstream is None else upstream
        turned = upstream - 2.0 * r * _dot(r, upstream) + 2.0 * u * _dot(v, upstream)
        turned = turned * code_length / ops.maximum(z_length, _MIN_ROTATED)
        directed = ops.minimum(z_length, code_length) > _MIN_ROTATED
        return ops.where(directed, turned, upstream), ops.zeros_like(upstream)

    return codes, grad


ESTIMATORS = {"straight_through": straight_through, "rotation": rotation}


def ema_update(shares, sums, uses, totals):
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


def evenly_spaced(vectors, count):
    """Picks `count` of `(n, channels)` at even distances: `(count, channels)`."""
    total = ops.shape(vectors)[0]
    return ops.take(vectors, ops.arange(count) * total // count, axis=0)


def restarts(uses, candidates, generator):
    """Pairs codes without a use with different vectors, drawn from candidates.

    Of equal codes the first would take all uses. Where there are fewer different
    vectors than dead codes, the last of these are left out.

    Args:
        uses: float array `(K,)`.
        candidates: float array `(n, channels)`.
        generator: `numpy.random.Generator`.

    Returns:
        The indices of the codes, `(m,)`, and their new vectors, `(m, channels)`.
    """
    vectors = np.unique(candidates, axis=0)
    order = generator.permutation(len(vectors))
    dead = np.flatnonzero(uses == 0)[: len(vectors)]
    return dead, vectors[order[: dead.size]]


def _dot(a, b):
    return ops.sum(a * b, axis=-1, keepdims=True)


def _direction(x):
    """Returns the unit vectors of `x` and their lengths `(..., 1)`."""
    length = ops.sqrt(_dot(x, x))
    return x / ops.maximum(length, _MIN_ROTATED), length
