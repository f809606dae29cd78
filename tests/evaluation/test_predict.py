import tracemalloc
from typing import NamedTuple

import keras
import numpy as np
import pytest

from synergynet_tf.data.preprocess import Preprocessor
from synergynet_tf.evaluation import predict
from synergynet_tf.evaluation.postprocess import Postprocessing
from synergynet_tf.evaluation.predict import label_all, predict_case
from synergynet_tf.evaluation.predictor import Predictor
from synergynet_tf.layers import VectorQuantizer
from synergynet_tf.models import build_model
from tests.evaluation import squares

PREPROCESSOR = Preprocessor("rgb", squares.SIZE)


class Picture(NamedTuple):
    image: np.ndarray


def picture(number, slices=1, side=squares.SIZE):
    """Returns an image in which nobody is like another."""
    shape = (slices, side, side, 3)
    pixels = np.random.default_rng(number).integers(0, 256, shape)
    return Picture(pixels.astype(np.float32))


class Recorder:
    """Returns the red channel as the logit, and remembers how much it was given."""

    def __init__(self):
        self.batches = []

    def predict_on_batch(self, images):
        self.batches.append(len(images))
        return images[..., :1] - 0.5


def predict_grids(model, image, preprocessor, grids=("native", "network")):
    """Returns the labels on both grids, from one prediction."""
    case = Picture(image)
    ((_, maps),) = label_all(model, preprocessor, [case], lambda c: c, grids=grids)
    return maps


def test_slices_come_in_order_and_in_batches(monkeypatch):
    monkeypatch.setattr(predict, "BATCH_SIZE", 3)
    image = np.zeros((7, 4, 4, 1), np.float32)
    image[[1, 2, 6]] = 255
    recorder = Recorder()
    labels = predict_case(recorder, image, Preprocessor("rgb", 4))
    assert recorder.batches == [3, 3, 1]
    assert labels[:, 0, 0].tolist() == [0, 1, 1, 0, 0, 0, 1]


def test_labels_are_on_the_image_grid():
    image = np.zeros((5, 60, 90, 1), np.float32)
    image[2, :30] = 255
    labels = predict_case(Recorder(), image, Preprocessor("rgb", 16))
    assert labels.shape == (5, 60, 90) and labels.dtype == np.uint8
    expected = image[..., 0] > 127
    # Only where the small grid's pixels straddle the edge can a row be wrong.
    assert np.array_equal(labels[:, :27], expected[:, :27])
    assert np.array_equal(labels[:, 33:], expected[:, 33:])


def test_logits_are_enlarged_before_they_are_labeled():
    image = np.zeros((1, 8, 8, 1), np.float32)
    image[:, :4, :4] = 255
    labels = predict_case(Recorder(), image, Preprocessor("rgb", 2))[0]
    # Enlarged labels would be the block of 4 x 4. The share of the bright pixel
    # falls as 1, 1, 7/8, 5/8, 3/8 along each side; a pixel is foreground where the
    # product of both shares is above one half, which 5/8 * 5/8 is not.
    block = np.pad(np.ones((4, 4), np.uint8), ((0, 4), (0, 4)))
    block[3, 3] = 0
    assert np.array_equal(labels, block)


def test_under_transunet_labels_are_enlarged():
    image = np.zeros((1, 8, 8, 1), np.float32)
    image[:, :4, :4] = 255
    recorder = Recorder()
    maps = predict_grids(recorder, image, Preprocessor("rgb", 2))
    assert recorder.batches == [1]  # one prediction for both
    block = np.pad(np.ones((4, 4), np.uint8), ((0, 4), (0, 4)))
    assert np.array_equal(maps["network"][0], block)
    block[3, 3] = 0  # as above
    assert np.array_equal(maps["native"][0], block)


