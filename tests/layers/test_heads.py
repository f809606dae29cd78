import keras
import numpy as np
import pytest

from synergynet_tf.layers import (
    DisConX,
    HardAttentionRefinement,
    LearnedPositions,
    TransformerBlock,
)
from synergynet_tf.layers.heads import sine_cosine_positions


@pytest.mark.parametrize(
    ("layer", "inputs"),
    [
        (DisConX(8), 2),
        (DisConX(8, normalized=False), 2),
        (HardAttentionRefinement(8, normalized=False), 1),
        (TransformerBlock(8), 1),
    ],
)
def test_heads_start_in_the_range_of_the_matrix_that_they_share(layer, inputs):
    layer(*[np.zeros((1, 2, 2, 64), "float32")] * inputs)
    names = ("query", "key", "value", "output")
    kernels = [
        keras.ops.convert_to_numpy(w)
        for w in layer.weights
        if w.path.endswith("/kernel") and any(f"{n}/" in w.path for n in names)
    ]
    heads = [kernel for kernel in kernels if kernel.ndim == 3]
    assert len(heads) == 4
    for kernel in heads:
        # sqrt(6 / (64 + 64)), with 4,096 values drawn evenly below it.
        assert np.abs(kernel).max() == pytest.approx(6**0.5 / 128**0.5, rel=0.02)
    assert len({kernel.ravel()[0] for kernel in heads}) == 4


@pytest.mark.parametrize("grid", [(1, 1), (3, 5), (14, 14), (40, 2)])
@pytest.mark.parametrize("channels", [4, 6, 16, 512])
def test_sines_and_cosines_of_any_grid(grid, channels):
    positions = sine_cosine_positions(*grid, channels)
    assert positions.shape == (grid[0] * grid[1], channels)
    assert positions.dtype == np.float32
    # A sine and its cosine: sin^2 + cos^2 = 1, times 2, of two channels.
    if channels % 4 == 0:
        np.testing.assert_allclose((positions**2).mean(axis=1), 1, rtol=1e-5)
    assert len(np.unique(positions.round(4), axis=0)) == len(positions)


def test_sines_and_cosines_by_hand():
    positions = sine_cosine_positions(2, 3, 8)
    # Row 1, column 2; frequencies 1 and 1 / 10000^(1/2).
    row = [f(x) for f in (np.sin, np.cos) for x in (1, 0.01)]
    column = [f(x) for f in (np.sin, np.cos) for x in (2, 0.02)]
    expected = np.sqrt(2) * np.array(row + column)
    np.testing.assert_allclose(positions[5], expected, rtol=1e-6)


@pytest.mark.parametrize(
    "layer", [DisConX(2), HardAttentionRefinement(2), LearnedPositions()]
)
def test_positions_are_those_of_one_grid(layer):
    wide, high = np.zeros((1, 4, 9, 8), "float32"), np.zeros((1, 9, 4, 8), "float32")
    inputs = 2 if isinstance(layer, DisConX) else 1
    assert tuple(layer(*[wide] * inputs).shape) == wide.shape
    with pytest.raises(ValueError, match=r"expected shape=\(None, 4, 9, 8\)"):
        layer(*[high] * inputs)


def test_without_positions_any_grid_is_taken():
    layer = HardAttentionRefinement(2, normalized=False)
    for shape in ((1, 4, 9, 8), (2, 9, 4, 8)):
        assert tuple(layer(np.zeros(shape, "float32")).shape) == shape
