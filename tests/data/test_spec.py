import numpy as np
import pytest

from synergynet_tf.data import Case

IMAGE = np.zeros((2, 3, 4, 1), np.float32)
LABEL = np.zeros((2, 3, 4), np.uint8)


def test_valid_case():
    case = Case("a", IMAGE, LABEL, (5.0, 1.0, 1.0))
    assert case.image.shape == (2, 3, 4, 1)


@pytest.mark.parametrize(
    ("image", "label", "spacing_mm", "rule"),
    [
        (IMAGE[0], LABEL, (1, 1, 1), "`image` must be float32"),
        (IMAGE.astype(np.float64), LABEL, (1, 1, 1), "`image` must be float32"),
        (IMAGE[:0], LABEL[:0], (1, 1, 1), "`image` must be float32"),
        (IMAGE, LABEL[:, :2], (1, 1, 1), "`label` must be uint8"),
        (IMAGE, LABEL.astype(np.int64), (1, 1, 1), "`label` must be uint8"),
        (IMAGE, LABEL, (1, 1), "`spacing_mm` must be 3 numbers"),
        (IMAGE, LABEL, (1, 0, 1), "`spacing_mm` must be 3 numbers"),
        (IMAGE, LABEL, (1, np.nan, 1), "`spacing_mm` must be 3 numbers"),
        (IMAGE, LABEL, (1, np.inf, 1), "`spacing_mm` must be 3 numbers"),
    ],
)
def test_wrong_case_is_refused(image, label, spacing_mm, rule):
    with pytest.raises(ValueError, match=f"^Case a: {rule}"):
        Case("a", image, label, spacing_mm)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_image_that_is_not_finite_is_refused(value):
    image = IMAGE.copy()
    image[1, 2, 3] = value
    with pytest.raises(ValueError, match=r"Case a: .*finite.* 1 NaN or infinite"):
        Case("a", image, LABEL, (1, 1, 1))


def test_infinities_of_both_signs_are_refused():
    image = IMAGE.copy()
    image[0, 0, 0], image[1, 0, 0] = np.inf, -np.inf
    with pytest.raises(ValueError, match="2 NaN or infinite"):
        Case("a", image, LABEL, (1, 1, 1))


def test_large_values_are_finite():
    # Their sum overflows float32.
    Case("a", np.full_like(IMAGE, 3e38), LABEL, (1, 1, 1))