@pytest.mark.parametrize("grid", ["native", "network"])
def test_what_a_center_crop_cuts_off_is_labeled_background(grid):
    """The model sees rows 2 to 7 and columns 4 to 15, and so a part of the organ."""
    image = np.full((2, 10, 20, 1), -200, np.float32)
    image[:, :5, :7] = 300
    expected = np.zeros((2, 10, 20), np.uint8)
    expected[:, 2:5, 4:7] = 1
    preprocessor = Preprocessor("ct", 16, center_crop=0.6)
    maps = predict_grids(Recorder(), image, preprocessor, grids=(grid,))
    np.testing.assert_array_equal(maps[grid], expected)
    if grid == "native":
        labels = predict_case(Recorder(), image, preprocessor)
        np.testing.assert_array_equal(labels, expected)


def test_logits_of_a_whole_volume_are_never_held():
    class Wide:
        def predict_on_batch(self, images):
            return np.repeat(images[..., :1], 9, axis=-1)

    image = np.zeros((96, 128, 128, 1), np.float32)
    whole = 9 * image.nbytes
    tracemalloc.start()
    predict_grids(Wide(), image, Preprocessor("rgb", 16))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Scaling the image takes three copies of it, a batch of logits 1 / 12 of all.
    assert peak < whole / 2


def test_flips_are_turned_back_and_averaged():
    class Lopsided:
        """Sees the red channel, and more of it on the left and at the top."""

        def __init__(self):
            self.images = []

        def predict_on_batch(self, images):
            self.images.append(images)
            weights = np.outer([3, 1], [3, 1]).reshape(1, 2, 2, 1)
            return images[..., :1] * weights - 2.0

    image = np.zeros((1, 2, 2, 1), np.float32)
    image[0, 1, 0] = 255
    # Its weight is 3 alone, and over the flips the mean of 9, 3, 3 and 1: 4.
    for scale, plain, flipped in ((1.0, 1, 1), (0.6, 0, 1), (0.4, 0, 0)):
        model, case = Lopsided(), (scale * image, Preprocessor("rgb", 2))
        assert predict_case(model, *case).sum() == plain
        assert (
            predict_case(model, *case, options=Postprocessing(flips=True)).sum()
            == flipped
        )
        assert len({images.tobytes() for images in model.images[1:]}) == 4


def test_largest_component_is_that_of_the_volume():
    image = np.zeros((3, 16, 16, 1), np.float32)
    image[0, 1:4, 1:4] = image[1, 1:4, 1:4] = image[2, 8:12, 8:12] = 255
    preprocessor, options = Preprocessor("rgb", 16), Postprocessing(largest=True)
    labels = predict_case(Recorder(), image, preprocessor, options)
    # Of 18 and 16 voxels; slice by slice the last would stay too.
    assert labels.sum(axis=(1, 2)).tolist() == [9, 9, 0]


def test_predictor_gives_the_logits_of_its_model():
    model = squares.build_model()
    images = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    logits = Predictor(model).predict_on_batch(images)
    assert np.allclose(logits, images[..., :1] - 0.5, atol=1e-6)  # float32 rounding


def test_predictor_counts_codes_by_hand():
    image = keras.Input((2, 2, 3))
    quantizer = VectorQuantizer(num_codes=4)
    model = keras.Model(image, quantizer(image))
    quantizer.codebook.assign(np.diag([1.0, 2.0, 3.0, 4.0])[:, :3])
    predictor = Predictor(model)
    images = np.zeros((2, 2, 2, 3), np.float32)
    images[..., 0] = 1  # the first code
    images[1, ..., 0], images[1, ..., 1] = 0, 2  # the second
    predictor.predict_on_batch(images[:1])
    assert predictor.codes() == {"used": 1, "total": 4, "perplexity": 1.0}
    predictor.predict_on_batch(images[1:])
    assert predictor.codes() == {
        "used": 2,
        "total": 4,
        "perplexity": pytest.approx(2.0),
    }


def test_no_codebook_no_codes():
    assert Predictor(squares.build_model()).codes() is None


