"""Requests that TensorFlow Serving makes itself when it loads a model.

The first call of a graph takes many times as long as the next ones; with these it is
over before the version is announced as available. A version whose requests fail is not
served at all.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Mapping

import cv2
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

# Where and under which name TensorFlow Serving looks, in a version's folder.
FILE = pathlib.Path("assets.extra", "tf_serving_warmup_requests")
Inputs = dict[str, tf.Tensor]


def make_requests(
    signatures: Iterable[str], side: int, channels: int
) -> dict[str, Inputs]:
    """Returns the inputs of a request for each signature, by its name.

    Args:
        signatures: Their names.
        side: Height and width of the network's input, in pixels.
        channels: Of an image file.
    """
    pixels = np.full((side, side, channels), 127, np.uint8)
    encoded = cv2.imencode(".png", pixels)[1].tobytes()
    images = np.full((1, side, side, 3), 0.5, np.float32)
    files = {"image_bytes": tf.constant([encoded])}
    requests = dict.fromkeys(signatures, files)
    requests["serving_default"] = {"image": tf.constant(images)}
    return requests


def write_warmup(folder: pathlib.Path, requests: Mapping[str, Inputs]) -> None:
    """Writes requests into the folder of a SavedModel."""
    path = folder / FILE
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, inputs in requests.items():
            spec = model_pb2.ModelSpec(signature_name=name)
            request = predict_pb2.PredictRequest(model_spec=spec)
            for key, value in inputs.items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictLog(request=request)
            record = prediction_log_pb2.PredictionLog(predict_log=log)
            writer.write(record.SerializeToString())
