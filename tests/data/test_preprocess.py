import numpy as np
import pytest

from synergynet_tf.config import ExperimentConfig
from synergynet_tf.data.preprocess import (
    Preprocessor,
    center_box,
    labels_to_network,
    to_labels,
    to_native,
    to_network,
)


def volume(*rows):
    """Returns one slice of one channel: float32 `(1, rows, columns, 1)`."""
    return np.array(rows, np.float32)[None, ..., None]


def test_rgb_is_divided_by_255():
    image = np.array([0, 51, 255], np.float32).reshape(1, 1, 1, 3)
    network = to_network(np.tile(image, (1, 2, 2, 1)), "rgb", 2)
    assert network.shape == (1, 2, 2, 3) and network.dtype == np.float32
    np.testing.assert_allclose(network[0, 1, 1], [0, 0.2, 1], rtol=1e-6)


def test_gray_is_repeated():
    network = to_network(volume([0, 51], [102, 255]), "rgb", 2)
    np.testing.assert_allclose(network[0, 1, 0], [0.4] * 3, rtol=1e-6)


def test_mri_is_clipped_to_percentiles_of_the_volume():
    # 0 to 199 in steps of 1, half in each slice: the percentiles are at 0.005 * 199
    # and 0.995 * 199.
    image = np.arange(200, dtype=np.float32).reshape(2, 10, 10, 1)
    network = to_network(image, "mri", 10)
    expected = (image.clip(0.995, 198.005) - 0.995) / (198.005 - 0.995)
    np.testing.assert_allclose(network[..., :1], expected, atol=1e-6)


def test_constant_volume_becomes_zeros():
    assert not to_network(np.full((2, 4, 4, 1), 7, np.float32), "mri", 4).any()


def test_shrinking_averages_areas():
    image = volume([0, 0, 51], [0, 0, 102], [255, 0, 0])
    # (51 + 102 + 255) / 255 / 9 pixels; the pixel in the middle is 0.
    np.testing.assert_allclose(to_network(image, "rgb", 1), 1.6 / 9, rtol=1e-6)


def test_growing_is_bilinear():
    # Centers of the new pixels at -0.25, 0.25, 0.75, 1.25 of the old ones.
    network = to_network(volume([0, 255], [0, 255]), "rgb", 4)
    np.testing.assert_allclose(network[0, 0, :, 0], [0, 0.25, 0.75, 1], atol=1e-6)


def test_one_side_growing_is_bilinear():
    # An area average would repeat the two columns.
    network = to_network(volume(*[[0, 255]] * 8), "rgb", 4)
    np.testing.assert_allclose(network[0, 0, :, 0], [0, 0.25, 0.75, 1], atol=1e-6)


def test_arguments_stay_as_they_are():
    image = volume([0, 255], [51, 102])
    network = to_network(image, "rgb", 2)
    network[:] = 7
    labels = np.zeros((1, 2, 2), np.uint8)
    labels_to_network(labels, 2)[:] = 7
    assert image.max() == 255 and not labels.any()


@pytest.mark.parametrize("channels", [0, 4])
def test_other_channels_are_refused(channels):
    with pytest.raises(ValueError, match=r"1 to 3 channels; .*--channels"):
        to_network(np.zeros((1, 4, 4, channels), np.float32), "mri", 4)


def test_two_channels_get_a_third_of_zeros():
    image = np.array([[51, 255], [102, 0]], np.float32).reshape(1, 2, 1, 2)
    network = to_network(np.repeat(image, 2, axis=2), "rgb", 2)
    np.testing.assert_allclose(network[0, 0, 0], [0.2, 1, 0], rtol=1e-6)


def test_channels_are_picked_in_their_order():
    image = np.array([0, 51, 102, 255], np.float32).reshape(1, 1, 1, 4)
    assert to_network(image, "rgb", 1, "3 0 2").ravel() == pytest.approx([1, 0, 0.4])
    assert to_network(image, "rgb", 1, "1").ravel() == pytest.approx([0.2] * 3)
    with pytest.raises(ValueError, match=r"--channels must be below 4.*0 4"):
        to_network(image, "rgb", 1, "0 4")


def test_ct_is_clipped_to_its_window():
    network = to_network(volume([-1000, -125], [75, 3000]), "ct", 2)
    # 75 is the middle of -125 and 275.
    np.testing.assert_allclose(network[0, ..., 0], [[0, 0], [0.5, 1]], atol=1e-6)


def test_mri_percentiles_are_those_of_each_channel():
    channel = np.arange(400, dtype=np.float32).reshape(1, 20, 20, 1)
    both = np.concatenate([channel, 1000 - 2 * channel], axis=-1)
    network = to_network(both, "mri", 20)
    alone = to_network(both[..., 1:], "mri", 20)
    np.testing.assert_array_equal(network[..., 1], alone[..., 0])
    np.testing.assert_allclose(network[..., 1], 1 - network[..., 0], atol=1e-5)


def test_unknown_modality_is_refused():
    with pytest.raises(ValueError, match=r"rgb, ct, mri\. Received: modality='odd'"):
        to_network(np.zeros((1, 4, 4, 1), np.float32), "odd", 4)


