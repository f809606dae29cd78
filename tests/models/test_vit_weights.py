import dataclasses

import keras
import numpy as np
import pytest
import scipy.ndimage

from synergynet_tf.models import build_model
from synergynet_tf.models.weights import load_weights, save_weights
from tests.layers.test_transformer import block_by_hand, normalized
from tests.models.test_segmenter import TINY, tiny_backbone

__all__ = ["tiny_backbone"]  # A fixture
# 64 channels, one head, of features with the 8 channels of the tiny encoder's P4.
CONFIG = dataclasses.replace(TINY, name="transunet")
LAYERS = CONFIG.vit_layers
POSITIONS = "Transformer/posembed_input/pos_embedding"


def published_layout(layers=LAYERS, side=2):
    """Returns arrays under the names, and in the shapes, of the published file."""
    shapes = {
        "embedding/kernel": (1, 1, 8, 64),
        "embedding/bias": (64,),
        POSITIONS: (1, 1 + side * side, 64),
        "Transformer/encoder_norm/scale": (64,),
        "Transformer/encoder_norm/bias": (64,),
        "cls": (1, 1, 64),
        "head/kernel": (64, 10),
        "head/bias": (10,),
        "conv_root/kernel": (7, 7, 3, 64),
        "block1/unit1/conv1/kernel": (1, 1, 64, 64),
        "block1/unit1/gn1/scale": (1, 1, 1, 64),
    }
    for number in range(layers):
        block = f"Transformer/encoderblock_{number}"
        attention = f"{block}/MultiHeadDotProductAttention_1"
        for part in ("query", "key", "value"):
            shapes[f"{attention}/{part}/kernel"] = (64, 1, 64)
            shapes[f"{attention}/{part}/bias"] = (1, 64)
        shapes[f"{attention}/out/kernel"] = (1, 64, 64)
        shapes[f"{attention}/out/bias"] = (64,)
        for name in ("scale", "bias"):
            shapes[f"{block}/LayerNorm_0/{name}"] = (64,)
            shapes[f"{block}/LayerNorm_2/{name}"] = (64,)
        shapes[f"{block}/MlpBlock_3/Dense_0/kernel"] = (64, 256)
        shapes[f"{block}/MlpBlock_3/Dense_0/bias"] = (256,)
        shapes[f"{block}/MlpBlock_3/Dense_1/kernel"] = (256, 64)
        shapes[f"{block}/MlpBlock_3/Dense_1/bias"] = (64,)
    draw = np.random.default_rng(0).normal
    return {
        name: draw(0, 0.2, shape).astype("float32") for name, shape in shapes.items()
    }


@pytest.fixture
def build(tmp_path):
    """Builds a model with a file of the given arrays."""

    def build(arrays, **changes):
        path = tmp_path / "R50+ViT-B_16.npz"
        np.savez(path, **arrays)
        return build_model(
            dataclasses.replace(CONFIG, vit_weights=str(path), **changes)
        )

    return build


def transformer(model):
    """The part of a model from the embedded features to the last normalization."""
    return keras.Model(
        model.get_layer("vit_embedding").output,
        model.get_layer("vit_normalization").output,
    )


def vit_by_hand(tokens, arrays):
    """ViT from `(batch, tokens, 64)`, in float64, without a class token."""
    x = tokens + arrays[POSITIONS][:, 1:]
    for number in range(LAYERS):
        block = f"Transformer/encoderblock_{number}"
        attention = f"{block}/MultiHeadDotProductAttention_1"
        parts = [f"{block}/LayerNorm_0/scale", f"{block}/LayerNorm_0/bias"]
        for part in ("query", "key", "value", "out"):
            parts += [f"{attention}/{part}/kernel", f"{attention}/{part}/bias"]
        parts += [f"{block}/LayerNorm_2/scale", f"{block}/LayerNorm_2/bias"]
        for part in ("Dense_0", "Dense_1"):
            dense = f"{block}/MlpBlock_3/{part}"
            parts += [f"{dense}/kernel", f"{dense}/bias"]
        x = block_by_hand(x, [arrays[name] for name in parts])
    last = "Transformer/encoder_norm"
    return normalized(x, arrays[f"{last}/scale"], arrays[f"{last}/bias"])


