import keras
import numpy as np
import pytest

from synergynet_tf.layers import HardAttentionRefinement
from tests.checks import check_layer


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(2, 3, 4, 8)).astype("float32")


def test_layer(features):
    # Kernel and bias of query, key, value and output. That the check's training
    # step moves query and key shows the straight-through gradient.
    check_layer(HardAttentionRefinement, {"num_heads": 2}, [features], weights=(8, 0))


def projections(layer):
    return [
        [keras.ops.convert_to_numpy(w) for w in sublayer.weights]
        for sublayer in (layer.query, layer.key, layer.value, layer.output_projection)
    ]


def test_equals_the_formula(features):
    layer = HardAttentionRefinement(num_heads=2)
    result = keras.ops.convert_to_numpy(layer(features))
    (wq, bq), (wk, bk), (wv, bv), (wo, bo) = projections(layer)
    z = features.reshape(2, 12, 8).astype("float64")
    expected = np.zeros((2, 12, 8))
    for head in range(2):
        q = z @ wq[:, head] + bq[head]
        k = z @ wk[:, head] + bk[head]
        v = z @ wv[:, head] + bv[head]
        winner = np.argmax(q @ k.transpose(0, 2, 1), axis=-1)
        for image in range(2):
            expected[image] += v[image, winner[image]] @ wo[head]
    expected = (expected + bo).reshape(features.shape)
    # float32 against float64.
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_attention_is_exactly_one_hot(features):
    layer = HardAttentionRefinement(num_heads=2)
    layer(features)
    weights = keras.ops.convert_to_numpy(layer.attention(features))
    assert weights.shape == (2, 2, 12, 12)
    assert set(np.unique(weights)) == {0.0, 1.0}
    assert (weights.sum(axis=-1) == 1).all()


def test_ties_go_to_the_first():
    # Equal elements score alike, so each takes over the first.
    layer = HardAttentionRefinement(num_heads=1)
    layer.build((None, 2, 2, 4))
    weights = layer.attention(np.ones((1, 2, 2, 4), "float32"))
    winners = keras.ops.convert_to_numpy(weights)[0, 0].argmax(axis=-1)
    assert winners.tolist() == [0, 0, 0, 0]


def test_training_and_inference_give_the_same(features):
    layer = HardAttentionRefinement(num_heads=2)
    # A product with a one-hot matrix is exact: zeros add nothing.
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(layer(features, training=True)),
        keras.ops.convert_to_numpy(layer(features, training=False)),
    )


def test_the_winner_does_not_depend_on_16_bits():
    # 200 tokens score within 1 % of each other, of which bfloat16 keeps 2 digits.
    features = np.random.default_rng(0).normal(1.0, 0.05, (1, 20, 10, 8))
    features = keras.ops.cast(features.astype("float32"), "bfloat16")
    mixed = HardAttentionRefinement(num_heads=1, dtype="mixed_bfloat16")
    mixed.build(features.shape)
    weights = keras.ops.convert_to_numpy(mixed.attention(features))
    queries, keys = (
        keras.ops.convert_to_numpy(keras.ops.cast(x, "float32"))[0, 0]
        for x in (mixed.query(tokens(features)), mixed.key(tokens(features)))
    )
    np.testing.assert_array_equal(
        weights[0, 0].argmax(axis=-1), np.argmax(queries @ keys.T, axis=-1)
    )


def tokens(features):
    return keras.ops.reshape(features, (1, -1, features.shape[-1]))


def test_refuses(features):
    with pytest.raises(ValueError, match="num_heads=0"):
        HardAttentionRefinement(num_heads=0)
    with pytest.raises(ValueError, match="channels=8, num_heads=3"):
        HardAttentionRefinement(num_heads=3)(features)
    with pytest.raises(ValueError, match="channels=None, num_heads=2"):
        HardAttentionRefinement(num_heads=2).build((None, 4, 4, None))
