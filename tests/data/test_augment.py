import numpy as np
import pytest

from synergynet_tf.data import augment as augmentation
from synergynet_tf.data.augment import flip_and_rotate, strong

SIZE = 24


@pytest.fixture
def label():
    """Two blobs of different size and place: no symmetry hides a mistake."""
    label = np.zeros((SIZE, SIZE), np.uint8)
    label[6:14, 5:10] = 1
    label[15:19, 12:20] = 2
    return label


@pytest.fixture
def image(label):
    """One channel a label: 1 where the label is."""
    return np.stack([label == 1, label == 2], axis=-1).astype(np.float32)


class Draws:
    """Stands for a generator whose draws are given."""

    def __init__(self, kind, integers=(), degrees=0.0):
        self.kind, self.numbers, self.degrees = kind, list(integers), degrees

    def random(self):
        return self.kind

    def integers(self, high):
        number = self.numbers.pop(0)
        assert number < high
        return number

    def uniform(self, low, high):
        assert (low, high) == (-20, 20)
        return self.degrees


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("axis", range(2))
def test_turn_and_flip_move_image_and_labels_alike(image, label, turns, axis):
    new_image, new_label = flip_and_rotate(image, label, Draws(0.49, (turns, axis)))
    np.testing.assert_array_equal(new_image @ np.array([1, 2]), new_label)
    expected = np.rot90(label, turns)
    expected = expected[::-1] if axis == 0 else expected[:, ::-1]
    np.testing.assert_array_equal(new_label, expected)


@pytest.mark.parametrize("degrees", [-20.0, 7.0, 20.0])
def test_rotation_moves_image_and_labels_alike(image, label, degrees):
    new_image, new_label = flip_and_rotate(image, label, Draws(0.74, degrees=degrees))
    assert set(np.unique(new_label)) == {0, 1, 2}
    assert not np.array_equal(new_label, label)
    # Of the four pixels that a bilinear value is made of, the nearest weighs at
    # least 1/4: above 3/4 it must be in the blob, below 1/4 it cannot be.
    for channel, value in ((0, 1), (1, 2)):
        inside = new_label == value
        assert np.all(inside[new_image[..., channel] > 0.76])
        assert not np.any(inside[new_image[..., channel] < 0.24])
    # Rotating keeps areas, up to the pixels along the outline.
    assert abs(int((new_label == 1).sum()) - 40) <= 6


def test_rotation_turns_counterclockwise_about_the_center():
    image = np.zeros((5, 5, 1), np.float32)
    image[2, 2] = 1
    new_image, _ = flip_and_rotate(
        image, np.zeros((5, 5), np.uint8), Draws(0.6, degrees=20.0)
    )
    assert new_image[2, 2, 0] == pytest.approx(1, abs=0.01)
    # To the right of the center: sin(20 degrees) * 10 = 3.4 pixels up.
    label = np.zeros((31, 31), np.uint8)
    label[14:17, 24:27] = 1
    _, moved = flip_and_rotate(
        np.zeros((31, 31, 1), np.float32), label, Draws(0.6, (), 20.0)
    )
    assert np.argwhere(moved).mean(0) == pytest.approx([11.6, 24.4], abs=0.5)


def test_rotation_fills_with_background():
    ones = np.ones((SIZE, SIZE, 3), np.float32), np.ones((SIZE, SIZE), np.uint8)
    image, label = flip_and_rotate(*ones, Draws(0.6, degrees=20.0))
    assert label[0, 0] == 0 and not image[0, 0].any()


def test_a_quarter_is_unchanged(image, label):
    new_image, new_label = flip_and_rotate(image, label, Draws(0.75))
    np.testing.assert_array_equal(new_image, image)
    np.testing.assert_array_equal(new_label, label)


class StrongDraws:
    """One change of `strong` alone, of a given size."""

    CHANGES = ("scale", "gamma", "contrast", "noise")

    def __init__(self, change, size):
        # First that of `flip_and_rotate`: unchanged.
        self.draws = [0.99, *[0.0 if change == c else 0.99 for c in self.CHANGES]]
        self.size = size

    def random(self):
        return self.draws.pop(0)

    def uniform(self, low, high):
        assert low <= self.size <= high
        return self.size

    def standard_normal(self, shape, dtype):
        return np.broadcast_to(np.array([-1.0, 2.0], dtype), shape)


def test_strong_scales_image_and_labels_alike(image, label):
    new_image, new_label = strong(image, label, StrongDraws("scale", 1.25))
    # 40 and 32 pixels, by 1.25 in both directions.
    for value, area in ((1, 40), (2, 32)):
        assert (new_label == value).sum() == pytest.approx(area * 1.25**2, rel=0.2)
        inside = new_label == value
        assert np.all(inside[new_image[..., value - 1] > 0.76])
        assert not np.any(inside[new_image[..., value - 1] < 0.24])
    smaller_image, smaller = strong(image + 1, label + 1, StrongDraws("scale", 0.85))
    assert smaller[0, 0] == 0 and not smaller_image[0, 0].any()


def test_strong_changes_values_by_hand(label):
    image = np.stack([np.full_like(label, 0.25, np.float32)] * 2, axis=-1)
    image[:12] = [0.75, 0.5]  # Means 0.5 and 0.375.
    before = image.copy()
    pixels = (slice(None, None, 23), 0)  # The first and the last row.
    for change, size, expected in (
        ("gamma", 1.5, [[0.75**1.5, 0.5**1.5], [0.125, 0.125]]),
        ("contrast", 1.2, [[0.8, 0.525], [0.2, 0.225]]),
        ("noise", 0.05, [[0.7, 0.6], [0.2, 0.35]]),
    ):
        new_image, new_label = strong(image, label, StrongDraws(change, size))
        np.testing.assert_allclose(new_image[pixels], expected, atol=1e-6)
        np.testing.assert_array_equal(new_label, label)
    np.testing.assert_array_equal(image, before)


def test_strong_keeps_types_and_range_and_changes_as_often_as_it_says(label):
    image = np.random.default_rng(0).random((SIZE, SIZE, 3), np.float32)
    same = 0
    for seed in range(400):
        new_image, new_label = strong(image, label, np.random.default_rng(seed))
        assert (new_image.shape, new_image.dtype) == (image.shape, np.float32)
        assert (new_label.shape, new_label.dtype) == (label.shape, np.uint8)
        assert 0 <= new_image.min() and new_image.max() <= 1
        same += np.array_equal(new_image, image)
    # A quarter of 0.7^4: 24 of 400, of deviation 4.8.
    assert 8 < same < 42
    assert augmentation.AUGMENTATIONS["strong"] is strong


@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_types_and_shares(channels, label):
    image = np.random.default_rng(0).random((SIZE, SIZE, channels), np.float32)
    before = image.copy(), label.copy()
    same = 0
    for seed in range(400):
        new_image, new_label = flip_and_rotate(
            image, label, np.random.default_rng(seed)
        )
        assert (new_image.shape, new_image.dtype) == (image.shape, np.float32)
        assert (new_label.shape, new_label.dtype) == (label.shape, np.uint8)
        assert set(np.unique(new_label)) <= {0, 1, 2}
        same += np.array_equal(new_image, image)
        new_image[:], new_label[:] = 9, 9
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(label, before[1])
    # A quarter: 100 of 400, of deviation sqrt(400 * 1/4 * 3/4) = 8.7.
    assert 70 < same < 130
