"""Asks TensorFlow Serving over REST, with Python's own library."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

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

# Too many requests, a bad gateway, unavailable, a gateway's time-out.
LATER = (429, 502, 503, 504)
OK, NOT_FOUND, REDIRECTS = 200, 404, range(300, 400)


class _EveryStatus(urllib.request.HTTPErrorProcessor):
    """Gives every answer back, whatever its status; so no redirect is followed."""

    def http_response(self, request: Any, response: Any) -> Any:
        return response

    https_response = http_response


class Rest:
    """A model behind `http://` or `https://`.

    Args:
        url: The server's, such as `http://localhost:8501`.
        model: Its name there.
        version: The version's number; `None` for the latest.
        label: The version's label, if not its number.
        timeout: Seconds without a byte from the server.
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
        """Returns the address that is asked."""
        return self._url

    def predict(self, image: bytes) -> Answer:
        """Labels one encoded image; see `answers.Connection`."""
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
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._url, body, headers)
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                answer = _read(response)
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


def _read(response: http.client.HTTPResponse) -> bytes:
    """Reads an answer of at most `MAX_ANSWER_BYTES`.

    Raises:
        http.client.IncompleteRead: If it ends before the length that it claims.
        Refused: If it is longer.
    """
    answer = response.read(MAX_ANSWER_BYTES + 1)
    if len(answer) > MAX_ANSWER_BYTES:
        raise Refused(f"its answer has more than {MAX_ANSWER_BYTES // 10**6} MB")
    if response.length:  # Of the claimed bytes; a bounded read does not say so.
        raise http.client.IncompleteRead(answer, response.length)
    return answer


def _http_error(response: http.client.HTTPResponse, answer: bytes) -> Exception:
    target = response.headers["Location"]
    if target and response.status in REDIRECTS:
        return Refused(f"it redirects to {target}; name that server with --url")
    text = answer.decode("utf-8", "replace")
    try:
        said = json.loads(text)["error"]
    except (ValueError, LookupError, TypeError, RecursionError):
        said = None
    if not isinstance(said, str):
        said = text[:200] or response.reason
    text = f"{reason(said)} (HTTP {response.status})"
    if response.status in LATER:
        return Unavailable(text)
    if response.status == NOT_FOUND:
        text += "; check --model and --version"
    return Refused(text)


def _url_error(error: urllib.error.URLError) -> Exception:
    if isinstance(error.reason, socket.gaierror | ssl.SSLError):
        return Refused(f"it cannot be reached ({error.reason.strerror}); check --url")
    return Unavailable(str(error.reason))
