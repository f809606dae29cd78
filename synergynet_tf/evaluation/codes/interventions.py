"""Interventions: what changes in the prediction when codes or a part are replaced.

An edit of codes is a counterfactual. A code that is switched off is replaced, at each
of its positions, by the second nearest code of the same features, as if it were not in
the codebook; two codes that are swapped take each other's positions. Only the codes'
vectors change, and what is computed from them: skip connections and SynergyNet's
continuous features stay.

A mean ablation replaces a part of the bottleneck by its mean over the positions of each
image, so that it no longer says what is where; everything else is computed as before.
The parts of SynergyNet (paper, Fig. 1c), of which other methods have some:

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
    bottleneck            the decoder's input besides the skip connections

Terms that say the same can stand in for each other: without one of them little is
lost, whatever it carries. The DSC that is due to a term alone is the one where all
others are averaged, less the one where all are.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from synergynet_tf.data.preprocess import to_labels
from synergynet_tf.evaluation.codes.model import CodedCase, CodeModel, fill
from synergynet_tf.evaluation.predict import BATCH_SIZE
from synergynet_tf.metrics import bootstrap

# Layer of each part, and the inputs of the layer that it is; none for its output.
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
# Terms of the fusion, in the order in which it adds them; a method may lack the last.
TERMS = ("codes", "continuous", "disconx")


def confusion_matrix(
    true: np.ndarray, pred: np.ndarray, num_classes: int
) -> np.ndarray:
    """Counts the pixels of each pair of labels: `(true classes, predicted classes)`."""
    pairs = true.astype(np.int64) * num_classes + pred
    counts = np.bincount(pairs.ravel(), minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def foreground_dice(counts: np.ndarray) -> np.ndarray:
    """Returns the mean DSC of the foreground classes that a confusion matrix has.

    Args:
        counts: `(..., true classes, predicted classes)`.

    Returns:
        float64 `(...)`; `nan` where there is no such class.
    """
    true_positives = np.diagonal(counts, axis1=-2, axis2=-1)[..., 1:]
    sizes = (counts.sum(axis=-2) + counts.sum(axis=-1))[..., 1:]
    present = sizes > 0
    zeros = np.zeros(sizes.shape)
    dice = np.divide(2 * true_positives, sizes, out=zeros, where=present)
    number = present.sum(axis=-1)
    undefined = np.full(number.shape, np.nan)
    return np.divide(dice.sum(axis=-1), number, out=undefined, where=number > 0)


def dice_change(
    before: np.ndarray, after: np.ndarray, weights: np.ndarray
) -> dict[str, Any]:
    """Returns the change of the DSC, all cases in one confusion matrix.

    Args:
        before: Confusion matrix of each case, `(cases, classes, classes)`.
        after: Confusion matrices after an intervention, same shape.
        weights: Weights of `bootstrap.draw_patients`, `(resamples, cases)`.

    Returns:
        `dsc_change` and its 95 % interval by patient, `dsc_change_interval`.
    """
    change = foreground_dice(after.sum(axis=0)) - foreground_dice(before.sum(axis=0))
    resampled = foreground_dice(np.tensordot(weights, after, axes=1))
    resampled -= foreground_dice(np.tensordot(weights, before, axes=1))
    return {
        "dsc_change": float(change),
        "dsc_change_interval": bootstrap.interval(
            bootstrap.Resamples(resampled, bootstrap.are_several(weights))
        ),
    }


@dataclasses.dataclass(frozen=True)
class Edit:
    """A replacement of codes.

    Attributes:
        code: The code that is replaced.
        other: The code that it is swapped with; `None` switches it off.
    """

    code: int
    other: int | None = None

    @classmethod
    def swap(cls, code: int, other: int) -> Edit:
        """Returns the swap of two codes, the same in either order."""
        return cls(min(code, other), max(code, other))

    def held(self, codes: np.ndarray) -> np.ndarray:
        """Marks the positions that it changes: bool, like `codes`."""
        changed = codes == self.code
        return changed if self.other is None else changed | (codes == self.other)

    def apply(self, codes: np.ndarray, runners_up: np.ndarray) -> np.ndarray:
        """Returns the codes after it."""
        if self.other is None:
            return np.where(codes == self.code, runners_up, codes)
        swapped = np.where(codes == self.code, self.other, self.code)
        return np.where(self.held(codes), swapped, codes)


def describe_edits(
    model: CodeModel,
    cases: Iterable[tuple[CodedCase, np.ndarray]],
    edits: Sequence[Edit],
    num_classes: int,
) -> dict[str, Any]:
    """Decodes every slice anew with every edit that changes its codes.

    Args:
        model: Model of the run.
        cases: Cases, at least one, each with its images, float32 `(slices, S, S, 3)`.
        edits: Edits, each applied by itself.
        num_classes: Number of classes of the labels, background included.

    Returns:
        `dsc` of the prediction as it is: all slices in one count for each class, on
        the network's grid, and the mean over the foreground classes. Under
        `switched_off` and `swapped`, the largest effect first, the edit's `code` and
        `swapped_with`; on how many `positions` of how many `slices` it acted; the
        `changed_pixels`, their share of these slices' pixels, `changed_share`, and
        of the pixels below these positions, `changed_per_square`, above 1 if it
        reaches beyond them; how far the codes are `moved`, as a share of their
        distance from the mean of all; `dsc_change` and `dsc_change_interval`, by
        patient; and the `case_id` and `slice` that changed most, `None` if none did.
    """
    edits = list(dict.fromkeys(edits))
    effects = {edit: _EditEffect(edit, num_classes) for edit in edits}
    before, patients, square = {}, [], 0
    for case, images in cases:
        matrix = confusion_matrix(case.labels, case.pred_labels, num_classes)
        before[case.case_id] = matrix
        patients.append(case.patient)
        square = (case.labels.shape[1] // case.codes.shape[1]) ** 2
        for edit, index, labels in edited_slices(model, case, images, edits):
            effects[edit].add(case, index, labels, model.vectors)
    weights = bootstrap.draw_patients(patients)
    entries = [effect.result(before, weights, square) for effect in effects.values()]
    entries.sort(key=lambda entry: -entry["changed_pixels"])
    return {
        "dsc": float(foreground_dice(np.sum(list(before.values()), axis=0))),
        "switched_off": [e for e in entries if e["swapped_with"] is None],
        "swapped": [e for e in entries if e["swapped_with"] is not None],
    }


def edited_slices(
    model: CodeModel, case: CodedCase, images: np.ndarray, edits: Sequence[Edit]
) -> Iterator[tuple[Edit, int, np.ndarray]]:
    """Yields each edit, the index of each slice it changes, and the labels it gets."""
    for start in range(0, len(images), BATCH_SIZE):
        within = slice(start, start + BATCH_SIZE)
        codes, runners_up = case.codes[within], case.runners_up[within]
        work = [
            (edit, index)
            for edit in edits
            for index in np.flatnonzero(edit.held(codes).any(axis=(1, 2))).tolist()
        ]
        carried = model.encode(images[within]).carried if work else []
        for first in range(0, len(work), BATCH_SIZE):
            batch = work[first : first + BATCH_SIZE]
            chosen = [index for _, index in batch]
            edited = [edit.apply(codes[i], runners_up[i]) for edit, i in batch]
            logits = model.decode(
                np.stack(edited), [array[chosen] for array in carried]
            )
            for (edit, index), labels in zip(batch, to_labels(logits), strict=True):
                yield edit, start + index, labels


class _EditEffect:
    """Running totals of what an edit changes."""

    def __init__(self, edit: Edit, num_classes: int) -> None:
        self._edit, self._num_classes = edit, num_classes
        self._positions = self._slices = self._pixels = self._changed = 0
        self._moved = 0.0
        # Change of each case's confusion matrix.
        self._differences: dict[str, np.ndarray] = collections.defaultdict(
            lambda: np.zeros((num_classes, num_classes), np.int64)
        )
        self._largest: tuple[int, str | None, int | None] = (0, None, None)

    def add(
        self, case: CodedCase, index: int, labels: np.ndarray, vectors: np.ndarray
    ) -> None:
        """Adds a slice that was decoded with the edit.

        Args:
            case: Case of the slice.
            index: Index of the slice, from 0.
            labels: uint8 `(S, S)`.
            vectors: Vectors of the codes, `(num_codes, channels)`.
        """
        true, before = case.labels[index], case.pred_labels[index]
        changed = int((labels != before).sum())
        codes = case.codes[index]
        held = self._edit.held(codes)
        edited = self._edit.apply(codes, case.runners_up[index])
        self._positions += int(held.sum())
        self._moved += _moved(vectors, codes[held], edited[held])
        self._slices += 1
        self._pixels += labels.size
        self._changed += changed
        difference = self._differences[case.case_id]
        difference += confusion_matrix(true, labels, self._num_classes)
        difference -= confusion_matrix(true, before, self._num_classes)
        if changed > self._largest[0]:
            self._largest = changed, case.case_id, index + 1

    def result(
        self, before: dict[str, np.ndarray], weights: np.ndarray, square: int
    ) -> dict[str, Any]:
        """Returns the edit's entry of `describe_edits`.

        Args:
            before: Confusion matrix of each case without the edit.
            weights: Weights of `bootstrap.draw_patients`, `(resamples, cases)`.
            square: Number of pixels below a position.
        """
        below = self._positions * square
        matrices = np.stack(list(before.values()))
        changes = np.stack([self._differences[case_id] for case_id in before])
        _, case_id, number = self._largest
        return {
            "code": self._edit.code,
            "swapped_with": self._edit.other,
            "positions": self._positions,
            "slices": self._slices,
            "changed_pixels": self._changed,
            "changed_share": self._changed / self._pixels if self._pixels else 0.0,
            "changed_per_square": self._changed / below if below else 0.0,
            "moved": self._moved / self._positions if self._positions else None,
            **dice_change(matrices, matrices + changes, weights),
            "case_id": case_id,
            "slice": number,
        }


def _moved(vectors: np.ndarray, codes: np.ndarray, edited: np.ndarray) -> float:
    """Sums how far `edited` lie from `codes`, in distances from the mean code."""
    steps = np.linalg.norm(vectors[edited] - vectors[codes], axis=1)
    scale = np.linalg.norm(vectors[codes] - vectors.mean(axis=0), axis=1)
    return float((steps / np.maximum(scale, np.finfo(np.float32).tiny)).sum())


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
        model: Model from images `(n, S, S, 3)` to logits, with the part's layer.
        part: A key of `PARTS`.
    """
    name, places = PARTS[part]

    def call(layer: keras.layers.Layer, *inputs: Any, **options: Any) -> Any:
        if layer.name != name:
            # An unchanged layer is not computed again for each part.
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
        model: Model of the run.
        cases: Cases, each with its images, float32 `(slices, S, S, 3)`.
        num_classes: Number of classes of the labels, background included.

    Returns:
        `ablations`: by part, in the order of `PARTS`, `part`, the `changed_share` of
        all pixels' labels, the `dsc` as in `describe_edits`, and what it is above that
        of the whole model, `dsc_change`, with its interval by patient,
        `dsc_change_interval`. `alone`: by term of the fusion, in the order of `TERMS`,
        `term`, the `dsc` where all others are averaged, and what it is above that where
        all are, again `dsc_change` with its interval; empty without a fusion.
    """
    parts = parts_of(model.model)
    outputs = {part: without_part(model.model, part).output for part in parts}
    without = keras.Model(model.model.input, outputs)
    # XLA, the default, makes TensorFlow's convolutions slower on a CPU.
    without.compile(jit_compile=keras.backend.backend() != "tensorflow")
    matrices: dict[str, list[np.ndarray]] = {part: [] for part in parts}
    before, patients = [], []
    changed, pixels = dict.fromkeys(parts, 0), 0
    for case, images in cases:
        before.append(confusion_matrix(case.labels, case.pred_labels, num_classes))
        patients.append(case.patient)
        pixels += case.labels.size
        for of_cases in matrices.values():
            of_cases.append(np.zeros_like(before[-1]))
        for start in range(0, len(images), BATCH_SIZE):
            batch = slice(start, start + BATCH_SIZE)
            true, whole = case.labels[batch], case.pred_labels[batch]
            logits = without.predict_on_batch(fill(images[batch]))
            for part in parts:
                labels = to_labels(logits[part][: len(true)])
                matrices[part][-1] += confusion_matrix(true, labels, num_classes)
                changed[part] += int((labels != whole).sum())
    weights = bootstrap.draw_patients(patients)

    def compare(base: list[np.ndarray], part: str) -> dict[str, Any]:
        dsc = float(foreground_dice(np.sum(matrices[part], axis=0)))
        change = dice_change(np.stack(base), np.stack(matrices[part]), weights)
        return {"dsc": dsc, **change}

    return {
        "ablations": [
            {
                "part": part,
                "changed_share": changed[part] / pixels,
                **compare(before, part),
            }
            for part in parts
        ],
        "alone": [
            {"term": term, **compare(matrices["fusion"], others)}
            for term, others in terms_alone(model.model).items()
        ],
    }


def _is_own(layer: keras.layers.Layer, inputs: Any) -> bool:
    """Tells whether a layer's inputs are those of its own model."""
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
