"""What comes over HTTP, from a server that answers each request with the same."""

import base64
import contextlib
import http.server
import json
import socket
import threading
import time

import cv2
import numpy as np
import pytest

from synergynet_tf.export import serving_client as serving
from synergynet_tf.export.serving_client import Refused, Unavailable


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(self.path)
        with contextlib.suppress(ConnectionError):
            self.wfile.write(self.server.answer)
            self.wfile.flush()
        self.server.go_on.wait(10)

    def log_message(self, *_arguments):
        """Says nothing."""


@pytest.fixture
def server():
    """A server; it closes the connection after `answer` when `go_on` is set."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.answer, server.asked, server.go_on = b"", [], threading.Event()
    server.go_on.set()
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.go_on.set()
    server.shutdown()
    server.server_close()
    thread.join()


def response(status, body, *headers, length=None):
    lines = [f"HTTP/1.1 {status}", *headers]
    lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def ask(server, timeout=5.0):
    return serving.Rest(server.url, "m", None, "", timeout).predict(b"image")


def outputs(**changed):
    """Returns the answer for a label map of one pixel of class `a`, as JSON."""
    png = cv2.imencode(".png", np.ones((1, 1), np.uint8))[1].tobytes()
    values = {
        "labels_png_bytes": [{"b64": base64.b64encode(png).decode()}],
        "areas": [[1]],
        "classes": [["a"]],
        "sizes": [[1, 1]],
    }
    return json.dumps({"outputs": values | changed}).encode()


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_server_that_trickles_is_not_waited_for(head):
    stop = threading.Event()

    def trickle():
        with contextlib.suppress(OSError), listening.accept()[0] as connection:
            connection.sendall(head)
            while not stop.wait(0.02):
                connection.sendall(b"H")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=trickle)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        begun = time.monotonic()
        try:
            with pytest.raises(Unavailable, match=r"^timed out"):
                serving.Rest(url, "m", None, "", 0.3).predict(b"image")
            assert time.monotonic() - begun < 2  # It never ends by itself.
        finally:
            stop.set()
            thread.join()


def test_an_answer_is_read(server):
    server.answer = response("200 OK", outputs())
    labels, classes = ask(server)
    assert labels.tolist() == [[1]] and classes == ["a"]
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in outputs()) + b"0\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    server.answer = head + chunks
    assert ask(server).classes == ["a"]


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"[" * 100_000,
        b'{"outputs": [1]}',
        b'{"outputs": {"areas": [[1]]}}',
        outputs(labels_png_bytes=["text"]),
        outputs(labels_png_bytes=[{"b64": 1}]),
        outputs(labels_png_bytes=[{"b64": "?"}]),
    ],
    ids=lambda body: str(body[:60]),
)
def test_other_servers_answers_are_refused(server, body):
    server.answer = response("200 OK", body)
    with pytest.raises(Refused, match="not that of png_from_bytes"):
        ask(server)


@pytest.mark.parametrize(
    "changed",
    [
        {"labels_png_bytes": [{"b64": ""}]},
        {"sizes": [1]},
        {"classes": ["a"]},
        {"classes": [None]},
        {"classes": [[7]]},
        {"areas": [[None]]},
    ],
    ids=str,
)
def test_answers_of_other_types_are_refused(server, changed):
    server.answer = response("200 OK", outputs(**changed))
    with pytest.raises(Refused, match="the answer's"):
        ask(server)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": "Shut down."}', "Shut down"),
        (b'{"error": null}', '{"error": null}'),
        (b'{"error": {"code": 3}}', '{"error": {"code": 3}}'),
        (b"[1]", "[1]"),
        (b"<html>\xff", "<html>\ufffd"),
        (b"", "Internal Server Error"),
    ],
)
def test_errors_are_told_whatever_their_form(server, body, message):
    server.answer = response("500 Internal Server Error", body)
    with pytest.raises(Refused) as info:
        ask(server)
    assert str(info.value) == f"{message} (HTTP 500)"


@pytest.mark.parametrize("status", ["429 Busy", "502 Bad", "503 Later", "504 Late"])
def test_what_passes_is_asked_for_again(server, status, monkeypatch):
    monkeypatch.setattr(serving, "FIRST_WAIT_S", 0.01)
    server.answer = response(status, b'{"error": "wait"}')
    with pytest.raises(Unavailable, match="wait"):
        serving.retry(lambda: ask(server), 2)
    assert server.asked == ["/v1/models/m:predict"] * 3


@pytest.mark.parametrize("status", ["200 OK", "500 Internal Server Error"])
def test_an_answer_that_is_cut_is_no_answer(server, status):
    server.answer = response(status, b'{"error": "', length=99)
    with pytest.raises(Unavailable, match=r"IncompleteRead\(11 bytes read, 88 more"):
        ask(server)


@pytest.mark.parametrize("answer", [response("500 Error", b"{", length=99), b""])
def test_an_answer_that_stalls_is_late(server, answer):
    server.answer = answer
    server.go_on.clear()
    with pytest.raises(Unavailable, match="timed out"):
        ask(server, timeout=0.2)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Elsewhere"])
def test_redirects_are_named_and_not_followed(server, status):
    target = server.url + "/other"
    server.answer = response(status, b"", f"Location: {target}")
    with pytest.raises(Refused, match=f"redirects to {target}; .* --url"):
        ask(server)
    assert len(server.asked) == 1


def test_the_answer_is_bounded(server, monkeypatch):
    whole = outputs()
    monkeypatch.setattr(serving, "MAX_ANSWER_BYTES", len(whole))
    server.answer = response("200 OK", whole)
    assert ask(server).classes == ["a"]
    server.answer = response("200 OK", whole + b" ")
    with pytest.raises(Refused, match="more than 0 MB"):
        ask(server)


def test_names_are_one_part_of_the_path(server):
    server.answer = response("200 OK", outputs())
    serving.Rest(server.url, "a/../b?c", 7, "", 5).predict(b"image")
    serving.Rest(server.url, "ä", None, "x/y", 5).predict(b"image")
    assert server.asked == [
        "/v1/models/a%2F..%2Fb%3Fc/versions/7:predict",
        "/v1/models/%C3%A4/labels/x%2Fy:predict",
    ]


@pytest.mark.parametrize("url", ["http://a..b:1", "http://host:1/\x7f"])
def test_what_http_takes_for_no_address_is_refused(url):
    with pytest.raises(Refused, match="no address"):
        serving.Rest(url, "m", None, "", 1).predict(b"image")
