import cv2
import keras
import numpy as np
import pytest

from synergynet_tf.data import images, preprocess
from tests.data.decoys import jpeg_decoy, png_decoy, segment
from tests.export.models import random_pixels

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow exports"
)

from synergynet_tf.export import preprocess_graph as graph  # noqa: E402  (it imports TensorFlow)


def encode(suffix, image, *flags):
    return cv2.imencode(suffix, image, list(flags))[1].tobytes()


def read(tmp_path, data):
    path = tmp_path / "image.png"  # The kind is told by the bytes, not the name.
    path.write_bytes(data)
    return preprocess.read_image(path)


@tf.function(input_signature=[tf.TensorSpec((), tf.string)])
def require(data):
    return graph.check_image(data, tf.constant("image_bytes[7]"))


def decode(data):
    name = tf.constant("image_bytes[7]")
    return graph.decode_image(*graph.check_image(data, name), name)


open_image = tf.function(decode, input_signature=[tf.TensorSpec((), tf.string)])


def refusal(data):
    with pytest.raises(tf.errors.InvalidArgumentError) as info:
        require(tf.constant(data))
    return str(info.value)


PHOTO = cv2.GaussianBlur(random_pixels(33, 47, 3), (5, 5), 2)
JPEG, PNG = encode(".jpg", PHOTO), encode(".png", PHOTO)


def with_thumbnail(data):
    """Puts a whole JPEG file into a segment, as cameras do."""
    thumbnail = encode(".jpg", PHOTO[:8, :8])
    return data[:2] + segment(0xE1, thumbnail) + data[2:]


def claiming(data, place, rows, columns, width):
    """Returns the file with another size in its header."""
    sides = (columns, rows) if width == 4 else (rows, columns)
    text = b"".join(side.to_bytes(width, "big") for side in sides)
    return data[:place] + text + data[place + len(text) :]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("progressive", [0, 1])
def test_jpeg_decodes_to_the_pixels_of_opencv(tmp_path, channels, progressive):
    noise = random_pixels(61, 83, channels)
    image = cv2.GaussianBlur(noise, (5, 5), 2)
    data = encode(".jpg", image, cv2.IMWRITE_JPEG_PROGRESSIVE, progressive)
    found = decode(tf.constant(data)).numpy()
    np.testing.assert_array_equal(found, read(tmp_path, data)[0])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_decodes_to_the_pixels_of_opencv(tmp_path, dtype, channels):
    data = encode(".png", random_pixels(17, 23, channels, dtype=dtype))
    found = decode(tf.constant(data)).numpy()
    np.testing.assert_array_equal(found, read(tmp_path, data)[0])


@pytest.mark.parametrize(
    "data",
    [
        PNG,
        JPEG,
        encode(".jpg", PHOTO, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        encode(".jpg", PHOTO[..., 0]),
        with_thumbnail(JPEG),
        JPEG[:2] + b"\xff\xff" + JPEG[2:],  # fill bytes before a segment
        *(jpeg_decoy(JPEG, code) for code in (0x00, 0x01, 0xD0, 0xD7)),
        JPEG + b"what follows the image",
        PNG + b"what follows the image",
    ],
)
def test_the_size_is_read_as_from_files(data):
    same, size = require(tf.constant(data))
    assert same.numpy() == data
    assert tuple(size.numpy()) == images.check_image(data) == (33, 47)
    assert open_image(tf.constant(data)).shape[:2] == (33, 47)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"\xff\xd8", "not a JPEG or PNG file"),
        (b"GIF89a, or any text", "not a JPEG or PNG file"),
        (encode(".bmp", PHOTO), "not a JPEG or PNG file"),
        (JPEG[:3], "truncated or damaged"),
        (JPEG[:200], "truncated or damaged"),
        (JPEG[:-2], "truncated or damaged"),
        (with_thumbnail(JPEG)[:-2], "truncated or damaged"),
        (b"\xff\xd8" + b"\xff" * 100_000, "truncated or damaged"),
        (PNG[:8], "truncated or damaged"),
        (PNG[:20], "truncated or damaged"),
        (PNG[:-12], "truncated or damaged"),
        (claiming(PNG, 16, 0, 10, 4), "truncated or damaged"),
        (png_decoy(PNG), "truncated or damaged"),
    ],
)
def test_damaged_bytes_are_named(data, reason):
    assert f"[image_bytes[7] is {reason}]" in refusal(data)


def test_a_huge_image_is_refused_before_it_is_decoded():
    frame = JPEG.index(b"\xff\xc0") + 5
    for data, size in (
        (claiming(PNG, 16, 14_143, 14_142, 4), "14142 x 14143"),
        (claiming(JPEG, frame, 65_535, 65_000, 2), "65000 x 65535"),
    ):
        message = f"image_bytes[7] is too large: {size} pixels, at most 200 megapixels"
        assert message in refusal(data)
    data = claiming(PNG, 16, 1, 65_501, 4)
    assert "65501 x 1 pixels, at most 200 megapixels and 65500 pixels" in refusal(data)
    require(tf.constant(claiming(PNG, 16, 65_500, 1, 4)))
    # 199,996,164 pixels.
    require(tf.constant(claiming(PNG, 16, 14_142, 14_142, 4)))


