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

from export.serving.answers import (
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
NOT_FOUND = 404


class Rest:
    """A model behind `http://` or `https://`.

    Args:
        url: The server's, such as `http://localhost:8501`.
        model: Its name there.
        version: The version's number; `None` for the latest.
        label: The version's label, if not its number.
        timeout: Seconds that an answer may take.
    """

    def __init__(
        self, url: str, model: str, version: int | None, label: str, timeout: float
    ) -> None:
        path = f"/v1/models/{urllib.parse.quote(model)}"
        if version is not None:
            path += f"/versions/{version}"
        if label:
            path += f"/labels/{urllib.parse.quote(label)}"
        self._url = f"{url.rstrip('/')}{path}:predict"
        self._timeout = timeout

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
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise Refused(
                f"the answer is not that of {SIGNATURE} ({error}): is it a model of "
                "this project, behind TensorFlow Serving?"
            ) from error
        return read_answer(data, areas, classes, size)

    def _post(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._url, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as response:
                answer: bytes = response.read()
                return answer
        except urllib.error.HTTPError as error:
            raise _http_error(error) from error
        except urllib.error.URLError as error:
            raise _url_error(error) from error
        except (OSError, http.client.HTTPException) as error:
            # Also a time-out while the answer is read.
            raise Unavailable(str(error) or type(error).__name__) from error


def _http_error(error: urllib.error.HTTPError) -> Exception:
    with error:
        text = error.read().decode("utf-8", "replace")
    try:
        values: Any = json.loads(text)
        text = values["error"]
    except (ValueError, KeyError, TypeError):
        text = text[:200] or str(error.reason)
    text = f"{reason(text)} (HTTP {error.code})"
    if error.code in LATER:
        return Unavailable(text)
    if error.code == NOT_FOUND:
        text += "; check --model and --version"
    return Refused(text)


def _url_error(error: urllib.error.URLError) -> Exception:
    if isinstance(error.reason, socket.gaierror | ssl.SSLError):
        return Refused(f"it cannot be reached ({error.reason.strerror}); check --url")
    return Unavailable(str(error.reason))
