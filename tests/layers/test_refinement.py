import keras
import numpy as np
import pytest

from synergynet_tf.layers import HardAttentionRefinement
from tests.checks import check_layer
from tests.layers.normalized import (
    away_from_the_start,
    normalized_output,
    normalized_scores,
)


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(2, 3, 4, 8)).astype("float32")


PAPER = {"num_heads": 2, "normalized": False}


@pytest.mark.parametrize(("normalized", "weights"), [(True, 11), (False, 8)])
def test_layer(normalized, weights, features):
    # Kernel and bias of query, key, value and output; normalized, temperatures, and
    # the scale and offset of the output. That the check's training step moves query
    # and key shows the straight-through gradient.
    arguments = {"num_heads": 2, "normalized": normalized}
    check_layer(HardAttentionRefinement, arguments, [features], weights=(weights, 0))


def test_normalized_equals_the_formula(features):
    layer = HardAttentionRefinement(num_heads=2)
    layer.build(features.shape)
    away_from_the_start(layer)
    scores, values = normalized_scores(layer, features, features)
    for place in range(12):
        scores[:, :, place, place] = -np.inf
    winners = scores.argmax(axis=-1)
    picked = np.take_along_axis(values, winners[..., None], axis=2)
    expected = normalized_output(layer, picked, features.shape)
    result = keras.ops.convert_to_numpy(layer(features))
    # float32 against float64.
    np.testing.assert_allclose(result, expected, atol=2e-5)
    weights = keras.ops.convert_to_numpy(layer.attention(features))
    np.testing.assert_array_equal(weights.argmax(axis=-1), winners)


def test_no_element_picks_itself_where_there_is_another(features):
    layer = HardAttentionRefinement(num_heads=2)
    layer(features)
    weights = keras.ops.convert_to_numpy(layer.attention(features))
    assert not np.diagonal(weights, axis1=2, axis2=3).any()
    # As it starts, its own key would be the most similar of all: they are equal.
    np.testing.assert_array_equal(layer.key.kernel, layer.query.kernel)
    assert np.any(
        keras.ops.convert_to_numpy(layer.value.kernel)
        != keras.ops.convert_to_numpy(layer.query.kernel)
    )
    alone = HardAttentionRefinement(num_heads=2)
    alone.build((None, 1, 1, 8))
    weights = keras.ops.convert_to_numpy(alone.attention(features[:, :1, :1]))
    assert weights.shape == (2, 2, 1, 1) and weights.all()


def test_the_first_pick_is_the_most_similar(features):
    # The last two elements are equal but for their places; all else is noise.
    features = features.copy()
    features[:, 2, 3] = features[:, 2, 2] = 3 * features[:, 2, 2]
    layer = HardAttentionRefinement(num_heads=1)
    layer(features)
    weights = keras.ops.convert_to_numpy(layer.attention(features))
    assert (weights[:, 0, 11].argmax(axis=-1) == 10).all()
    assert (weights[:, 0, 10].argmax(axis=-1) == 11).all()


def projections(layer):
    return [
        [keras.ops.convert_to_numpy(w) for w in sublayer.weights]
        for sublayer in (layer.query, layer.key, layer.value, layer.output_projection)
    ]


def test_equals_the_formula(features):
    layer = HardAttentionRefinement(**PAPER)
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
    layer = HardAttentionRefinement(num_heads=1, normalized=False)
    layer.build((None, 2, 2, 4))
    weights = layer.attention(np.ones((1, 2, 2, 4), "float32"))
    winners = keras.ops.convert_to_numpy(weights)[0, 0].argmax(axis=-1)
    assert winners.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("normalized", [True, False])
def test_training_and_inference_give_the_same(normalized, features):
    layer = HardAttentionRefinement(num_heads=2, normalized=normalized)
    # A product with a one-hot matrix is exact: zeros add nothing.
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(layer(features, training=True)),
        keras.ops.convert_to_numpy(layer(features, training=False)),
    )


def test_the_winner_does_not_depend_on_16_bits():
    # 200 tokens score within 1 % of each other, of which bfloat16 keeps 2 digits.
    features = np.random.default_rng(0).normal(1.0, 0.05, (1, 20, 10, 8))
    features = keras.ops.cast(features.astype("float32"), "bfloat16")
    mixed = HardAttentionRefinement(1, normalized=False, dtype="mixed_bfloat16")
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
