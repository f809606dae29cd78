import io

import numpy as np
import pytest
from PIL import Image

from synergynet_tf.evaluation.robustness.corruptions import (
    PARAMETERS,
    SEVERITIES,
    corrupt,
)


def picture(size=64, slices=2):
    """Returns a smooth picture in color, `(slices, size, size, 3)` in [0, 1]."""
    x, y = np.meshgrid(np.linspace(0, 1, size), np.linspace(0, 1, size))
    one = np.stack([0.3 + 0.4 * x, 0.3 + 0.4 * y, 0.3 + 0.4 * x * y], axis=-1)
    return np.stack([one * (1 - 0.1 * i) for i in range(slices)]).astype(np.float32)


def gray(images):
    return np.repeat(images[..., :1], 3, axis=-1)


MODALITIES = pytest.mark.parametrize("modality", ["rgb", "mri", "ct"])


@MODALITIES
@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("images", [picture(), gray(picture())], ids=["rgb", "gray"])
def test_clean_stays_as_it_is_and_more_is_farther(name, images, modality):
    before = images.copy()
    assert np.array_equal(corrupt(images, name, 0, "a", modality), images)
    distances = []
    for severity in SEVERITIES:
        corrupted = corrupt(images, name, severity, "a", modality)
        assert corrupted.shape == images.shape and corrupted.dtype == np.float32
        assert corrupted.min() >= 0 and corrupted.max() <= 1
        distances.append(float(np.square(corrupted - images).mean()))
    assert distances == sorted(set(distances)) and distances[0] > 0
    assert np.array_equal(images, before)


@MODALITIES
@pytest.mark.parametrize("name", PARAMETERS)
def test_gray_stays_gray(name, modality):
    corrupted = corrupt(gray(picture()), name, 3, "a", modality)
    assert (corrupted == corrupted[..., :1]).all()


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_channel_that_a_scan_lacks_stays_zero_and_a_color_does_not(name):
    images = picture()
    images[..., 2] = 0
    images[1] = 0  # A slice of nothing is not a channel of nothing.
    scan = corrupt(images, name, 3, "a", "mri")
    photograph = corrupt(images, name, 3, "a", "rgb")
    assert not scan[..., 2].any() and scan[0, ..., :2].mean() > 0.1
    assert photograph[..., 2].any() == (name in ("noise", "jpeg"))
    assert scan[1].any() or name != "noise"
    if name != "jpeg":
        assert np.array_equal(scan[..., :2], photograph[..., :2])


@pytest.mark.parametrize("name", ["noise", "field"])
def test_draws_are_of_seed_corruption_and_case(name):
    images = picture()
    first = corrupt(images, name, 3, "a", "rgb")
    assert np.array_equal(first, corrupt(images, name, 3, "a", "rgb", seed=0))
    assert not np.array_equal(first, corrupt(images, name, 3, "b", "rgb"))
    assert not np.array_equal(first, corrupt(images, name, 3, "a", "rgb", seed=1))


@pytest.mark.parametrize("severity", SEVERITIES[:2])
def test_noise_has_its_deviation(severity):
    # Far from 0 and 1: clipping changes one pixel in ten thousand at most.
    images = np.full((1, 128, 128, 3), (0.5, 0.5, 0.48), np.float32)
    noise = corrupt(images, "noise", severity, "a", "rgb") - images
    deviation = PARAMETERS["noise"][severity - 1]
    assert noise.std() == pytest.approx(deviation, rel=0.02)
    assert noise.mean() == pytest.approx(0, abs=4 * deviation / 128)
    channels = noise.reshape(-1, 3)
    assert abs(np.corrcoef(channels.T)[0, 1]) < 0.05


def test_blur_spreads_a_point_by_its_deviation_in_proportion_to_the_size():
    for size, severity, deviation in ((224, 2, 2.0), (112, 2, 1.0), (112, 5, 3.0)):
        images = np.zeros((1, size, size, 3), np.float32)
        images[0, size // 2, size // 2] = 1
        blurred = corrupt(images, "blur", severity, "a", "rgb")[0, ..., 0].astype(float)
        rows = blurred.sum(axis=1) / blurred.sum()
        variance = (rows * (np.arange(size) - size // 2) ** 2).sum()
        assert variance == pytest.approx(deviation**2, rel=0.03)


def test_contrast_is_around_each_slices_mean():
    images = np.zeros((2, 2, 2, 3), np.float32)
    images[0, 0], images[1] = 1.0, 0.25
    corrupted = corrupt(images, "contrast", 1, "a", "rgb")
    # 0.5 +- 0.4 * 0.5.
    assert corrupted[0, 0] == pytest.approx(0.7)
    assert corrupted[0, 1] == pytest.approx(0.3)
    assert corrupted[1] == pytest.approx(0.25)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_field_is_smooth_the_same_in_all_slices_and_of_its_strength(severity):
    images = np.full((2, 65, 65, 3), 0.3, np.float32)
    images[1] = 0.2
    logs = np.log(corrupt(images, "field", severity, "a", "rgb") / images)
    np.testing.assert_allclose(logs[0], logs[1], atol=1e-5)
    strength = PARAMETERS["field"][severity - 1]
    assert np.abs(logs).max() == pytest.approx(strength, rel=1e-4)
    # The fourth difference of a polynomial of degree 3 is 0.
    fourth = np.diff(logs[0, ..., 0].astype(float), 4, axis=0)
    assert np.abs(fourth).max() < 1e-5


@pytest.mark.parametrize("modality", ["mri", "ct"])
def test_jpeg_of_a_scan_is_that_of_each_channel_by_itself(modality):
    images = picture()
    found = corrupt(images, "jpeg", 4, "a", modality)
    for channel in range(3):
        alone = np.repeat(images[..., channel : channel + 1], 3, axis=-1)
        expected = corrupt(alone, "jpeg", 4, "a", "rgb")[..., 0]
        assert np.array_equal(found[..., channel], expected)
    # As colors the three would share one chroma, at half the resolution.
    assert not np.array_equal(found, corrupt(images, "jpeg", 4, "a", "rgb"))


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("make", [picture, lambda: gray(picture())])
def test_jpeg_is_what_another_codec_makes_of_it(make, severity):
    images = make()
    pixels = np.rint(255 * images[0]).astype(np.uint8)
    is_gray = (pixels == pixels[..., :1]).all()
    file = io.BytesIO()
    quality = int(PARAMETERS["jpeg"][severity - 1])
    image = Image.fromarray(pixels[..., 0] if is_gray else pixels)
    image.save(file, "JPEG", quality=quality)
    expected = np.asarray(Image.open(file).convert("RGB"), float)
    found = 255 * corrupt(images, "jpeg", severity, "a", "rgb")[0]
    # Both are the same library in other builds: rounding, and of chroma's upsampling.
    assert np.abs(found - expected).mean() < 1.0
