"""TensorFlow Serving client: REST and gRPC.

REST is Python's own `urllib` and needs no TensorFlow; gRPC imports it on the first use,
for its protobufs.
"""

from __future__ import annotations

import base64
import functools
import http.client
import json
import pathlib
import queue
import re
import socket
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
from tqdm import tqdm

from synergynet_tf.data.images import (
    JPEG_SIGNATURE,
    MAX_PIXELS,
    PNG_SIGNATURE,
    check_image,
    encode_png,
)
from synergynet_tf.evaluation.inputs import Input, read_input

# Modality as which pixel values are read to be sent, whatever the model's modality.
MODALITY = "rgb"
SIGNATURE = "png_from_bytes"
OUTPUTS = ("labels_png_bytes", "areas", "classes", "sizes")
# Twice the pixels: the largest label map as base64 (one byte a pixel, times 4/3 for
# base64), and half as much again.
MAX_ANSWER_BYTES = 2 * MAX_PIXELS
WRONG_URL = "--url must be http://host:port for REST, or host:port for gRPC. Received: "
BLOCK_BYTES = 2**20
FIRST_WAIT_S = 0.5  # Seconds before the first retry; doubled for each next one.
# HTTP: too many requests, bad gateway, service unavailable, gateway timeout.
RETRY_HTTP = (429, 502, 503, 504)
RETRY_GRPC = ("UNAVAILABLE", "DEADLINE_EXCEEDED")
OK, NOT_FOUND, REDIRECTS = 200, 404, range(300, 400)


class Unavailable(OSError):
    """A temporary failure: the same request may succeed later."""


class Refused(ValueError):
    """A permanent failure: retrying does not help."""


class Answer(NamedTuple):
    """The segmentation of one image.

    Attributes:
        labels: uint8 `(rows, columns)`: 0 is background, `i + 1` is class `i`.
        classes: Names of the foreground classes.
    """

    labels: np.ndarray
    classes: list[str]


class Connection(Protocol):
    """A model on a server, over either protocol; `str` names server and model."""

    def predict(self, image: bytes) -> Answer:
        """Labels one encoded image.

        Raises:
            Unavailable: If the server does not answer, or is busy.
            Refused: If it has no such model, or does not take the image.
        """


def connect(
    url: str, model: str, version: int | None, label: str, timeout: float
) -> Connection:
    """Returns the model at an address; nothing is sent yet.

    Raises:
        ValueError: If it is not the address of a server.
    """
    parts, port = _split(url)
    if parts.scheme in ("http", "https"):
        return Rest(url, model, version, label, timeout)
    if parts.scheme == "grpc" and port is not None and not parts.path:
        return Rpc(parts.netloc, model, version, label, timeout)
    raise ValueError(WRONG_URL + url)


