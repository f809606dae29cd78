import numpy as np
import pytest
from keras import ops

from synergynet_tf.models import METHODS, build_model, quantizers
from synergynet_tf.models.outputs import split_at_codes

EXTRA = {
    "vqunet": set(),
    "transvqunet-2s2h": {"picks"},
    "synergynet-fusion": {"picks"},
    "synergynet-2s0h": {"attention"},
    "synergynet-2s2h": {"attention", "picks"},
}


def test_every_kind_of_bottleneck_is_here():
    def kinds(names):
        return {
            (m.bottleneck, m.disconx_heads > 0, m.refinement_heads > 0)
            for m in map(METHODS.get, names)
        }

    assert kinds(EXTRA) == kinds(n for n, m in METHODS.items() if m.has_codebook)


@pytest.mark.parametrize("name", EXTRA)
def test_the_halves_make_the_whole(tiny, name):
    model = build_model(tiny.replace(name=name).model)
    (quantizer,) = quantizers(model)
    # Codes far apart, so that rounding chooses none.
    draw = np.random.default_rng(0)
    quantizer.codebook.assign(draw.normal(size=quantizer.codebook.shape))
    images = draw.random((2, 32, 32, 3), np.float32)
    before, after = split_at_codes(model)
    found = before(images)
    assert set(found) == {"features", "codes", "carried"} | EXTRA[name]
    vectors = ops.take(quantizer.codebook, found["codes"], axis=0)
    logits = np.array(after([vectors, *found["carried"]]))
    np.testing.assert_allclose(logits, model(images), atol=1e-5)
    heads = METHODS[name].disconx_heads, METHODS[name].refinement_heads
    for key, count in zip(("attention", "picks"), heads, strict=True):
        if key in found:
            assert found[key].shape == (2, count, 4, 4)
            np.testing.assert_allclose(np.sum(found[key], axis=-1), 1, atol=1e-5)
    other = after([vectors + 1, *found["carried"]])
    assert np.abs(logits - other).max() > 1e-3
