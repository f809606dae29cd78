"""Requests that TensorFlow Serving makes itself when it loads a model.

The first call of a graph takes many times as long as the next ones; with these it is
over before the version is announced as available.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterable

import cv2
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

# Where and under which name TensorFlow Serving looks, in a version's folder.
FILE = pathlib.Path("assets.extra", "tf_serving_warmup_requests")


def write_warmup(folder: pathlib.Path, signatures: Iterable[str], side: int) -> None:
    """Writes a request for each signature.

    Args:
        folder: Of the SavedModel.
        signatures: Their names.
        side: Height and width of the network's input, in pixels.
    """
    path = folder / FILE
    path.parent.mkdir()
    pixels = np.full((side, side, 3), 127, np.uint8)
    encoded = cv2.imencode(".png", pixels)[1].tobytes()
    images = np.full((1, side, side, 3), 0.5, np.float32)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name in signatures:
            spec = model_pb2.ModelSpec(signature_name=name)
            request = predict_pb2.PredictRequest(model_spec=spec)
            if name == "serving_default":
                request.inputs["image"].CopyFrom(tf.make_tensor_proto(images))
            else:
                files = tf.make_tensor_proto([encoded])
                request.inputs["image_bytes"].CopyFrom(files)
            log = prediction_log_pb2.PredictLog(request=request)
            record = prediction_log_pb2.PredictionLog(predict_log=log)
            writer.write(record.SerializeToString())
