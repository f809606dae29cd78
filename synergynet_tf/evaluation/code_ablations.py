"""What the prediction loses without a part of the bottleneck.

A part is averaged over the positions of each image, so that it no longer says what is
where (mean ablation); everything else is computed as before. The parts of SynergyNet
(paper, Fig. 1c), of which other methods have some:

    codes                 the discrete features, wherever they are read
    codes_in_fusion       the discrete term of `z_f = z_dis + z_con + z_dc`
    continuous_in_fusion  the continuous term
    queries               DisConX's, which are the discrete features
    disconx               the third term
    refinement            what it adds to `z_f`
    bottleneck            what the decoder is given besides its skips
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from synergynet_tf.data.preprocess import to_labels
from synergynet_tf.evaluation.code_cases import (
    CodedCase,
    count_pairs,
    foreground_dice,
)
from synergynet_tf.evaluation.code_model import CodeModel, fill
from synergynet_tf.evaluation.predict import BATCH_SIZE

# Of each part: its layer, and which of the layer's inputs it is; its output if `None`.
PARTS: dict[str, tuple[str, int | None]] = {
    "codes": ("quantizer", None),
    "codes_in_fusion": ("fusion", 0),
    "continuous_in_fusion": ("fusion", 1),
    "queries": ("disconx", 0),
    "disconx": ("disconx", None),
    "refinement": ("refinement", None),
    "bottleneck": ("bottleneck", None),
}


def without_part(model: keras.Model, part: str) -> keras.Model:
    """Returns a model of the same layers with a part averaged over positions.

    Args:
        model: From images `(n, S, S, 3)` to logits, with the part's layer.
        part: A key of `PARTS`.
    """
    name, place = PARTS[part]

    def call(layer: keras.layers.Layer, *inputs: Any, **options: Any) -> Any:
        if layer.name != name:
            return layer(*inputs, **options)
        if place is None:
            return _averaged(layer(*inputs, **options))
        # `Add` takes a list, DisConX two arguments.
        listed = isinstance(inputs[0], list)
        terms = list(inputs[0] if listed else inputs)
        terms[place] = _averaged(terms[place])
        return layer(terms, **options) if listed else layer(*terms, **options)

    return keras.models.clone_model(
        model, clone_function=lambda layer: layer, call_function=call
    )


def describe_parts(
    model: CodeModel,
    cases: Callable[[str], Iterator[tuple[CodedCase, np.ndarray]]],
    num_classes: int,
) -> list[dict[str, Any]]:
    """Predicts all slices once for each part that the method has, without it.

    Args:
        model: The run's.
        cases: Returns the cases, each with its images, float32 `(slices, S, S, 3)`; is
            given the name of the part that they are read for.
        num_classes: Of the labels, with the background.

    Returns:
        By part, in the order of `PARTS`: `part`, the `changed_share` of all pixels'
        labels, the `dsc` as in `code_edits.describe_edits`, and `dsc_change`, what it
        is above that of the whole model.
    """
    layers = {layer.name for layer in model.model.layers}
    return [
        {"part": part, **_describe_part(model, part, cases(part), num_classes)}
        for part, (name, _) in PARTS.items()
        if name in layers
    ]


def _describe_part(
    model: CodeModel,
    part: str,
    cases: Iterator[tuple[CodedCase, np.ndarray]],
    num_classes: int,
) -> dict[str, Any]:
    without = without_part(model.model, part)
    # XLA, the default, makes TensorFlow's convolutions slower on a CPU.
    without.compile(jit_compile=keras.backend.backend() != "tensorflow")
    before = np.zeros((num_classes, num_classes), np.int64)
    after, changed, pixels = before.copy(), 0, 0
    for case, images in cases:
        labels = to_labels(_predict(without, images))
        before += count_pairs(case.labels, case.pred_labels, num_classes)
        after += count_pairs(case.labels, labels, num_classes)
        changed += int((labels != case.pred_labels).sum())
        pixels += labels.size
    dsc = foreground_dice(after)
    return {
        "changed_share": changed / pixels,
        "dsc": dsc,
        "dsc_change": dsc - foreground_dice(before),
    }


def _predict(model: keras.Model, images: np.ndarray) -> np.ndarray:
    batches = [
        images[start : start + BATCH_SIZE]
        for start in range(0, len(images), BATCH_SIZE)
    ]
    return np.concatenate(
        [model.predict_on_batch(fill(batch))[: len(batch)] for batch in batches]
    )


def _averaged(features: keras.KerasTensor) -> keras.KerasTensor:
    """Puts the mean over positions of `(n, h, w, channels)` at each of them."""
    mean = keras.ops.mean(features, axis=(1, 2), keepdims=True)
    return mean + keras.ops.zeros_like(features)
