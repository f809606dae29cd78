import keras
import numpy as np
import pytest

from synergynet_tf.layers import DisConX, HardAttentionRefinement, TransformerBlock


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