def test_the_transformer_computes_what_vit_does_with_the_file(build, capsys):
    arrays = published_layout()
    model = build(arrays)
    tokens = np.random.default_rng(1).normal(size=(2, 2, 2, 64)).astype("float32")
    result = keras.ops.convert_to_numpy(transformer(model)(tokens, training=False))
    expected = vit_by_hand(tokens.reshape(2, 4, 64).astype("float64"), arrays)
    # float32 against float64, through two blocks.
    np.testing.assert_allclose(result, expected.reshape(2, 2, 2, 64), atol=1e-3)

    report = capsys.readouterr().out
    # The positions, 16 a block, two of the normalization.
    assert "loaded 35 of the transformer's 35 arrays" in report
    unused = "block1 (2), cls (1), conv_root (1), embedding (2), head (2)"
    assert f"not used: {unused}\n" in report
    assert "not found, left at random: none\n" in report


@pytest.mark.parametrize(("side", "grid"), [(3, 2), (2, 4), (5, 3)])
def test_positions_of_another_grid_are_resized(side, grid, build):
    arrays = published_layout(side=side)
    model = build(arrays, image_size=16 * grid)
    square = arrays[POSITIONS][0, 1:].reshape(side, side, 64)
    # As the code of ViT and TransUNet does.
    expected = scipy.ndimage.zoom(square, (grid / side, grid / side, 1), order=1)
    embedding = model.get_layer("vit_positions").embedding
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(embedding), expected, atol=1e-6
    )


def test_the_embedding_of_another_encoder_is_not_loaded(build):
    arrays = published_layout()
    kernel = build(arrays).get_layer("vit_embedding").kernel
    drawn, theirs = keras.ops.convert_to_numpy(kernel), arrays["embedding/kernel"]
    assert drawn.shape == theirs.shape and not np.isclose(drawn, theirs).any()


def test_a_deeper_transformer_says_what_is_left_at_random(build, capsys):
    build(published_layout(layers=2), vit_layers=3)
    report = capsys.readouterr().out
    assert "left at random: Transformer/encoderblock_2 (16)\n" in report


def test_saved_weights_need_no_such_file(build, tmp_path):
    model = build(published_layout())
    save_weights(model, tmp_path / "best.weights.h5")
    (tmp_path / "R50+ViT-B_16.npz").unlink()
    config = dataclasses.replace(CONFIG, vit_weights=str(tmp_path / "gone.npz"))
    again = load_weights(config, tmp_path / "best.weights.h5")
    images = np.random.default_rng(0).random((1, 32, 32, 3), "float32")
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(again(images, training=False)),
        keras.ops.convert_to_numpy(model(images, training=False)),
    )


def test_refuses_what_does_not_fit(build):
    arrays = published_layout()
    with pytest.raises(ValueError, match=r"shape \(2, 2, 64\).*takes \(2, 2, 128\)"):
        build(arrays, vit_dim=128)
    with pytest.raises(ValueError, match=r"has 3 of the transformer's 35 arrays"):
        build(published_layout(layers=0))
    with pytest.raises(ValueError, match=r"pos_embedding of the shape \(1, 4, 64\)"):
        build({**arrays, POSITIONS: arrays[POSITIONS][:, 1:]})


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "pickle"])
def test_refuses_a_damaged_file(damage, tmp_path):
    path = tmp_path / "vit.npz"
    arrays = published_layout()
    if damage == "pickle":
        arrays[POSITIONS] = np.array([{}])
    np.savez(path, **arrays)
    content = path.read_bytes()
    if damage != "pickle":
        path.write_bytes({"cut": content[:-99], "empty": b"", "text": b"a"}[damage])
    with pytest.raises(ValueError, match=r"vit\.npz cannot be read .*--vit-weights"):
        build_model(dataclasses.replace(CONFIG, vit_weights=str(path)))


# Neither has TransVQUNet's transformer ViT's heads.
@pytest.mark.parametrize("name", ["r50-unet", "transvqunet-8s2h"])
def test_refuses_a_method_without_vit_s_transformer(name):
    config = dataclasses.replace(CONFIG, name=name, vit_weights="vit.npz")
    with pytest.raises(ValueError, match=f"for r50-vit and transunet.* for {name}"):
        build_model(config)
