"""What the prediction loses without a part of the bottleneck.

A part is averaged over the positions of each image, so that it no longer says what is
where (mean ablation); everything else is computed as before. The parts of SynergyNet
(paper, Fig. 1c), of which other methods have some:

    codes                 the discrete features, wherever they are read
    codes_in_fusion       the discrete term of `z_f = z_dis + z_con + z_dc`
    continuous_in_fusion  the continuous term
    queries               DisConX's, which are the discrete features
    disconx               the third term
    direct_terms          both other terms: only DisConX is left
    all_but_codes         the continuous term and DisConX's
    all_but_continuous    the discrete term and DisConX's
    fusion                all its terms
    refinement            what it adds to `z_f`
    bottleneck            what the decoder is given besides its skips

Terms that say the same can stand in for each other: without one of them little is
lost, whatever it carries. What a term holds up alone is the DSC where all others are
averaged, less the DSC where all are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from synergynet_tf.data.preprocess import to_labels
from synergynet_tf.evaluation.codes.cases import (
    CodedCase,
    count_pairs,
    dice_change,
    foreground_dice,
)
from synergynet_tf.evaluation.codes.model import CodeModel, fill
from synergynet_tf.evaluation.predict import BATCH_SIZE
from synergynet_tf.metrics import bootstrap

# Of each part: its layer, and which of the layer's inputs it is; its output if none.
PARTS: dict[str, tuple[str, tuple[int, ...]]] = {
    "codes": ("quantizer", ()),
    "codes_in_fusion": ("fusion", (0,)),
    "continuous_in_fusion": ("fusion", (1,)),
    "queries": ("disconx", (0,)),
    "disconx": ("disconx", ()),
    "direct_terms": ("fusion", (0, 1)),
    "all_but_codes": ("fusion", (1, 2)),
    "all_but_continuous": ("fusion", (0, 2)),
    "fusion": ("fusion", ()),
    "refinement": ("refinement", ()),
    "bottleneck": ("bottleneck", ()),
}
# In the order in which the fusion adds them; a method may lack the last.
TERMS = ("codes", "continuous", "disconx")


def parts_of(model: keras.Model) -> list[str]:
    """Returns the parts that a model has, in the order of `PARTS`.

    A fusion of two terms has no combined parts but itself: all but one are the other.
    """
    layers = {layer.name: layer for layer in model.layers}
    return [
        part
        for part, (name, places) in PARTS.items()
        if name in layers and len(places) < len(keras.tree.flatten(layers[name].input))
    ]


def terms_alone(model: keras.Model) -> dict[str, str]:
    """Returns the terms of a model's fusion, and the part that is all but each."""
    parts = {PARTS[part]: part for part in parts_of(model)}
    if ("fusion", ()) not in parts:
        return {}
    number = len(model.get_layer("fusion").input)
    others = {
        term: tuple(place for place in range(number) if place != own)
        for own, term in enumerate(TERMS[:number])
    }
    return {term: parts["fusion", places] for term, places in others.items()}


def without_part(model: keras.Model, part: str) -> keras.Model:
    """Returns a model of the same layers with a part averaged over positions.

    Args:
        model: From images `(n, S, S, 3)` to logits, with the part's layer.
        part: A key of `PARTS`.
    """
    name, places = PARTS[part]

    def call(layer: keras.layers.Layer, *inputs: Any, **options: Any) -> Any:
        if layer.name != name:
            # What nothing has changed is not computed again, beside other parts.
            return layer.output if _is_own(layer, inputs) else layer(*inputs, **options)
        if not places:
            return _averaged(layer(*inputs, **options))
        # `Add` takes a list, DisConX two arguments.
        listed = isinstance(inputs[0], list)
        terms = list(inputs[0] if listed else inputs)
        for place in places:
            terms[place] = _averaged(terms[place])
        return layer(terms, **options) if listed else layer(*terms, **options)

    return keras.models.clone_model(
        model, model.input, clone_function=lambda layer: layer, call_function=call
    )


