import cv2
import numpy as np
import pytest

from synergynet_tf.export.serving_client import Refused, read_answer, reason

LABELS = np.array([[0, 1], [2, 2]], np.uint8)


def encode(suffix, image):
    return cv2.imencode(suffix, image)[1].tobytes()


PNG = encode(".png", LABELS)
WHOLE = {"png": PNG, "areas": [1, 2], "classes": ["a", "b"], "size": [2, 2]}


def test_an_answer_is_decoded():
    labels, classes = read_answer(**WHOLE)
    assert labels.tolist() == LABELS.tolist() and classes == ["a", "b"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"png": b""},
        {"png": b"x"},
        {"png": PNG[:-4]},
        {"png": encode(".jpg", LABELS)[:-2]},
        {"png": encode(".png", LABELS.astype(np.uint16))},
        {"png": encode(".png", np.dstack([LABELS] * 3))},
        {"size": [2, 3]},
        {"size": [1]},
        {"size": 2},
        {"size": [2.0, 2.0]},
        {"areas": [2, 2]},
        {"areas": [1]},
        {"areas": [True, 2]},
        {"areas": None},
        {"classes": ["a"]},
        {"classes": [None, "b"]},
        {"classes": [7, 8]},
        {"classes": "ab"},
    ],
    ids=str,
)
def test_an_answer_must_agree_with_itself(wrong):
    with pytest.raises(Refused, match="the answer's"):
        read_answer(**WHOLE | wrong)


def test_the_sentence_of_an_error_is_found():
    text = "Graph execution error:\n\nassertion failed: [image_bytes[0] is empty]\n\t "
    assert reason(text + "[[{{node map/while/Assert}}]]") == "image_bytes[0] is empty"
    assert reason(text) == "image_bytes[0] is empty"
    assert reason("Servable not found.") == "Servable not found"


@pytest.mark.parametrize(
    "text",
    [
        'Serving signature key "png_from_bytes" not found.',
        'Serving signature name: "png_from_bytes" not found in signature def',
    ],
)
def test_a_model_without_the_signature_is_explained(text):
    assert "takes no image files" in reason(text)
    assert "takes no" not in reason(text.replace("png_from_bytes", "other"))
