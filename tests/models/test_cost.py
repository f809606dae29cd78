import dataclasses
import subprocess
import sys

import keras
import pytest

from synergynet_tf.cli import models as models_command
from synergynet_tf.config import ModelConfig
from synergynet_tf.layers import (
    AtrousConv2D,
    DisConX,
    HardAttentionRefinement,
    LearnedPositions,
    UpsampledConv2D,
    VectorQuantizer,
)
from synergynet_tf.models import ENCODERS, METHODS, build_model, cost
from synergynet_tf.models.cost import Cost, count_operations, count_parameters
from tests.conftest import tiny_encoder


def operations(layer, shape, inputs=1):
    images = [keras.Input(shape)] * inputs
    return count_operations(keras.Model(images[0], layer(*images)))


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        # 2 for each of 3 x 3 x 4 products, at 3 x 3 positions, for 5 filters.
        (keras.layers.Conv2D(5, 3, strides=2, padding="same"), 2 * 36 * 9 * 5),
        # Each of the two groups sees 2 of the 4 channels.
        (keras.layers.Conv2D(6, 1, groups=2), 2 * 2 * 36 * 6),
        # Of 6 rows the kernel's outer ones see 2 each, of 6 columns likewise.
        (AtrousConv2D(5, 3, dilation_rate=4), 2 * 10 * 10 * 4 * 5),
        (keras.layers.DepthwiseConv2D(3, padding="same"), 2 * 9 * 36 * 4),
        (keras.layers.Dense(7), 2 * 4 * 36 * 7),
        (keras.layers.EinsumDense("abcd,de->abce", (6, 6, 8)), 2 * 36 * 4 * 8),
        (VectorQuantizer(num_codes=16), 2 * 36 * 16 * 4),
        # Four projections of 36 x 4 x 4, and queries with keys: 36 x 36 x 4.
        (HardAttentionRefinement(2), 2 * (4 * 36 * 16 + 36 * 36 * 4)),
        (keras.layers.BatchNormalization(), 0),
    ],
)
def test_operations_by_hand(layer, expected):
    assert operations(layer, (6, 6, 4)) == expected


def test_operations_of_cross_attention_by_hand():
    # Four projections, queries with keys, and weights with values.
    assert operations(DisConX(2), (6, 6, 4), 2) == 2 * (4 * 36 * 16 + 2 * 36 * 36 * 4)


def test_operations_of_an_upsampled_convolution_by_hand():
    coarse, skip = keras.Input((6, 5, 4)), keras.Input((12, 10, 3))
    layer = UpsampledConv2D(7)
    model = keras.Model([coarse, skip], layer(coarse, skip))
    # 4 channels to 9 places of 7 filters; 5 x 3 columns to 10, at 6 rows of 3 places;
    # 6 x 3 rows to 12, at 10 columns; the skip as a convolution has it.
    products = 30 * 4 * 63 + 6 * 15 * 10 * 21 + 18 * 12 * 10 * 7 + 120 * 27 * 7
    assert cost._upsampled(layer, coarse.shape, model.output_shape) == 2 * products


def test_operations_are_added_and_counting_leaves_no_trace():
    image = keras.Input((6, 6, 4))
    hidden = keras.layers.Conv2D(5, 1)
    model = keras.Model(image, keras.layers.Conv2D(2, 1)(hidden(image)))
    assert count_operations(model) == 2 * 36 * (4 * 5 + 5 * 2)
    assert count_operations(model) == 2 * 36 * (4 * 5 + 5 * 2)
    assert "call" not in vars(hidden)


@pytest.mark.parametrize("name", METHODS)
def test_every_layer_that_multiplies_is_counted(name, monkeypatch):
    monkeypatch.setitem(ENCODERS, "tiny", tiny_encoder)
    sizes = {"hidden_dim": 16, "num_codes": 16, "vit_layers": 1, "vit_dim": 64}
    config = ModelConfig(
        name=name, backbone="tiny", image_size=32, encoder_weights="none", **sizes
    )
    for layer in build_model(config)._flatten_layers():
        matrices = [w for w in layer._trainable_variables if len(w.shape) > 1]
        counted = type(layer) in cost._COUNTS or isinstance(layer, LearnedPositions)
        assert not matrices or counted, layer.path


def test_parameters_are_those_of_a_prediction():
    image = keras.Input((6, 6, 4))
    model = keras.Model(
        image, VectorQuantizer(num_codes=16)(keras.layers.Dense(4)(image))
    )
    # The codebook; the candidates and counts that training keeps are not.
    assert count_parameters(model) == 4 * 4 + 4 + 16 * 4


def test_the_table_has_a_row_a_method(monkeypatch, capsys):
    asked = []

    def measure(config):
        asked.append((config.name, config.backbone, config.image_size))
        return Cost(26_868_497, 26_122_829_824, 196)

    monkeypatch.setattr(cost, "measure", measure)
    models_command.main(["--backbone", "resnet18", "--image-size", "64"])
    assert asked == [(name, "resnet18", 64) for name in METHODS]
    first, empty, header, row, *_ = capsys.readouterr().out.splitlines()
    assert (first, empty) == ("resnet18, 64 pixels, one image", "")
    assert header.split("  ")[0] == "method"
    assert row.split() == ["r50-unet", "26.9", "26.1", "196"]
    assert len(header) == len(row)
    models_command.main(["--model", "vqunet"])
    assert asked[len(METHODS) :] == [("vqunet", "resnet50", 224)]


@pytest.mark.slow
def test_the_command_measures_a_model():
    config = ModelConfig(name="r50-unet", backbone="efficientnetlite0", image_size=32)
    command = "-m synergynet_tf.models --model r50-unet --image-size 32".split()
    done = subprocess.run(
        [sys.executable, *command, "--backbone", config.backbone],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    model = build_model(dataclasses.replace(config, encoder_weights="none"))
    name, parameters, operations, tokens = done.stdout.split("\n")[3].split()
    assert (name, tokens) == ("r50-unet", "4")
    assert float(parameters) == round(model.count_params() / 1e6, 1)
    assert float(operations) == round(count_operations(model) / 1e9, 1) > 0
