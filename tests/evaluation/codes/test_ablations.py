import dataclasses
import types

import keras
import numpy as np
import pytest

from synergynet_tf.evaluation.codes.interventions import (
    PARTS,
    TERMS,
    describe_parts,
    parts_of,
    terms_alone,
    without_part,
)
from synergynet_tf.evaluation.codes.model import CodedCase
from synergynet_tf.models import ENCODERS, METHODS, build_model
from tests.conftest import tiny_encoder
from tests.evaluation.codes.coded_squares import SIZE, STRIDE, draw, make_case
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
        "codes_in_fusion": ["quantizer"],
        "continuous_in_fusion": ["pre_quantization_2"],
        "queries": ["quantizer"],
        "direct_terms": ["quantizer", "pre_quantization_2"],
        "all_but_codes": ["pre_quantization_2", "disconx"],
        "all_but_continuous": ["quantizer", "disconx"],
    }
    assert set(made_by) == {part for part, (_, places) in PARTS.items() if places}
    for part, names in made_by.items():
        layer, places = PARTS[part]
        for place, name in zip(places, names, strict=True):
            assert model.get_layer(layer).input[place] is model.get_layer(name).output


@pytest.mark.parametrize(
    ("name", "part", "left"),
    [
        ("synergynet-2s2h", "direct_terms", {"disconx"}),
        ("synergynet-2s2h", "all_but_codes", {"codes"}),
        ("synergynet-2s2h", "all_but_continuous", {"continuous"}),
        ("synergynet-2s2h", "fusion", set()),
        ("synergynet-fusion", "fusion", set()),
    ],
)
def test_terms_averaged_at_once_by_hand(build, name, part, left):
    model = build(name)
    fusion = model.get_layer("fusion")
    terms = keras.Model(model.input, fusion.input)(IMAGES, training=False)
    total = 0.0
    for term, features in zip(TERMS, terms, strict=False):
        array = keras.ops.convert_to_numpy(features)
        mean = array.mean(axis=(1, 2), keepdims=True)
        total += array if term in left else np.broadcast_to(mean, array.shape)
    # The skips are those of the image.
    rest = keras.Model([model.input, fusion.output], model.output)
    expected = keras.ops.convert_to_numpy(rest([IMAGES, total], training=False))
    # Rounding. Of equal tokens the refinement normalizes nothing else, twice, and may
    # stretch it by 32 each time; the parts change logits by about 1.
    np.testing.assert_allclose(
        predict(without_part(model, part)), expected, atol=2e-3, rtol=0
    )
    assert np.abs(expected - predict(model)).max() > 0.1


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
    parts = describe_parts(model, [(case, images)], 2)
    (found,) = parts["ablations"]
    assert found["part"] == "codes"
    # 3 squares of 32 are lost, and 8 won, where half of all is above a quarter.
    assert found["changed_share"] == (3 + 8) / 32
    assert found["dsc"] == 2 * 8 / (16 + 8)
    assert found["dsc_change"] == pytest.approx(2 * 8 / (16 + 8) - 2 * 8 / (11 + 8))
    # There is no fusion.
    assert parts["alone"] == []


