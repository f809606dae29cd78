import cv2
import numpy as np
import pytest

from synergynet_tf.evaluation.figures import overlays
from synergynet_tf.evaluation.figures.overlays import overlay, write_png

NAMES = ("a", "b")


def volume(shape=(3, 40, 60), channels=1):
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 255, (*shape, channels)).astype(np.float32)
    labels = np.zeros(shape, np.uint8)
    labels[shape[0] // 2, 10:30, 10:50] = 1
    labels[shape[0] // 2, 12:20, 12:20] = 2
    return image, labels


def panels(picture):
    """Cuts out the plain and the drawn panel."""
    height = picture.shape[0] - 2 * overlays.TEXT_LINE
    rows = slice(overlays.TEXT_LINE, overlays.TEXT_LINE + height)
    left = overlays.MARGIN
    right = 2 * overlays.MARGIN + overlays.SIDE
    return (
        picture[rows, left : left + overlays.SIDE],
        picture[rows, right : right + overlays.SIDE],
    )


@pytest.mark.parametrize("shape", [(1, 16, 16), (1, 90, 60), (2, 1500, 2000)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_becomes_readable(shape, channels):
    image, _ = volume(shape, channels)
    picture = overlay(image, np.ones(shape, np.uint8), NAMES)
    assert picture.dtype == np.uint8
    assert min(picture.shape[:2]) >= 512
    assert max(picture.shape[:2]) <= 1600


def test_prediction_is_drawn_where_it_is_and_nowhere_else():
    image, labels = volume()
    plain, drawn = panels(overlay(image, labels, NAMES))
    changed = (plain != drawn).any(axis=-1)
    scale = overlays.SIDE / 60
    rows, columns = np.nonzero(changed)
    # The outline is two pixels wide.
    assert rows.min() == pytest.approx(10 * scale, abs=3)
    assert columns.max() == pytest.approx(50 * scale, abs=3)


def test_reference_is_drawn_in_white_on_top():
    image, labels = volume()
    without = panels(overlay(image, labels, NAMES))[1]
    drawn = panels(overlay(image, labels, NAMES, labels))[1]
    new = (without != drawn).any(axis=-1)
    assert (drawn[new] == 255).all(axis=-1).sum() > 500
    # Between the dashes the prediction's outline is still there.
    assert (drawn == overlays.rgb(overlays.PALETTE[0])).all(axis=-1).sum() > 500


def test_reference_chooses_the_slice():
    image, labels = volume()
    pred = np.zeros_like(labels)
    pred[0] = 1
    by_reference = overlay(image, pred, NAMES, labels)
    by_prediction = overlay(image, pred, NAMES)
    shown = [panels(p)[0] for p in (by_reference, by_prediction)]
    assert (shown[0] != shown[1]).any()
    assert np.array_equal(shown[0], panels(overlay(image, labels, NAMES))[0])


def test_caption_is_written():
    image, labels = volume()
    pictures = [overlay(image, labels, NAMES, caption=c) for c in ("case 1", "case 2")]
    assert (
        pictures[0][: overlays.TEXT_LINE] != pictures[1][: overlays.TEXT_LINE]
    ).any()


def test_names_are_no_formulas():
    image, labels = volume((1, 16, 16))

    def width(caption):
        picture = overlay(image, labels, (r"a$\foo$", "$5_and_$6"), labels, caption)
        words = (picture[: overlays.TEXT_LINE] == 255).any(axis=(0, 2))
        return np.ptp(np.flatnonzero(words))

    # Three signs are wider than two; the formula would be one.
    assert width("$1$") > width("11")
    assert width(r"$\foo$") > width("foo")


def test_inputs_are_left_as_they_were():
    image, labels = volume()
    copies = image.copy(), labels.copy()
    overlay(image, labels, NAMES, labels)
    assert np.array_equal(image, copies[0]) and np.array_equal(labels, copies[1])


def test_png_keeps_every_pixel_and_the_order_of_colors(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    write_png(tmp_path / "new" / "rgb.png", pixels)
    stored = cv2.imread(str(tmp_path / "new" / "rgb.png"))
    assert np.array_equal(stored[..., ::-1], pixels)
    write_png(tmp_path / "gray.png", pixels[..., 0])
    gray = cv2.imread(str(tmp_path / "gray.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(gray, pixels[..., 0])
