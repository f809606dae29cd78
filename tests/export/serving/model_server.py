"""A server that speaks TensorFlow Serving's two protocols, around a `CppModel`.

It takes the place of the official image where that cannot be had: requests and answers
are the published protobufs, and what REST adds to them is written from its
documentation.
"""

import base64
import contextlib
import http.server
import json
import re
import threading
from concurrent import futures

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from tests.export.serving.cpp_loader import InvalidRequest

URL = re.compile(
    r"/v1/models/([^/:]+)(?:/versions/(\d+))?(?:/labels/([^/:]+))?:predict"
)
HTTP = {"INVALID_ARGUMENT": 400, "NOT_FOUND": 404, "UNAVAILABLE": 503}
NO_KEY = 'Serving signature key "{}" not found.'
NO_NAME = 'Serving signature name: "{}" not found in signature def'


class Failure(Exception):
    """What a server answers instead, by the name of gRPC's code."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code, self.message = code, message


class ModelServer(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Serves version 1 of `synergynet`; `busy` requests are turned away first."""

    def __init__(self, model):
        self.model = model
        self.busy = 0
        self.asked = 0
        self.slow = threading.Event()
        self.slow.set()

    def predict(self, request):
        """Returns a `PredictResponse`, as both protocols do."""
        self.asked += 1
        self.slow.wait(10)
        spec = request.model_spec
        wrong = spec.HasField("version") and spec.version.value != 1
        if spec.name != "synergynet" or wrong or spec.version_label not in ("", "live"):
            raise Failure("NOT_FOUND", f"Servable not found for request: {spec.name}")
        if self.busy:
            self.busy -= 1
            raise Failure("UNAVAILABLE", "the batch queue is full")
        inputs = {name: tf.make_ndarray(p) for name, p in request.inputs.items()}
        signature = spec.signature_name or "serving_default"
        if signature not in self.model.signatures:
            raise Failure("FAILED_PRECONDITION", NO_KEY.format(signature))
        try:
            outputs = self.model.run(signature, inputs)
        except InvalidRequest as error:
            raise Failure("INVALID_ARGUMENT", str(error)) from error
        response = predict_pb2.PredictResponse(model_spec=spec)
        for name in request.output_filter or outputs:
            response.outputs[name].CopyFrom(tf.make_tensor_proto(outputs[name]))
        return response

    def Predict(self, request, context):
        try:
            return self.predict(request)
        except Failure as failure:
            context.abort(getattr(grpc.StatusCode, failure.code), failure.message)


class RestHandler(http.server.BaseHTTPRequestHandler):
    """REST in its columnar form: `inputs` and `outputs`."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            code, answer = 200, self._predict(json.loads(body))
        except Failure as failure:
            code, answer = HTTP[failure.code], {"error": failure.message}
        text = json.dumps(answer).encode()
        with contextlib.suppress(ConnectionError):  # A client may have given up.
            self.send_response(code)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    def _predict(self, body):
        request = predict_pb2.PredictRequest()
        spec, match = request.model_spec, URL.fullmatch(self.path)
        if match is None:
            raise Failure("NOT_FOUND", f"Malformed request: POST {self.path}")
        spec.name, spec.signature_name = match[1], body.get("signature_name", "")
        if match[2]:
            spec.version.value = int(match[2])
        if match[3]:  # One of the two: an empty label would unset the version.
            spec.version_label = match[3]
        signatures = self.server.owner.model.signatures
        if spec.signature_name not in signatures:
            raise Failure("INVALID_ARGUMENT", NO_NAME.format(spec.signature_name))
        infos = signatures[spec.signature_name].inputs
        for name, value in body["inputs"].items():
            array = from_json(value, infos[name].dtype)
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        response = self.server.owner.predict(request)
        outputs = {name: tf.make_ndarray(p) for name, p in response.outputs.items()}
        return {"outputs": {name: to_json(name, a) for name, a in outputs.items()}}

    def log_message(self, *_arguments):
        """Says nothing."""


def from_json(value, dtype):
    """Turns JSON into an array of a signature's input: `{"b64": ...}` are bytes."""
    if dtype == tf.string.as_datatype_enum:
        return np.array([base64.b64decode(v["b64"]) for v in value], object)
    return np.array(value, tf.dtypes.as_dtype(dtype).as_numpy_dtype)


def to_json(name, array):
    """Turns an output into JSON; bytes are marked where the name ends in `_bytes`."""
    if array.dtype == object and name.endswith("_bytes"):
        return [{"b64": base64.b64encode(value).decode()} for value in array]
    if array.dtype == object:
        return np.char.decode(array.astype(bytes), "utf-8").tolist()
    return array.tolist()


@contextlib.contextmanager
def serve(model):
    """Runs a `ModelServer`; gives it with `rest_url` and `grpc_url`."""
    owner = ModelServer(model)
    rest = http.server.ThreadingHTTPServer(("127.0.0.1", 0), RestHandler)
    rest.owner = owner
    thread = threading.Thread(target=rest.serve_forever, daemon=True)
    thread.start()
    rpc = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(owner, rpc)
    port = rpc.add_insecure_port("127.0.0.1:0")
    rpc.start()
    owner.rest_url = f"http://127.0.0.1:{rest.server_port}"
    owner.grpc_url = f"127.0.0.1:{port}"
    try:
        yield owner
    finally:
        rpc.stop(None).wait()
        rest.shutdown()
        rest.server_close()
        thread.join()
