"""What gradient the continuous features get through the choice of a code."""

from keras import ops

# Under this length a vector has no direction to rotate from.
_SHORTEST = 1e-6


@ops.custom_gradient
def straight_through(z, codes):
    """Returns `codes`; hands the gradient to `z` unchanged and none to `codes`.

    Reference:
        van den Oord et al., 2017, https://arxiv.org/abs/1711.00937v2, section 3.1.
    """

    def grad(*args, upstream=None):
        upstream = args[0] if upstream is None else upstream
        return upstream, ops.zeros_like(upstream)

    return codes, grad


@ops.custom_gradient
def rotation(z, codes):
    """Returns `codes`; turns and scales the gradient of `z` with what carries it there.

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
        turned = turned * code_length / ops.maximum(z_length, _SHORTEST)
        directed = ops.minimum(z_length, code_length) > _SHORTEST
        return ops.where(directed, turned, upstream), ops.zeros_like(upstream)

    return codes, grad


ESTIMATORS = {"straight_through": straight_through, "rotation": rotation}


def _dot(a, b):
    return ops.sum(a * b, axis=-1, keepdims=True)


def _direction(x):
    """Returns the unit vectors of `x` and their lengths `(..., 1)`."""
    length = ops.sqrt(_dot(x, x))
    return x / ops.maximum(length, _SHORTEST), length
