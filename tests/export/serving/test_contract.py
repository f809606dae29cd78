"""What TensorFlow Serving will find in the folder, found by its own loader."""

import cv2
import keras
import numpy as np
import pytest

from tests.export.models import SIZE, random_pixels

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow exports"
)

from tensorflow_serving.apis import prediction_log_pb2  # noqa: E402  (of TensorFlow)

from tests.export.serving.cpp_loader import InvalidRequest  # noqa: E402  (the same)


def encode(suffix, *shape):
    return cv2.imencode(suffix, random_pixels(*shape))[1].tobytes()


def files(*contents):
    return {"image_bytes": np.array(contents, object)}


PNG, JPEG = encode(".png", 50, 41, 3), encode(".jpg", 20, 77, 1)


def test_signatures_say_what_they_take_and_return(cpp_model):
    def shapes(infos):
        return {
            name: (
                tf.dtypes.as_dtype(info.dtype).name,
                [dim.size for dim in info.tensor_shape.dim],
            )
            for name, info in infos.items()
        }

    found = {
        name: (shapes(definition.inputs), shapes(definition.outputs))
        for name, definition in cpp_model.signatures.items()
        if not name.startswith("__")
    }
    measures = {
        "areas": ("int32", [-1, 3]),
        "classes": ("string", [-1, 3]),
        "sizes": ("int32", [-1, 2]),
    }
    assert found == {
        "serving_default": (
            {"image": ("float32", [-1, SIZE, SIZE, 3])},
            {"logits": ("float32", [-1, SIZE, SIZE, 4])},
        ),
        "from_bytes": (
            {"image_bytes": ("string", [-1])},
            {
                "labels": ("uint8", [-1, -1, -1]),
                "probabilities": ("float32", [-1, -1, -1, 4]),
                **measures,
            },
        ),
        "png_from_bytes": (
            {"image_bytes": ("string", [-1])},
            {"labels_png_bytes": ("string", [-1]), **measures},
        ),
    }


def test_cpp_computes_what_python_does(exported, cpp_model):
    loaded = tf.saved_model.load(str(exported)).signatures
    images = np.random.default_rng(0).random((3, SIZE, SIZE, 3), np.float32)
    for name, inputs in (
        ("serving_default", {"image": images}),
        ("from_bytes", files(PNG, JPEG)),
        ("png_from_bytes", files(PNG, JPEG)),
    ):
        found = cpp_model.run(name, inputs)
        tensors = {key: tf.constant(value) for key, value in inputs.items()}
        expected = loaded[name](**tensors)
        assert set(found) == set(expected)
        for key, value in expected.items():
            np.testing.assert_array_equal(found[key], value, err_msg=f"{name} {key}")


@pytest.mark.parametrize(
    ("signature", "inputs", "reason"),
    [
        ("from_bytes", files(), "image_bytes holds no image"),
        ("png_from_bytes", files(), "image_bytes holds no image"),
        ("from_bytes", files(PNG, b"text"), "image_bytes[1] is not a JPEG or PNG"),
        ("png_from_bytes", files(PNG[:-20]), "image_bytes[0] is truncated"),
        (
            "png_from_bytes",
            files(PNG[:16] + b"\0\1\0\0\0\1\0\0" + PNG[24:]),
            "image_bytes[0] is too large: 65536 x 65536 pixels, at most 200 megapixels",
        ),
        (
            "from_bytes",
            files(encode(".png", 1, 20_000, 1), encode(".png", 20_000, 1, 1)),
            "more than 200 megapixels; send fewer at once",
        ),
        ("from_bytes", {"image_bytes": np.array(PNG, object)}, "[] is not compatible"),
        (
            "png_from_bytes",
            {"image_bytes": np.array([[PNG, PNG]], object)},
            "[1,2] is not compatible",
        ),
        (
            "serving_default",
            {"image": np.zeros((0, SIZE, SIZE, 3), np.float32)},
            "image holds no image",
        ),
        (
            "serving_default",
            {"image": np.full((1, SIZE, SIZE, 3), 255, np.float32)},
            "image must be in [0, 1]",
        ),
        (
            "serving_default",
            {"image": np.full((1, SIZE, SIZE, 3), np.nan, np.float32)},
            "image must be in [0, 1]",
        ),
        (
            "serving_default",
            {"image": np.zeros((1, SIZE, 31, 3), np.float32)},
            "[1,32,31,3] is not compatible",
        ),
        (
            "serving_default",
            {"image": np.zeros((1, SIZE, SIZE, 3), np.uint8)},
            "uint8",
        ),
    ],
)
def test_bad_requests_are_named_and_the_session_goes_on(
    cpp_model, signature, inputs, reason
):
    with pytest.raises(InvalidRequest) as info:
        cpp_model.run(signature, inputs)
    assert reason in str(info.value)
    assert cpp_model.run("png_from_bytes", files(PNG))["areas"].sum() > 0


def test_warm_up_requests_are_of_every_signature_and_succeed(exported, cpp_model):
    path = exported / "assets.extra" / "tf_serving_warmup_requests"
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    asked = []
    for record in records:
        log = prediction_log_pb2.PredictionLog.FromString(record)
        request = log.predict_log.request
        inputs = {name: tf.make_ndarray(p) for name, p in request.inputs.items()}
        cpp_model.run(request.model_spec.signature_name, inputs)
        asked.append(request.model_spec.signature_name)
    assert sorted(asked) == ["from_bytes", "png_from_bytes", "serving_default"]