@pytest.mark.parametrize("data", [JPEG, PNG], ids=["jpeg", "png"])
def test_an_image_must_have_the_size_of_its_header(data):
    size, name = tf.constant([33, 46]), tf.constant("image_bytes[7]")
    with pytest.raises(tf.errors.InvalidArgumentError) as info:
        graph.decode_image(tf.constant(data), size, name)
    message = "image_bytes[7] is damaged: its header says 46 x 33 pixels, and it has 47"
    assert message in str(info.value)


@pytest.mark.parametrize("data", [JPEG, PNG], ids=["jpeg", "png"])
def test_wherever_a_file_is_cut_it_is_refused(data):
    for length in range(0, len(data), 1 + len(data) // 150):
        with pytest.raises(tf.errors.InvalidArgumentError):
            open_image(tf.constant(data[:length]))


def test_a_changed_byte_of_png_is_refused():
    for place in range(0, len(PNG), 1 + len(PNG) // 150):
        data = bytearray(PNG)
        data[place] ^= 16
        with pytest.raises(tf.errors.InvalidArgumentError):
            open_image(tf.constant(bytes(data)))


def test_a_jpeg_of_endless_scans_is_refused():
    scan = JPEG.index(b"\xff\xda")
    data = JPEG[:scan] + JPEG[scan:-2] * 101 + JPEG[-2:]
    assert "[image_bytes[7] is truncated or damaged]" in refusal(data)


# OpenCV keeps float32 positions and so is off by this much of 1 itself.
RESIZE_TOLERANCE = 1e-6
SIZE = 64


@pytest.fixture
def random():
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    "shape",
    [
        (150, 203, 3),  # both sides shrink
        (128, 128, 3),  # by a whole number
        (64, 64, 3),  # both stay
        (64, 150, 3),  # one stays, one shrinks
        (30, 40, 3),  # both grow
        (50, 200, 3),  # one grows, one shrinks
        (150, 203, 1),  # gray
        (150, 203, 2),  # two channels: the third is 0
        (1, 1, 1),  # one pixel: no percentile lies between two values
    ],
)
@pytest.mark.parametrize("modality", preprocess.MODALITIES)
def test_to_network_equals_numpy(random, shape, modality):
    image = random.uniform(0, 255, shape).astype(np.float32)
    found = graph.to_network(tf.constant(image), modality, SIZE)
    expected = preprocess.to_network(image[None], modality, SIZE)[0]
    np.testing.assert_allclose(found, expected, atol=RESIZE_TOLERANCE)


@pytest.mark.parametrize("shape", [(150, 203, 1), (30, 41, 1), (2, 1, 1)])
@pytest.mark.parametrize("share", [0.8, 0.55, 0.01])
def test_a_center_crop_equals_numpy_both_ways(random, shape, share):
    image = random.uniform(0, 255, shape).astype(np.float32)
    found = graph.to_network(tf.constant(image), "mri", SIZE, share)
    expected = preprocess.to_network(image[None], "mri", SIZE, "", share)[0]
    np.testing.assert_allclose(found, expected, atol=RESIZE_TOLERANCE)
    for classes in (1, 4):
        logits = random.normal(size=(16, 16, classes)).astype(np.float32)
        rows, columns = shape[:2]
        found = graph.to_native(
            tf.constant(logits), tf.constant(rows), tf.constant(columns), share
        )
        expected = preprocess.to_native(logits[None], rows, columns, share)[0]
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_constant_mri_is_black():
    image = np.full((70, 70, 1), 7.0, np.float32)
    assert not graph.to_network(tf.constant(image), "mri", SIZE).numpy().any()


def test_a_window_that_closes_equals_numpy(random):
    # By channel: over 99 % of 7, with values above, below and on both sides; not so.
    image = np.full((70, 70, 3), 7.0, np.float32)
    image[::20, ::20, 0] = random.uniform(50, 90, (4, 4))
    image[::20, ::20, 1] = random.uniform(-90, 90, (4, 4))
    image[..., 2] = random.uniform(0, 9, (70, 70))
    for channels in (image, image[..., :1], 14 - image[..., :1]):
        found = graph.to_network(tf.constant(channels), "mri", 70)
        expected = preprocess.to_network(channels[None], "mri", 70)[0]
        assert expected[..., 0].any()
        np.testing.assert_allclose(found, expected, atol=RESIZE_TOLERANCE)


@pytest.mark.parametrize("classes", [1, 4])
def test_labels_and_probabilities(random, classes):
    logits = random.normal(size=(5, 6, classes)).astype(np.float32)
    logits[0] = 0.0  # Ties: no foreground of one class, the first of several.
    labels, probabilities = graph.to_labels(tf.constant(logits))
    assert labels.dtype == tf.uint8
    np.testing.assert_array_equal(labels, preprocess.to_labels(logits))
    if classes == 1:
        expected = 1 / (1 + np.exp(-logits))
    else:
        expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    # float32 carries seven digits.
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
