"""Has a server label files: `python -m export.serving.client --url URL ...`.

It writes what `predict.py` writes of images. `--url http://host:8501` asks TensorFlow
Serving over REST, and needs no TensorFlow; `--url host:8500` asks over gRPC.
"""

from __future__ import annotations

import argparse
import functools
import pathlib
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from synergynet_tf.cli import command_line
from synergynet_tf.config import DataConfig
from synergynet_tf.data.image_headers import JPEG_SIGNATURE, PNG_SIGNATURE
from synergynet_tf.evaluation.inputs import (
    Input,
    find_inputs,
    is_volume,
    read_input,
)
from synergynet_tf.export.serving.answers import (
    Answer,
    Connection,
    Refused,
    Unavailable,
)

MODALITY = "rgb"
WRONG_URL = "--url must be http://host:port for REST, or host:port for gRPC. Received: "
FIRST_WAIT_S = 0.5  # Before the first retry; each next wait is twice as long.


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__)
    add = parser.add_argument
    add("--url", required=True, help="http://host:8501 (REST) or host:8500 (gRPC)")
    add("--input", required=True, help="an image, or a folder of images")
    add("--output", required=True, help="folder for label maps, overlays, summary.csv")
    add("--model", default="synergynet", help="its name at the server (%(default)s)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--version", type=int, help="its version (the latest)")
    which.add_argument("--version-label", default="", help="its version, by a label")
    add(
        "--timeout",
        type=float,
        default=60.0,
        help="seconds to wait for a sign of the server (%(default)s)",
    )
    add("--retries", type=int, default=4, help="of a request (%(default)s)")
    args = parser.parse_args(argv)
    if not 0 < args.timeout < float("inf"):
        parser.error(f"--timeout must be above 0. Received: {args.timeout:g}")
    if args.version is not None and args.version < 1:
        parser.error(f"--version must be at least 1. Received: {args.version}")
    if args.retries < 0:
        parser.error(f"--retries must be at least 0. Received: {args.retries}")
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Labels every file; reads each before it asks the server or writes anything.

    If the server fails or refuses one midway, the results so far stay; the same
    command can be given again.
    """
    args = parse_args(argv)
    if is_volume(pathlib.Path(args.input)):
        raise ValueError(
            f"{args.input} is a volume, and a server takes image files; label it with "
            "predict.py"
        )
    # Whatever the model's modality, what is sent are image files.
    paths = find_inputs(args.input, args.output, DataConfig(modality=MODALITY))
    server = connect(
        args.url, args.model, args.version, args.version_label, args.timeout
    )
    rows = label_files(server, paths, pathlib.Path(args.output), args.retries)
    count = f"{len(rows)} image" + ("s" if len(rows) > 1 else "")
    print(f"labeled {count}: label maps, overlays and summary.csv in {args.output}")


def connect(
    url: str, model: str, version: int | None, label: str, timeout: float
) -> Connection:
    """Returns the model behind an address; nothing is sent yet.

    Raises:
        ValueError: If it is no address of a server.
    """
    parts, port = _split(url)
    if parts.scheme in ("http", "https"):
        from synergynet_tf.export.serving.rest import Rest

        return Rest(url, model, version, label, timeout)
    if parts.scheme == "grpc" and port is not None and not parts.path:
        # Here, because it imports TensorFlow, which REST does without.
        from synergynet_tf.export.serving.rpc import Rpc

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


def label_files(
    server: Connection,
    paths: Sequence[pathlib.Path],
    output: pathlib.Path,
    retries: int,
) -> list[dict[str, Any]]:
    """Has each file labeled, and writes what `write_results` does.

    Raises:
        OSError: If the server does not answer.
        ValueError: If it refuses a file.
    """
    # Here, because it imports what draws.
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
    """Calls until there is an answer, waiting twice as long after each failure.

    Only what is `Unavailable` is asked for again.
    """
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
    return cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()


def _require_same_size(answer: Answer, source: Input) -> None:
    if answer.labels.shape != source.image.shape[1:3]:
        raise Refused(
            f"the answer has {answer.labels.shape} pixels, and the image "
            f"{source.image.shape[1:3]}"
        )
