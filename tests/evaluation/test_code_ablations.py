import dataclasses

import keras
import numpy as np
import pytest

from synergynet_tf.evaluation.code_ablations import (
    PARTS,
    describe_parts,
    without_part,
)
from synergynet_tf.models import ENCODERS, METHODS, build_model
from tests.conftest import tiny_encoder
from tests.evaluation.coded_squares import SIZE, STRIDE, draw, make_case
from tests.models.tiny import TINY

IMAGES = np.random.default_rng(0).random((2, 64, 64, 3), np.float32)


@pytest.fixture
def build(monkeypatch):
    """Builds a tiny model whose codes are its features of the first image."""
    monkeypatch.setitem(ENCODERS, "tiny", tiny_encoder)

    def build_named(name):
        keras.utils.set_random_seed(0)
        config = dataclasses.replace(TINY, name=name, backbone="tiny", image_size=64)
        built = build_model(config)
        quantizer = built.get_layer("quantizer")
        features = keras.Model(built.input, quantizer.input)(IMAGES, training=False)
        vectors = keras.ops.reshape(features, (-1, config.hidden_dim))
        quantizer.codebook.assign(vectors[: config.num_codes])
        return built

    return build_named


def predict(model):
    return keras.ops.convert_to_numpy(model(IMAGES, training=False))


def test_each_part_of_synergynet_is_another(build):
    model = build("synergynet-2s2h")
    whole = predict(model)
    logits = {part: predict(without_part(model, part)) for part in PARTS}
    for part in PARTS:
        assert np.abs(logits[part] - whole).max() > 1e-4, part
    assert len({array.tobytes() for array in logits.values()}) == len(PARTS)
    np.testing.assert_array_equal(predict(model), whole)


def test_inputs_are_those_that_the_parts_say(build):
    model = build("synergynet-2s2h")
    made_by = {
        "codes_in_fusion": "quantizer",
        "continuous_in_fusion": "pre_quantization_2",
        "queries": "quantizer",
    }
    assert set(made_by) == {
        part for part, (_, place) in PARTS.items() if place is not None
    }
    for part, name in made_by.items():
        layer, place = PARTS[part]
        assert model.get_layer(layer).input[place] is model.get_layer(name).output


@pytest.mark.parametrize(
    ("part", "layer", "end"),
    [
        ("queries", "disconx", "query/kernel"),
        ("refinement", "refinement", "output/kernel"),
    ],
)
def test_a_part_that_nothing_reads_is_not_missed(build, part, layer, end):
    model = build("synergynet-2s2h")
    weights = model.get_layer(layer).weights
    (kernel,) = [weight for weight in weights if weight.path.endswith(end)]
    kernel.assign(np.zeros(kernel.shape))
    # Rounding.
    np.testing.assert_allclose(
        predict(without_part(model, part)), predict(model), atol=1e-6
    )
    others = {"codes", "continuous_in_fusion", "bottleneck"}
    for other in others:
        assert np.abs(predict(without_part(model, other)) - predict(model)).max() > 1e-4


def test_shares_and_dice_by_hand():
    # Codes of the first slice: 0.5, 1, 0, 1, and 0 in the others' places; their mean
    # is below a quarter, so that nothing is found. The second is of 1 and 0.
    grid, half = np.zeros((4, 4)), np.zeros((4, 4))
    grid[0] = [0.4, 0.9, 0.1, 1.0]
    half[:2] = 1.0
    images = draw(grid, half)
    labels = np.zeros((2, SIZE, SIZE), np.uint8)
    labels[1, : 2 * STRIDE] = 1
    model, case = make_case(images, labels)
    (found,) = describe_parts(model, [(case, images)], 2)
    assert found["part"] == "codes"
    # 3 squares of 32 are lost, and 8 won, where half of all is above a quarter.
    assert found["changed_share"] == (3 + 8) / 32
    assert found["dsc"] == 2 * 8 / (16 + 8)
    assert found["dsc_change"] == pytest.approx(2 * 8 / (16 + 8) - 2 * 8 / (11 + 8))


def test_every_method_has_the_parts_that_it_is_made_of(build):
    expected = {
        "vqunet": {"codes", "bottleneck"},
        "transvqunet-2s2h": {"codes", "refinement", "bottleneck"},
        "synergynet-fusion": set(PARTS) - {"queries", "disconx"},
        "synergynet-8s0h": set(PARTS) - {"refinement"},
    }
    for name, parts in expected.items():
        assert METHODS[name].has_codebook
        layers = {layer.name for layer in build(name).layers}
        assert {part for part, (layer, _) in PARTS.items() if layer in layers} == parts
