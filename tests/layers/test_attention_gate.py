import keras
import numpy as np
import pytest

from synergynet_tf.layers import AttentionGate
from tests.checks import check_layer


@pytest.fixture
def skip():
    return np.random.default_rng(0).normal(size=(2, 6, 8, 4)).astype("float32")


@pytest.fixture
def gating():
    return np.random.default_rng(1).normal(size=(2, 3, 4, 10)).astype("float32")


def weights(sublayer):
    return [keras.ops.convert_to_numpy(w) for w in sublayer.weights]


def doubling(size):
    """The matrix of bilinear doubling: output `i` looks at `(i + 0.5) / 2 - 0.5`."""
    matrix = np.zeros((2 * size, size))
    for i in range(2 * size):
        position = np.clip((i + 0.5) / 2 - 0.5, 0, size - 1)
        low = min(int(position), size - 2)
        matrix[i, low : low + 2] = 1 - (position - low), position - low
    return matrix


def test_layer(skip, gating):
    # One kernel for the skip; kernel and bias of the gating signal and of psi.
    check_layer(AttentionGate, {}, [skip, gating], weights=(5, 0))


def test_equals_the_formula(skip, gating):
    gate = AttentionGate()
    gate.build(skip.shape, gating.shape)
    gate.gating_projection.bias.assign([0.3, -0.2])
    gate.psi.bias.assign([0.7])
    result = keras.ops.convert_to_numpy(gate(skip, gating))

    (w_x,) = weights(gate.skip_projection)
    w_g, b_g = weights(gate.gating_projection)
    w_psi, b_psi = weights(gate.psi)
    assert w_x.shape == (2, 2, 4, 2)
    blocks = skip.astype("float64").reshape(2, 3, 2, 4, 2, 4)
    hidden = np.einsum("nhawbc,abcd->nhwd", blocks, w_x) + gating @ w_g[0, 0] + b_g
    alpha = 1 / (1 + np.exp(-(np.maximum(hidden, 0) @ w_psi[0, 0] + b_psi)))
    alpha = np.einsum("ih,jw,nhwc->nijc", doubling(3), doubling(4), alpha)
    # float32 against float64.
    np.testing.assert_allclose(result, alpha * skip, atol=1e-5)
    np.testing.assert_allclose(gate.coefficients(skip, gating), alpha, atol=1e-5)


def test_a_closed_gate_lets_nothing_through_and_an_open_one_all(skip, gating):
    gate = AttentionGate()
    gate.build(skip.shape, gating.shape)
    gate.psi.kernel.assign(np.zeros((1, 1, 2, 1)))
    for bias, share in ((-100.0, 0.0), (0.0, 0.5), (100.0, 1.0)):
        gate.psi.bias.assign([bias])
        np.testing.assert_allclose(gate(skip, gating), share * skip, atol=1e-6)


def test_refuses(skip, gating):
    with pytest.raises(ValueError, match=r"twice as high.*\(2, 6, 8, 4\)"):
        AttentionGate()(skip, gating[:, :2])
    with pytest.raises(ValueError, match="at least 2 channels"):
        AttentionGate()(skip[..., :1], gating)
    with pytest.raises(ValueError, match="at least 2 channels"):
        AttentionGate().build((None, 6, 8, None), (None, 3, 4, 10))
