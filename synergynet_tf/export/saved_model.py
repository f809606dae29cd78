"""SavedModel export for TensorFlow Serving.

TensorFlow is imported where a model is written, so that a command can check its
arguments before.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import cv2
import numpy as np

from synergynet_tf import runs
from synergynet_tf.data.preprocess import Preprocessor
from synergynet_tf.export.card import CARD_FILE, write_readme

# Path in which TensorFlow Serving looks for warm-up requests, in a version's folder.
WARMUP_FILE = pathlib.Path("assets.extra", "tf_serving_warmup_requests")


def version_dir(out: str | pathlib.Path, version: int | None = None) -> pathlib.Path:
    """Returns the folder to write: `out/<version>`, by default the next version.

    Raises:
        ValueError: If `version` is below 1.
        FileExistsError: If that version exists.
        PermissionError: If `out` cannot be written to.
    """
    out = pathlib.Path(out)
    runs.require_writable(out, "--out")
    if version is None:
        names = [path.name for path in out.glob("*")]
        return out / str(1 + max((int(n) for n in names if n.isdecimal()), default=0))
    if version < 1:
        raise ValueError(f"--version must be at least 1. Received: {version}")
    if (out / str(version)).exists():
        raise FileExistsError(
            f"{out / str(version)} exists; choose another --version or leave it out"
        )
    return out / str(version)


def save(model: Any, card: dict[str, Any], target: pathlib.Path) -> float:
    """Writes a SavedModel, loads it back and compares it.

    If the comparison fails, nothing is written.

    Args:
        model: The Keras model.
        card: The model card of its run.
        target: The folder to write. It is renamed into place when it is complete, as
            TensorFlow Serving may be watching.

    Returns:
        The largest difference of the logits from the Keras model's.

    Raises:
        OSError: If it cannot be written, as on a full disk.
        ValueError: If Keras does not run on TensorFlow, or the logits differ by more
            than `parity.MAX_LOGIT_DIFFERENCE` allows.
    """
    import tensorflow as tf

    from synergynet_tf.export import parity, signatures
    from synergynet_tf.export.exported_model import Answers
    from synergynet_tf.models.outputs import with_codes

    names = ("modality", "picked_channels", "image_channels")
    modality, picked, channels = (card["input"][name] for name in names)
    side = model.input_shape[1]
    crop = card["input"].get("center_crop", 1.0)  # Older cards have none.
    preprocessor = Preprocessor(modality, side, picked, crop)
    temperature = card["output"].get("temperature", 1.0)
    functions = signatures.build_signatures(
        model, card["classes"], preprocessor, channels, temperature
    )
    module = signatures.read_variables(functions["serving_default"])
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{uuid.uuid4().hex[:8]}.{target.name}")
    try:
        tf.saved_model.save(module, str(temporary), signatures=functions)
        images = parity.probe_images(side)
        loaded = tf.saved_model.load(str(temporary)).signatures
        found = Answers.of(loaded["serving_default"](image=tf.constant(images)))
        expected = Answers.of(with_codes(model)(images, training=False))
        difference = parity.require_same_answers(expected, found)
        requests = make_warmup(functions, side, channels or 3)
        for name, inputs in requests.items():
            loaded[name](**inputs)  # As the server will when it loads the model.
        write_warmup(temporary, requests)
        runs.write_json(temporary / CARD_FILE, card)
        outputs = {name: f.structured_outputs for name, f in functions.items()}
        runs.write_text(temporary / "README.md", write_readme(card, outputs))
        os.rename(temporary, target)
    except tf.errors.OpError as error:
        if isinstance(error, tf.errors.InvalidArgumentError):
            raise  # From the graph. The others are TensorFlow's words for an `OSError`.
        reason = error.message.rpartition("; ")[2].partition(" [Op:")[0]
        raise OSError(f"{target} cannot be written ({reason})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return difference


def make_warmup(
    signatures: Iterable[str], side: int, channels: int
) -> dict[str, dict[str, Any]]:
    """Returns the inputs of one warm-up request for each signature.

    TensorFlow Serving makes these requests when it loads a version, because the first
    call of a graph takes many times as long as the next ones. It does not serve a
    version whose warm-up fails.

    Args:
        signatures: Names of the signatures.
        side: Height and width of the network's input, in pixels.
        channels: Number of channels of an image file.

    Returns:
        By signature, tensors by the names of its inputs.
    """
    import tensorflow as tf

    images = np.full((1, side, side, 3), 0.5, np.float32)
    requests = {"serving_default": {"image": tf.constant(images)}}
    # A model of scans with as many channels as no image file has takes none.
    if of_files := set(signatures) - set(requests):
        pixels = np.full((side, side, channels), 127, np.uint8)
        encoded = cv2.imencode(".png", pixels)[1].tobytes()
        files = {"image_bytes": tf.constant([encoded])}
        requests |= {name: files for name in of_files}
    return requests


def write_warmup(
    folder: pathlib.Path, requests: Mapping[str, Mapping[str, Any]]
) -> None:
    """Writes warm-up requests into the folder of a SavedModel."""
    import tensorflow as tf
    from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

    path = folder / WARMUP_FILE
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
