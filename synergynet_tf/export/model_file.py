"""Model as one file, with its card beside it: what `.tflite` and `.onnx` share."""

from __future__ import annotations

import hashlib
import pathlib
from typing import Any

import numpy as np

from synergynet_tf import runs
from synergynet_tf.data.preprocess import to_labels
from synergynet_tf.export.exported_model import (
    Answers,
    OnnxModel,
    TFLiteModel,
    card_path,
    section,
)


def new_file(out: str | pathlib.Path, ending: str) -> pathlib.Path:
    """Returns the file to write.

    Raises:
        ValueError: If its name does not end in `ending`.
        FileExistsError: If it, or a card of its name, is there.
        PermissionError: If its folder cannot be written to.
    """
    target = pathlib.Path(out)
    if target.suffix != ending:
        raise ValueError(f"--out must end in {ending}. Received: --out {out}")
    if target.exists():
        raise FileExistsError(f"{target} exists; delete it, or choose another --out")
    if card_path(target).exists():
        raise FileExistsError(
            f"{card_path(target)} exists, the card of another file of this name; "
            f"choose another --out, such as {target.stem}-{ending[1:]}{ending}"
        )
    runs.require_writable(target.parent, "--out")
    return target


def compare(
    model: Any, opened: TFLiteModel | OnnxModel, content: bytes, limit: float
) -> dict[str, Any]:
    """Compares a file with the Keras model that it was made of, on probe images.

    Args:
        model: The Keras model.
        opened: The file in its runtime.
        content: Bytes of the file.
        limit: Limit of the logits' difference, as in `parity.require_same_answers`.

    Returns:
        Its size and SHA-256; how many images, how far the logits moved, and the share
        of labels that changed.

    Raises:
        ValueError: If they differ by more than `limit` allows, or logits are not
            finite.
    """
    from synergynet_tf.export import parity
    from synergynet_tf.models.outputs import with_codes

    probes = parity.probe_images(model.input_shape[1])
    expected = Answers.of(with_codes(model)(probes, training=False))
    found = opened.answer(probes)
    difference = parity.require_same_answers(expected, found, limit)
    changed = to_labels(expected.logits) != to_labels(found.logits)
    return {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "probe_images": len(probes),
        "max_logit_difference": difference,
        "changed_labels": float(np.mean(changed)),
    }


def write(
    target: pathlib.Path,
    content: bytes,
    card: dict[str, Any],
    measured: dict[str, Any],
) -> None:
    """Writes the card, and then the file, whole or not at all.

    Args:
        target: The file. If it cannot be written, no card stays either.
        content: Bytes of the file.
        card: Model card of the run.
        measured: Section of the card about the file.

    Raises:
        OSError: If one of them cannot be written.
    """
    runs.write_json(card_path(target), {**card, section(target): measured})
    try:
        with runs.atomic_file(target) as temporary:
            temporary.write_bytes(content)
    except OSError:
        card_path(target).unlink(missing_ok=True)
        raise