def test_logits_that_are_not_finite_are_refused():
    class Broken:
        def predict_on_batch(self, images):
            return np.full((len(images), 4, 4, 1), np.nan, np.float32)

    with pytest.raises(ValueError, match="logits are not finite"):
        image = np.zeros((1, 4, 4, 1), np.float32)
        predict_case(Broken(), image, Preprocessor("rgb", 4))


def test_small_cases_share_batches():
    pictures = {n: picture(n, slices) for n, slices in enumerate((1, 3, 10, 1, 1))}
    recorder = Recorder()
    labeled = list(label_all(recorder, PREPROCESSOR, pictures, pictures.get))
    assert recorder.batches == [8, 8]
    for case, (source, maps) in zip(pictures.values(), labeled, strict=True):
        assert source is case
        expected = predict_case(Recorder(), case.image, PREPROCESSOR)
        assert np.array_equal(maps["native"], expected)


def test_labels_do_not_change_with_the_neighbors(tiny):
    keras.utils.set_random_seed(0)
    model = build_model(tiny.model)
    predictor, pictures = Predictor(model), list(map(picture, range(11)))
    # Each alone in a batch of 8, filled up.
    images = np.concatenate([case.image / 255 for case in pictures])
    predictor.predict_on_batch(images[:8])
    alone = [predictor.predict_on_batch(image[None])[0] for image in images]
    together = [*predictor.predict_on_batch(images[:8])]
    together += [*predictor.predict_on_batch(images[8:])]
    # Sums of float32, which may be cut into parts differently at another place.
    largest = np.abs(alone).max()
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5 * largest)


@pytest.mark.parametrize("counts", [(8, 3, 8, 1), (1, 1, 1), (2, 1)])
def test_model_is_compiled_once(counts):
    traced = []

    class Traced(keras.layers.Layer):
        def call(self, images):
            traced.append(images.shape)
            return images[..., :1]

    image = keras.Input((4, 4, 3))
    predictor = Predictor(keras.Model(image, Traced()(image)))
    traced.clear()
    for count in counts:
        images = np.full((count, 4, 4, 3), 0.5, np.float32)
        logits = predictor.predict_on_batch(images)
        assert logits.shape == (count, 4, 4, 1) and (logits == 0.5).all()
    assert traced == [(counts[0], 4, 4, 3)]


def test_images_that_fill_a_batch_up_are_not_counted():
    image = keras.Input((2, 2, 3))
    quantizer = VectorQuantizer(num_codes=2)
    predictor = Predictor(keras.Model(image, quantizer(image)))
    quantizer.codebook.assign([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    white = np.ones((2, 2, 2, 3), np.float32)
    predictor.predict_on_batch(white)
    predictor.predict_on_batch(white[:1])
    assert predictor.codes() == {"used": 1, "total": 2, "perplexity": 1.0}


def test_images_wait_for_a_batch_only_while_they_are_small(monkeypatch):
    monkeypatch.setattr(predict, "MAX_HELD_BYTES", 2.5 * picture(0).image.nbytes)
    recorder = Recorder()
    assert len(list(label_all(recorder, PREPROCESSOR, range(7), picture))) == 7
    assert recorder.batches == [3, 3, 1]


def test_what_comes_before_a_failure_is_labeled():
    def read(number):
        if number == 2:
            raise OSError("scan2.nii.gz is damaged")
        return picture(number)

    labeled = label_all(Recorder(), PREPROCESSOR, range(5), read)
    for number in range(2):
        assert np.array_equal(next(labeled)[0].image, picture(number).image)
    with pytest.raises(OSError, match=r"^scan2\.nii\.gz is damaged$"):
        next(labeled)


def test_an_image_that_does_not_fit_is_named():
    flat = Picture(np.zeros((1, 4, 4, 4), np.float32))
    with pytest.raises(ValueError, match=r"^scan7: `image` must be"):
        list(label_all(Recorder(), PREPROCESSOR, ["scan7"], {"scan7": flat}.get))
