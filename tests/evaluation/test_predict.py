import keras
import numpy as np
import pytest

from synergynet_tf.evaluation.predict import Predictor, predict_case
from synergynet_tf.layers import VectorQuantizer
from tests.evaluation import squares


class Recorder:
    """Returns the red channel as the logit, and remembers how much it was given."""

    def __init__(self):
        self.batches = []

    def predict_on_batch(self, images):
        self.batches.append(len(images))
        return images[..., :1] - 0.5


def test_slices_come_in_order_and_in_batches():
    image = np.zeros((7, 4, 4, 1), np.float32)
    image[[1, 2, 6]] = 255
    recorder = Recorder()
    labels = predict_case(recorder, image, "rgb", size=4, batch_size=3)
    assert recorder.batches == [3, 3, 1]
    assert labels[:, 0, 0].tolist() == [0, 1, 1, 0, 0, 0, 1]


def test_labels_are_on_the_image_grid():
    image = np.zeros((5, 60, 90, 1), np.float32)
    image[2, :30] = 255
    labels = predict_case(Recorder(), image, "rgb", size=16, batch_size=2)
    assert labels.shape == (5, 60, 90) and labels.dtype == np.uint8
    expected = image[..., 0] > 127
    # Only where the small grid's pixels straddle the edge can a row be wrong.
    assert np.array_equal(labels[:, :27], expected[:, :27])
    assert np.array_equal(labels[:, 33:], expected[:, 33:])


def test_logits_are_enlarged_before_they_are_labelled():
    image = np.zeros((1, 8, 8, 1), np.float32)
    image[:, :4, :4] = 255
    labels = predict_case(Recorder(), image, "rgb", size=2)[0]
    # Enlarged labels would be the block of 4 x 4. The share of the bright pixel
    # falls as 1, 1, 7/8, 5/8, 3/8 along each side; a pixel is foreground where the
    # product of both shares is above one half, which 5/8 * 5/8 is not.
    block = np.pad(np.ones((4, 4), np.uint8), ((0, 4), (0, 4)))
    block[3, 3] = 0
    assert np.array_equal(labels, block)


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
