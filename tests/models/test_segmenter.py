import dataclasses
import warnings

import h5py
import keras
import numpy as np
import pytest

from synergynet_tf.config import ModelConfig
from synergynet_tf.layers import (
    ConvBlock,
    DisConX,
    HardAttentionRefinement,
    TransformerBlock,
    VectorQuantizer,
)
from synergynet_tf.losses import SegmentationLoss
from synergynet_tf.models import ENCODERS, METHODS, build_model
from synergynet_tf.models.weights import load_weights, save_weights
from tests.conftest import tiny_encoder
from tests.models import tiny

QUICK = tiny.EACH_SET_OF_LAYERS
TINY = dataclasses.replace(tiny.TINY, backbone="tiny", vit_layers=2)


@pytest.fixture(autouse=True)
def tiny_backbone(monkeypatch):
    monkeypatch.setitem(ENCODERS, "tiny", tiny_encoder)


@pytest.fixture
def images():
    return np.random.default_rng(0).random((2, 32, 32, 3), "float32")


@pytest.mark.parametrize(
    ("name", "backbone"),
    [
        *(
            pytest.param(name, "tiny", marks=[] if name in QUICK else pytest.mark.slow)
            for name in METHODS
        ),
        ("synergynet-8s2h", "resnet50"),
        ("deeplabv3plus", "resnet50"),
    ],
)
def test_every_method_builds_trains_and_is_saved(name, backbone, images, tmp_path):
    config = dataclasses.replace(TINY, name=name, backbone=backbone)
    keras.utils.set_random_seed(0)
    model = build_model(config)
    labels = np.random.default_rng(1).integers(0, 3, (2, 32, 32)).astype("uint8")
    model.compile(keras.optimizers.SGD(0.01), SegmentationLoss(), run_eagerly=True)
    before = [keras.ops.convert_to_numpy(w) for w in model.trainable_weights]
    model.train_on_batch(images, labels)
    still = [
        weight.path
        for weight, old in zip(model.trainable_weights, before, strict=True)
        if np.array_equal(keras.ops.convert_to_numpy(weight), old)
    ]
    # A bias before a normalization, and a key's bias before a softmax, cancel out.
    assert [p for p in still if not p.endswith("/bias")] == []

    logits = keras.ops.convert_to_numpy(model(images, training=False))
    assert logits.shape == (2, 32, 32, 3)
    assert logits.dtype == "float32"
    path = tmp_path / "best.weights.h5"
    save_weights(model, path)
    again = load_weights(config, path)(images, training=False)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(again), logits)


def put_nan(file, name):
    file[name][...] = np.nan


def put_elsewhere(file, name):
    del file[name]
    file[name] = h5py.ExternalLink("/etc/passwd", "x")


def put_bomb(file, name):
    del file[name]
    file.create_dataset(name, (2**20, 2**18), "f4", chunks=(64, 64))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (put_nan, "NaN or infinite"),
        (put_elsewhere, "not in the file itself"),
        (put_bomb, "too large"),
    ],
)
def test_hostile_weights_are_refused(change, reason, tmp_path):
    config = dataclasses.replace(TINY, name="r50-unet")
    path = tmp_path / "best.weights.h5"
    save_weights(build_model(config), path)
    with h5py.File(path, "r+") as file:
        names = []
        file.visit(names.append)
        change(file, next(name for name in names if name.endswith("vars/0")))
    with pytest.raises(ValueError, match=rf"best\.weights\.h5 cannot .*{reason}"):
        load_weights(config, path)


@pytest.fixture
def weights(tmp_path):
    """A config and a file of its model's weights."""
    config = dataclasses.replace(TINY, name="r50-unet")
    save_weights(build_model(config), tmp_path / "best.weights.h5")
    return config, tmp_path / "best.weights.h5"


def test_warnings_as_errors_damage_no_weights(weights):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Without the exceptions of pyproject.toml.
        load_weights(*weights)


@pytest.mark.parametrize(
    "error",
    [
        UserWarning("of a library"),
        MemoryError("8 GiB"),
        PermissionError(13, "Permission denied"),
    ],
)
@pytest.mark.parametrize("where", ["h5py.File", "keras.Model.load_weights"])
def test_what_is_not_of_the_file_damages_no_weights(weights, where, error, monkeypatch):
    def fail(*_):
        raise error

    monkeypatch.setattr(where, fail)
    with pytest.raises(type(error), match=str(error.args[-1])):
        load_weights(*weights)