def describe_terms(num_terms):
    """Ablates a fusion of an image's channels, found where their sum is above 0.75.

    Of two patients. The first has the class in 4 of 16 squares, where the first term is
    1; the second term is 1 in 2 of them, and the third in another one. The second
    patient has it in 8, where the first term is 1.5, as in all others; the second term
    is 0 there and -1 in the others.
    """
    image = keras.Input((SIZE, SIZE, 3))
    squares = keras.layers.AveragePooling2D(STRIDE)(image)
    terms = [squares[..., channel : channel + 1] for channel in range(num_terms)]
    x = keras.layers.Add(name="fusion")(terms)
    x = keras.layers.UpSampling2D(STRIDE)(x)
    logits = keras.layers.Lambda(lambda t: t - 0.75)(x)
    model = types.SimpleNamespace(model=keras.Model(image, logits))

    values, labels = np.zeros((2, 4, 4, 3), np.float32), np.zeros((2, 4, 4), np.uint8)
    values[0, 0, :, 0] = values[0, 0, :2, 1] = values[0, 3, 3, 2] = 1.0
    values[1, ..., 0], values[1, 2:, :, 1] = 1.5, -1.0
    labels[0, 0] = labels[1, :2] = 1
    images = np.kron(values, np.ones((1, STRIDE, STRIDE, 1), np.float32))
    labels = np.kron(labels, np.ones((1, STRIDE, STRIDE), np.uint8))
    whole = (model.model.predict(images, verbose=0)[..., 0] > 0).astype(np.uint8)
    codes = np.zeros((1, 4, 4))
    cases = [
        CodedCase(f"case {i}", f"patient {i}", *part, codes, codes, codes)
        for i, part in enumerate(
            zip(images[:, None], labels[:, None], whole[:, None], strict=True)
        )
    ]
    inputs = zip(cases, images[:, None], strict=True)
    return describe_parts(model, inputs, num_classes=2)


@pytest.mark.parametrize("num_terms", [2, 3])
def test_what_terms_hold_up_alone_by_hand(num_terms):
    found = describe_terms(num_terms)
    # Hits of the 4 + 8 squares, and squares found.
    found_squares = {
        # Sums of means: 0.25 + 0.125 + 0.0625, below 0.75, and 1.5 - 0.5, above it.
        "fusion": (0 + 8, 0 + 16),
        "codes": (4 + 8, 4 + 16),
        "continuous": (2 + 8, 2 + 8),
        "disconx": (0 + 8, 1 + 16),
    }
    dsc = {k: 2 * hits / (12 + n) for k, (hits, n) in found_squares.items()}
    # With one patient alone, the DSC of the fusion is 0 and 2 * 8 / 24.
    gains = {
        "codes": [1 - 0, 2 / 3 - 2 / 3],
        "continuous": [2 * 2 / (4 + 2) - 0, 1 - 2 / 3],
        "disconx": [0 - 0, 2 / 3 - 2 / 3],
    }
    assert [entry["term"] for entry in found["alone"]] == list(gains)[:num_terms]
    for entry in found["alone"]:
        gain = dsc[entry["term"]] - dsc["fusion"]
        assert entry["dsc"] == pytest.approx(dsc[entry["term"]])
        assert entry["dsc_change"] == pytest.approx(gain)
        # Each of the three draws is in a quarter or half of the resamples.
        draws = [gain, *gains[entry["term"]]]
        ends = (min(draws), max(draws))
        assert entry["dsc_change_interval"] == pytest.approx(ends)
    combined = ["direct_terms", "all_but_codes", "all_but_continuous"]
    assert [entry["part"] for entry in found["ablations"]] == [
        "codes_in_fusion",
        "continuous_in_fusion",
        *(combined if num_terms == 3 else []),
        "fusion",
    ]


def test_every_method_has_the_parts_that_it_is_made_of(build):
    expected = {
        "vqunet": {"codes", "bottleneck"},
        "transvqunet-2s2h": {"codes", "refinement", "bottleneck"},
        # Of two terms, all but one are the other.
        "synergynet-fusion": {
            *("codes", "codes_in_fusion", "continuous_in_fusion", "fusion"),
            *("refinement", "bottleneck"),
        },
        "synergynet-8s0h": set(PARTS) - {"refinement"},
        "synergynet-8s2h": set(PARTS),
    }
    for name, parts in expected.items():
        assert METHODS[name].has_codebook
        found = parts_of(build(name))
        assert found == [part for part in PARTS if part in parts]


def test_terms_are_alone_where_all_others_are_averaged(build):
    assert terms_alone(build("vqunet")) == {}
    assert terms_alone(build("synergynet-fusion")) == {
        "codes": "continuous_in_fusion",
        "continuous": "codes_in_fusion",
    }
    assert terms_alone(build("synergynet-2s2h")) == {
        "codes": "all_but_codes",
        "continuous": "all_but_continuous",
        "disconx": "direct_terms",
    }