def _split(url: str) -> tuple[urllib.parse.SplitResult, int | None]:
    """Returns an address's parts, and its port."""
    try:
        parts = urllib.parse.urlsplit(url if "://" in url else f"grpc://{url}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(WRONG_URL + url) from error
    if "@" in parts.netloc:
        raise ValueError("--url must not hold a user or a password; name host and port")
    # urlsplit takes spaces, and drops line feeds.
    whole = url.isprintable() and " " not in url
    if not host or not whole or parts.query or parts.fragment:
        raise ValueError(WRONG_URL + url)
    return parts, port


def label_with_server(
    server: Connection,
    paths: Sequence[pathlib.Path],
    output: pathlib.Path,
    retries: int,
) -> list[dict[str, Any]]:
    """Segments each file on the server, and writes what `write_results` does.

    Raises:
        OSError: If the server does not answer.
        ValueError: If it refuses a file.
    """
    # Here, because it imports matplotlib.
    from synergynet_tf.evaluation.label_files import Labeled, write_results

    def label() -> Iterator[Labeled]:
        for path in tqdm(paths, f"label by {server}", disable=None):
            source = read_input(path)
            answer = _ask(server, path, source, retries)
            yield Labeled(path, source, answer.labels[None], answer.classes)

    return write_results(output, label(), MODALITY)


def _ask(server: Connection, path: pathlib.Path, source: Input, retries: int) -> Answer:
    """Returns the answer for a file; errors name the file and the server."""
    image = _encode(path, source)
    try:
        answer = retry(functools.partial(server.predict, image), retries)
        _require_same_size(answer, source)
    except Unavailable as error:
        raise OSError(
            f"{path}: {server} does not answer: {error}; see whether the server "
            "runs and the model is loaded, or allow more --timeout or --retries"
        ) from error
    except Refused as error:
        raise ValueError(f"{path}: {server}: {error}") from error
    return answer


def retry(call: Callable[[], Answer], retries: int) -> Answer:
    """Calls with exponential backoff; retries only `Unavailable`."""
    for attempt in range(retries):
        try:
            return call()
        except Unavailable:
            time.sleep(FIRST_WAIT_S * 2**attempt)
    return call()


def _encode(path: pathlib.Path, source: Input) -> bytes:
    """Returns the file as it is, or as a PNG file of the same values."""
    data = path.read_bytes()
    if data.startswith((JPEG_SIGNATURE, PNG_SIGNATURE)):
        return data
    pixels = np.rint(source.image[0] * 257).astype(np.uint16)  # As read_image divides.
    return encode_png(pixels, path)


def _require_same_size(answer: Answer, source: Input) -> None:
    if answer.labels.shape != source.image.shape[1:3]:
        raise Refused(
            f"the answer has {answer.labels.shape} pixels, and the image "
            f"{source.image.shape[1:3]}"
        )


class _EveryStatus(urllib.request.HTTPErrorProcessor):
    """Returns every response whatever its status, so that no redirect is followed."""

    def http_response(self, request: Any, response: Any) -> Any:
        return response

    https_response = http_response


class Rest:
    """A model over REST.

    Args:
        url: The server's, such as `http://localhost:8501`.
        model: Name of the model on the server.
        version: Number of the version; `None` for the latest.
        label: Label of the version, instead of its number.
        timeout: Seconds that an answer may take, from the look-up of the host's name
            on.
    """

    def __init__(
        self, url: str, model: str, version: int | None, label: str, timeout: float
    ) -> None:
        path = f"/v1/models/{urllib.parse.quote(model, safe='')}"
        if version is not None:
            path += f"/versions/{version}"
        if label:
            path += f"/labels/{urllib.parse.quote(label, safe='')}"
        self._url = f"{url.rstrip('/')}{path}:predict"
        self._timeout = timeout
        self._opener = urllib.request.build_opener(_EveryStatus)

    def __str__(self) -> str:
        """Returns the URL that requests are sent to."""
        return self._url

    def predict(self, image: bytes) -> Answer:
        """Labels one encoded image; see `Connection`."""
        encoded = {"b64": base64.b64encode(image).decode()}
        body = {"signature_name": SIGNATURE, "inputs": {"image_bytes": [encoded]}}
        answer = self._post(json.dumps(body).encode())
        try:
            outputs = json.loads(answer)["outputs"]
            png, areas, classes, size = (outputs[name][0] for name in OUTPUTS)
            data = base64.b64decode(png["b64"], validate=True)
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise Refused(
                f"the answer is not that of {SIGNATURE} ({error}): is it a model of "
                "this project, behind TensorFlow Serving?"
            ) from error
        return read_answer(data, areas, classes, size)

    def _post(self, body: bytes) -> bytes:
        """Sends a request; returns the answer, or raises when its time is over.

        `urllib` has no limit for the whole request: it would wait without end for a
        server that sends a byte now and then. So another thread waits.
        """
        done: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()

        def exchange() -> None:
            try:
                done.put(self._exchange(body))
            except Exception as error:
                done.put(error)

        threading.Thread(target=exchange, daemon=True).start()
        try:
            answer = done.get(timeout=self._timeout)
        except queue.Empty:
            raise Unavailable(f"timed out after {self._timeout:g} s") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _exchange(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._url, body, headers)
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                answer = _read(response, time.monotonic() + self._timeout)
        except (http.client.InvalidURL, UnicodeError) as error:
            raise Refused(f"it is no address ({error}); check --url") from error
        except urllib.error.URLError as error:
            raise _url_error(error) from error
        except (OSError, http.client.HTTPException) as error:
            # Also a time-out while the answer is read.
            raise Unavailable(str(error) or type(error).__name__) from error
        if response.status != OK:
            raise _http_error(response, answer)
        return answer


def _read(response: http.client.HTTPResponse, deadline: float) -> bytes:
    """Reads an answer of at most `MAX_ANSWER_BYTES`.

    Raises:
        http.client.IncompleteRead: If it ends before the length that it claims.
        Refused: If it is longer.
        TimeoutError: If it is not whole at the deadline, of `time.monotonic`: nobody
            waits for it any longer.
    """
    answer = bytearray()
    while block := response.read1(BLOCK_BYTES):
        answer += block
        if len(answer) > MAX_ANSWER_BYTES:
            break
        if time.monotonic() > deadline:
            raise TimeoutError("timed out")
    if len(answer) > MAX_ANSWER_BYTES:
        raise Refused(f"its answer has more than {MAX_ANSWER_BYTES // 10**6} MB")
    if response.length:  # Bytes are missing; a bounded read does not say so.
        raise http.client.IncompleteRead(bytes(answer), response.length)
    return bytes(answer)


def _http_error(response: http.client.HTTPResponse, answer: bytes) -> Exception:
    target = response.headers["Location"]
    if target and response.status in REDIRECTS:
        return Refused(f"it redirects to {target}; name that server with --url")
    text = answer.decode("utf-8", "replace")
    try:
        message = json.loads(text)["error"]
    except (ValueError, LookupError, TypeError, RecursionError):
        message = None
    if not isinstance(message, str):
        message = text[:200] or response.reason
    text = f"{reason(message)} (HTTP {response.status})"
    return _failure(text, response.status in RETRY_HTTP, response.status == NOT_FOUND)


def _url_error(error: urllib.error.URLError) -> Exception:
    if isinstance(error.reason, socket.gaierror | ssl.SSLError):
        return Refused(f"it cannot be reached ({error.reason.strerror}); check --url")
    return Unavailable(str(error.reason))


class Rpc:
    """A model over gRPC.

    Args:
        host: The server's host and port, such as `localhost:8500`.
        model: Name of the model on the server.
        version: Number of the version; `None` for the latest.
        label: Label of the version, instead of its number.
        timeout: Seconds that an answer may take.
    """

    def __init__(
        self, host: str, model: str, version: int | None, label: str, timeout: float
    ) -> None:
        import grpc
        from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

        self._name = f"grpc://{host} ({model})"
        # An image and its label map may be larger than gRPC's 4 MB.
        options = [
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
        ]
        channel = grpc.insecure_channel(host, options=options)
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
        """Returns the server's address, and the model."""
        return self._name

    def predict(self, image: bytes) -> Answer:
        """Labels one encoded image; see `Connection`."""
        import grpc
        import tensorflow as tf

        request = type(self._request)()
        request.CopyFrom(self._request)
        request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([image]))
        try:
            response = self._service.Predict(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise _rpc_error(error) from error
        try:
            png, areas, classes, size = (
                tf.make_ndarray(response.outputs[name])[0] for name in OUTPUTS
            )
            png, names = bytes(png), [bytes(name).decode() for name in classes]
            counts, sides = areas.tolist(), size.tolist()
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise Refused(f"the answer is not that of {SIGNATURE} ({error})") from error
        return read_answer(png, counts, names, sides)


def _rpc_error(error: Any) -> Exception:
    code = error.code().name
    text = f"{reason(error.details() or '')} ({code})"
    return _failure(text, code in RETRY_GRPC, code == "NOT_FOUND")


def _failure(text: str, retry: bool, missing: bool) -> Exception:
    if retry:
        return Unavailable(text)
    return Refused(text + ("; check --model and --version" if missing else ""))


def read_answer(
    png: bytes, areas: list[int], classes: list[str], size: list[int]
) -> Answer:
    """Decodes a label map, and checks it against the rest of the answer.

    Args:
        png: The label map as a file.
        areas: Pixels of each foreground class.
        classes: Names of the foreground classes.
        size: The map's rows and columns.

    Raises:
        Refused: If one is of another type, or they contradict each other.
    """
    for name, values, kind in (
        ("areas", areas, int),
        ("classes", classes, str),
        ("sizes", size, int),
    ):
        if not isinstance(values, list) or any(type(v) is not kind for v in values):
            raise Refused(f"the answer's {name} are no list of {kind.__name__}")
    labels = _decode(png, size)
    if labels is None or labels.dtype != np.uint8 or labels.shape != tuple(size):
        raise Refused(f"the answer's label map is not an image of {size} pixels")
    counts = np.bincount(labels.ravel(), minlength=len(classes) + 1)[1:]
    if counts.tolist() != areas or len(areas) != len(classes):
        raise Refused(f"the answer's areas, {areas}, are not those of its label map")
    return Answer(labels, classes)


def _decode(png: bytes, size: list[int]) -> np.ndarray | None:
    """Returns the pixels of a PNG file; `None` if it is damaged or of another size."""
    try:
        if list(check_image(png)) != size:
            return None
        return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    except (ValueError, cv2.error):
        return None


def reason(text: str) -> str:
    """Returns the sentence of a TensorFlow error that states the reason.

    The checks in the graph come as `... assertion failed: [sentence] [[{{node}}]]`.
    """
    found = re.search(r"assertion failed: \[(.*?)\]\s*(\[\[|$)", text, re.DOTALL)
    sentence = found[1] if found else text.split("[[{{")[0]
    sentence = " ".join(sentence.split()).rstrip(".")
    if re.search(rf'[Ss]ignature .*"{SIGNATURE}" not found', sentence):
        sentence += (
            "; the model takes no image files (a CT model does not): label volumes "
            "with synergynet predict"
        )
    return sentence