def test_labels_take_the_nearest_center():
    labels = np.array([[[0, 3, 1]] * 3], np.uint8)
    assert labels_to_network(labels, 6)[0, 0].tolist() == [0, 0, 3, 3, 1, 1]
    # 3 to 2 columns: centers at 0.25 and 1.75 of the old ones.
    assert labels_to_network(labels, 2)[0, 0].tolist() == [0, 1]
    assert labels_to_network(labels, 6).dtype == np.uint8


def test_native_grid_is_bilinear_and_keeps_each_channel():
    logits = np.stack([volume([0, 4], [0, 4])[..., 0], np.ones((1, 2, 2))], axis=-1)
    native = to_native(logits.astype(np.float32), 3, 4)
    assert native.shape == (1, 3, 4, 2)
    np.testing.assert_allclose(native[0, 2, :, 0], [0, 1, 3, 4], atol=1e-6)
    assert np.all(native[..., 1] == 1)
    assert to_native(logits[..., :1], 3, 4).shape == (1, 3, 4, 1)


def test_many_channels_are_resized():
    # cv2 takes another way above 4 channels; it rounds in another order.
    logits = np.random.default_rng(0).normal(size=(2, 4, 4, 9)).astype(np.float32)
    native = to_native(logits, 8, 6)
    alone = to_native(logits[..., 5:6], 8, 6)
    np.testing.assert_allclose(native[..., 5:6], alone, atol=1e-6)


def test_labels_of_one_channel():
    logits = np.array([-1.0, 0.0, 1e-6], np.float32)[:, None]
    assert to_labels(logits).tolist() == [0, 0, 1]
    assert to_labels(logits).dtype == np.uint8


def test_labels_of_several_channels():
    logits = np.array([[1, 0, 0], [0, 1, 2], [3, 3, 0]], np.float32)
    assert to_labels(logits).tolist() == [0, 2, 0]


@pytest.mark.parametrize(
    ("rows", "columns", "share", "box"),
    [
        (10, 20, 1.0, (0, 10, 0, 20)),
        (10, 20, 0.8, (1, 9, 2, 18)),
        (9, 5, 0.5, (2, 7, 1, 4)),  # 2.25 and 1.25 pixels on either side.
        (1, 2, 0.1, (0, 1, 0, 2)),  # Something stays.
        (7, 8, 0.01, (3, 4, 3, 5)),
    ],
)
def test_center_box(rows, columns, share, box):
    top, bottom, left, right = box
    assert center_box(rows, columns, share) == (slice(top, bottom), slice(left, right))


def test_a_center_crop_keeps_the_volume_s_intensities():
    image = np.arange(100, dtype=np.float32).reshape(1, 10, 10, 1)
    whole = to_network(image, "mri", 10)
    np.testing.assert_array_equal(
        to_network(image, "mri", 6, center_crop=0.6), whole[:, 2:8, 2:8]
    )
    label = np.arange(100, dtype=np.uint8).reshape(1, 10, 10)
    np.testing.assert_array_equal(
        labels_to_network(label, 6, center_crop=0.6), label[:, 2:8, 2:8]
    )


@pytest.mark.parametrize("classes", [1, 3])
def test_what_a_center_crop_cuts_off_is_background(classes):
    logits = np.random.default_rng(0).normal(size=(2, 6, 6, classes))
    whole = to_native(logits, 10, 10, center_crop=0.6)
    np.testing.assert_allclose(whole[:, 2:8, 2:8], logits, rtol=1e-6)
    labels = to_labels(whole)
    labels[:, 2:8, 2:8] = 0
    assert not labels.any() and np.isfinite(whole).all()
    # A foreground's probability is at most this.
    assert np.exp(whole[0, 0, 0, -1]) == 0
    # Bilinear, within the box alone.
    ones = to_native(np.ones((1, 3, 3, classes)), 10, 10, center_crop=0.6)
    assert (ones[:, 2:8, 2:8] == 1).all()


def test_a_preprocessor_takes_a_config_and_does_all_of_it():
    config = ExperimentConfig().replace(
        dataset="phantom", image_size=16, channels="1 0", center_crop=0.6
    )
    preprocessor = Preprocessor.of(config)
    assert preprocessor == Preprocessor("mri", 16, "1 0", 0.6)
    image = np.random.default_rng(0).random((2, 20, 10, 2), np.float32)
    np.testing.assert_array_equal(
        preprocessor.images(image), to_network(image, "mri", 16, "1 0", 0.6)
    )
    label = (image[..., 0] > 0.5).astype(np.uint8)
    np.testing.assert_array_equal(
        preprocessor.labels(label), labels_to_network(label, 16, 0.6)
    )
    logits = np.random.default_rng(1).random((2, 16, 16, 3), np.float32)
    np.testing.assert_array_equal(
        preprocessor.back(logits, 20, 10), to_native(logits, 20, 10, 0.6)
    )
    assert preprocessor.box(20, 10) == (slice(4, 16), slice(2, 8))