def describe_parts(
    model: CodeModel,
    cases: Iterable[tuple[CodedCase, np.ndarray]],
    num_classes: int,
) -> dict[str, list[dict[str, Any]]]:
    """Predicts every slice anew without each part that the method has.

    Args:
        model: The run's.
        cases: Each with its images, float32 `(slices, S, S, 3)`.
        num_classes: Of the labels, with the background.

    Returns:
        `ablations`: by part, in the order of `PARTS`, `part`, the `changed_share` of
        all pixels' labels, the `dsc` as in `code_edits.describe_edits`, and what it is
        above that of the whole model, `dsc_change`, with its interval by patient,
        `dsc_change_interval`. `alone`: by term of the fusion, in the order of `TERMS`,
        `term`, the `dsc` where all others are averaged, and what it is above that where
        all are, again `dsc_change` with its interval; empty without a fusion.
    """
    parts = parts_of(model.model)
    outputs = {part: without_part(model.model, part).output for part in parts}
    without = keras.Model(model.model.input, outputs)
    # XLA, the default, makes TensorFlow's convolutions slower on a CPU.
    without.compile(jit_compile=keras.backend.backend() != "tensorflow")
    found = {part: _Labels(num_classes) for part in parts}
    before, patients = [], []
    for case, images in cases:
        before.append(count_pairs(case.labels, case.pred_labels, num_classes))
        patients.append(case.patient)
        for labels in found.values():
            labels.begin_case()
        for start in range(0, len(images), BATCH_SIZE):
            batch = slice(start, start + BATCH_SIZE)
            logits = without.predict_on_batch(fill(images[batch]))
            for part, labels in found.items():
                labels.add(case, batch, logits[part])
    whole, weights = np.stack(before), bootstrap.draw_patients(patients)
    return {
        "ablations": [
            {
                "part": part,
                "changed_share": labels.changed_share,
                **labels.compare(whole, weights),
            }
            for part, labels in found.items()
        ],
        "alone": [
            {"term": term, **found[part].compare(found["fusion"].pairs, weights)}
            for term, part in terms_alone(model.model).items()
        ],
    }


class _Labels:
    """What was predicted without a part so far."""

    def __init__(self, num_classes: int) -> None:
        self._num_classes = num_classes
        self._pairs: list[np.ndarray] = []
        self._changed = self._pixels = 0

    def begin_case(self) -> None:
        self._pairs.append(np.zeros((self._num_classes, self._num_classes), np.int64))

    def add(self, case: CodedCase, batch: slice, logits: np.ndarray) -> None:
        """Adds slices of the case; logits of more only fill the batch."""
        true, whole = case.labels[batch], case.pred_labels[batch]
        labels = to_labels(logits[: len(true)])
        self._pairs[-1] += count_pairs(true, labels, self._num_classes)
        self._changed += int((labels != whole).sum())
        self._pixels += labels.size

    @property
    def pairs(self) -> np.ndarray:
        """What `count_pairs` finds of each case, `(cases, classes, classes)`."""
        return np.stack(self._pairs)

    @property
    def changed_share(self) -> float:
        """Of all pixels, those with another label than the whole model gives."""
        return self._changed / self._pixels

    def compare(self, before: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
        """Returns the DSC, and how far it is above that of pairs before."""
        return {
            "dsc": float(foreground_dice(self.pairs.sum(axis=0))),
            **dice_change(before, self.pairs, weights),
        }


def _is_own(layer: keras.layers.Layer, inputs: Any) -> bool:
    """Tells whether a layer is given what it is given in its own model."""
    # Slicing is a layer, too, whose other inputs are numbers.
    given, own = (
        [id(x) for x in keras.tree.flatten(of) if isinstance(x, keras.KerasTensor)]
        for of in (inputs, layer.input)
    )
    return given == own


def _averaged(features: keras.KerasTensor) -> keras.KerasTensor:
    """Puts the mean over positions of `(n, h, w, channels)` at each of them."""
    mean = keras.ops.mean(features, axis=(1, 2), keepdims=True)
    return mean + keras.ops.zeros_like(features)