def test_other_settings_of_keras_change_no_model(weights):
    config, path = weights
    images = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    expected = load_weights(config, path)(images, training=False)
    keras.config.set_image_data_format("channels_first")
    try:
        found = load_weights(config, path)(images, training=False)
        assert keras.config.image_data_format() == "channels_first"
    finally:
        keras.config.set_image_data_format("channels_last")
    np.testing.assert_array_equal(*map(np.asarray, (found, expected)))


@pytest.mark.parametrize(
    ("name", "disconx", "refinement"),
    [
        ("vqunet", [], []),
        ("synergynet-8s2h", [8], [2]),
        ("synergynet-2s8h", [2], [8]),
        ("synergynet-8s0h", [8], []),
        ("synergynet-fusion", [], [2]),
    ],
)
def test_heads_of_synergynet_are_those_of_its_name(name, disconx, refinement):
    model = build_model(dataclasses.replace(TINY, name=name))

    def heads(cls):
        return [layer.num_heads for layer in model.layers if isinstance(layer, cls)]

    assert heads(DisConX) == disconx
    assert heads(HardAttentionRefinement) == refinement
    quantizers = [x for x in model.layers if isinstance(x, VectorQuantizer)]
    assert [tuple(q.codebook.shape) for q in quantizers] == [(16, 16)]


@pytest.mark.parametrize(
    ("name", "transformer", "refinement"),
    [
        ("r50-vit", [2, 2], []),  # 128 channels, 64 a head.
        ("transunet", [2, 2], []),
        ("transvqunet-2s2h", [2, 2], [2]),
        ("transvqunet-8s2h", [8, 8], [2]),
    ],
)
def test_heads_of_transformers(name, transformer, refinement):
    model = build_model(dataclasses.replace(TINY, name=name, vit_dim=128))
    layers = [x for x in model.layers if isinstance(x, TransformerBlock)]
    assert [layer.num_heads for layer in layers] == transformer
    layers = [x for x in model.layers if isinstance(x, HardAttentionRefinement)]
    assert [layer.num_heads for layer in layers] == refinement
    blocks = [x for x in model.layers if isinstance(x, ConvBlock)]
    joins = [x for x in blocks if isinstance(x.input, list)]  # With a skip.
    assert len(joins) == (0 if name == "r50-vit" else 3)


def test_the_paper_s_model_has_the_paper_s_sizes():
    model = build_model(ModelConfig(encoder_weights="none"))
    assert model.input_shape == (None, 224, 224, 3)
    assert model.output_shape == (None, 224, 224, 1)
    quantizer = model.get_layer("quantizer")
    assert tuple(quantizer.codebook.shape) == (1024, 512)
    assert quantizer.output.shape == (None, 14, 14, 512)


@pytest.mark.parametrize(("stride", "tokens"), [(16, 4), (32, 2)])
def test_bottleneck_stride(stride, tokens):
    config = dataclasses.replace(TINY, image_size=64, bottleneck_stride=stride)
    model = build_model(config)
    assert model.get_layer("quantizer").output.shape[1:3] == (tokens, tokens)
    assert model.output_shape == (None, 64, 64, 3)


def test_a_dilated_encoder_has_one_stride():
    config = dataclasses.replace(TINY, name="deeplabv3plus", bottleneck_stride=32)
    with pytest.raises(ValueError, match=r"must be 16 for deeplabv3plus.*stride=32"):
        build_model(config)


def test_logits_are_upsampled_as_features_would_be(images):
    config = dataclasses.replace(TINY, name="deeplabv3plus")
    model = build_model(config)
    head = model.get_layer("logits")
    head.bias.assign([1.0, -2.0, 3.0])
    upsampled = keras.layers.UpSampling2D(4, interpolation="bilinear")(head.input)
    late = keras.Model(model.input, head(upsampled))
    # The same sums in another order.
    np.testing.assert_allclose(model(images), late(images), rtol=1e-5, atol=1e-5)


def test_head_and_loss_are_float32_under_a_mixed_policy(images, restore_policy):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = build_model(TINY)
    assert model.get_layer("quantizer").compute_dtype == "bfloat16"
    assert model.get_layer("quantizer").codebook.dtype == "float32"
    assert model.output.dtype == "float32"


def test_refuses_unknown_names():
    with pytest.raises(KeyError, match="Unknown model 'unet'"):
        build_model(dataclasses.replace(TINY, name="unet"))
    with pytest.raises(KeyError, match="Unknown backbone 'vgg'"):
        build_model(dataclasses.replace(TINY, backbone="vgg"))
    with pytest.raises(ValueError, match=r"multiple of 8.*hidden_dim=12"):
        build_model(dataclasses.replace(TINY, hidden_dim=12))
