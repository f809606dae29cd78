"""Exports a run: `python -m export.saved_model --run RUN --out DIR`.

Writes `DIR/<version>/`, a SavedModel for TensorFlow Serving with the requests that it
warms up on, `model_card.json` and a README.md made from that; `signatures` says what
it takes and returns.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import shutil
import uuid
from collections.abc import Sequence
from typing import Any

from synergynet_tf import runs
from synergynet_tf.cli import command_line
from synergynet_tf.export import model_card
from synergynet_tf.export.model_readme import write_readme
from synergynet_tf.runs import Run


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__)
    parser.add_argument("--run", required=True, help="folder of a trained run")
    parser.add_argument("--out", required=True, help="folder of the versions")
    parser.add_argument("--version", type=int, help="default: the next integer")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Checks the arguments, exports, and prints where and how exactly."""
    args = parse_args(argv)
    run = Run(args.run)
    card = model_card.make_card(run)
    target = version_dir(args.out, args.version)

    # Here, because importing Keras takes seconds and the checks above do not.
    from synergynet_tf.evaluation.predictor import load_run_model

    model = load_run_model(run)
    difference = save(model, card, target)
    print(f"{target}: logits differ from the Keras model's by at most {difference:.1e}")


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
    """Writes a SavedModel that has been loaded back and compared, or nothing.

    Args:
        model: The Keras model.
        card: What `model_card.make_card` returns of its run.
        target: The folder to write. It appears whole: TensorFlow Serving may watch.

    Returns:
        The largest difference of the logits from the Keras model's.

    Raises:
        ValueError: If Keras does not run on TensorFlow, or the logits differ by more
            than `synergynet_tf.export.probe` allows.
    """
    import tensorflow as tf

    from synergynet_tf.export import probe, signatures, warmup
    from synergynet_tf.export.exported_model import Answers
    from synergynet_tf.models.outputs import with_codes

    names = ("modality", "picked_channels", "image_channels")
    modality, picked, channels = (card["input"][name] for name in names)
    crop = card["input"].get("center_crop", 1.0)  # Cards of before had none.
    functions = signatures.build_signatures(
        model, card["classes"], modality, picked, channels, crop
    )
    module = signatures.read_variables(functions["serving_default"])
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{uuid.uuid4().hex[:8]}.{target.name}")
    try:
        tf.saved_model.save(module, str(temporary), signatures=functions)
        side = model.input_shape[1]
        images = probe.probe_images(side)
        loaded = tf.saved_model.load(str(temporary)).signatures
        found = Answers.of(loaded["serving_default"](image=tf.constant(images)))
        expected = Answers.of(with_codes(model)(images, training=False))
        difference = probe.require_same_answers(expected, found)
        requests = warmup.make_requests(functions, side, channels or 3)
        for name, inputs in requests.items():
            loaded[name](**inputs)  # As a server will, before it serves.
        warmup.write_warmup(temporary, requests)
        runs.write_json(temporary / model_card.FILE, card)
        outputs = {name: f.structured_outputs for name, f in functions.items()}
        runs.write_text(temporary / "README.md", write_readme(card, outputs))
        os.rename(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return difference
