"""Asks TensorFlow Serving over gRPC, with its protobufs, and so with TensorFlow."""

from __future__ import annotations

from typing import Any

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from synergynet_tf.export.serving.answers import (
    MAX_ANSWER_BYTES,
    OUTPUTS,
    SIGNATURE,
    Answer,
    Refused,
    Unavailable,
    read_answer,
    reason,
)

LATER = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
# An image and its label map may be larger than gRPC's 4 MB.
OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
]


class Rpc:
    """A model behind a gRPC port. Arguments are those of `rest.Rest`.

    Args:
        host: The server's host and port, such as `localhost:8500`.
        model: Its name there.
        version: The version's number; `None` for the latest.
        label: The version's label, if not its number.
        timeout: Seconds that an answer may take.
    """

    def __init__(
        self, host: str, model: str, version: int | None, label: str, timeout: float
    ) -> None:
        self._name = f"grpc://{host} ({model})"
        channel = grpc.insecure_channel(host, options=OPTIONS)
        self._service = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self._request = predict_pb2.PredictRequest()
        spec = self._request.model_spec
        spec.name, spec.signature_name = model, SIGNATURE
        if version is not None:
            spec.version.value = version
        if label:
            spec.version_label = label
        self._request.output_filter.extend(OUTPUTS)
        self._timeout = timeout

    def __str__(self) -> str:
        """Returns the address that is asked, and the model."""
        return self._name

    def predict(self, image: bytes) -> Answer:
        """Labels one encoded image; see `answers.Connection`."""
        request = predict_pb2.PredictRequest()
        request.CopyFrom(self._request)
        request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([image]))
        try:
            response = self._service.Predict(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise _translate(error) from error
        try:
            png, areas, classes, size = (
                tf.make_ndarray(response.outputs[name])[0] for name in OUTPUTS
            )
            png, names = bytes(png), [bytes(name).decode() for name in classes]
            counts, sides = areas.tolist(), size.tolist()
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise Refused(f"the answer is not that of {SIGNATURE} ({error})") from error
        return read_answer(png, counts, names, sides)


def _translate(error: Any) -> Exception:
    text = f"{reason(error.details() or '')} ({error.code().name})"
    if error.code() in LATER:
        return Unavailable(text)
    if error.code() == grpc.StatusCode.NOT_FOUND:
        text += "; check --model and --version"
    return Refused(text)
