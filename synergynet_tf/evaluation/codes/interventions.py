"""Counterfactuals: what changes in the prediction when codes are changed.

A code that is switched off is replaced, wherever it stands, by the next nearest code of
the same features, as if it were not in the codebook. Codes that are swapped take each
other's places. Only the codes' vectors change, and what is computed from them: skips
and SynergyNet's continuous features stay.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from synergynet_tf.data.preprocess import to_labels
from synergynet_tf.evaluation.codes.cases import (
    CodedCase,
    count_pairs,
    dice_change,
    foreground_dice,
)
from synergynet_tf.evaluation.codes.model import CodeModel
from synergynet_tf.evaluation.predict import BATCH_SIZE
from synergynet_tf.metrics import bootstrap


@dataclasses.dataclass(frozen=True)
class Edit:
    """A change of codes.

    Attributes:
        code: The code that is taken away.
        other: The code that it is swapped with; `None` switches it off.
    """

    code: int
    other: int | None = None

    @classmethod
    def swap(cls, code: int, other: int) -> Edit:
        """Returns the swap of two codes, the same in either order."""
        return cls(min(code, other), max(code, other))

    def held(self, codes: np.ndarray) -> np.ndarray:
        """Says which positions it changes: bool, like `codes`."""
        changed = codes == self.code
        return changed if self.other is None else changed | (codes == self.other)

    def apply(self, codes: np.ndarray, runners_up: np.ndarray) -> np.ndarray:
        """Returns the codes after it."""
        if self.other is None:
            return np.where(codes == self.code, runners_up, codes)
        swapped = np.where(codes == self.code, self.other, self.code)
        return np.where(self.held(codes), swapped, codes)


class Effect:
    """What an edit has changed so far."""

    def __init__(self, edit: Edit, num_classes: int) -> None:
        self._edit, self._num_classes = edit, num_classes
        self._positions = self._slices = self._pixels = self._changed = 0
        self._moved = 0.0
        # Of each case, what it adds to `count_pairs`.
        self._differences: dict[str, np.ndarray] = collections.defaultdict(
            lambda: np.zeros((num_classes, num_classes), np.int64)
        )
        self._largest: tuple[int, str | None, int | None] = (0, None, None)

    def add(
        self, case: CodedCase, index: int, labels: np.ndarray, vectors: np.ndarray
    ) -> None:
        """Adds a slice that was decoded with the edit.

        Args:
            case: Its case.
            index: Of the slice.
            labels: uint8 `(S, S)`.
            vectors: The codes, `(num_codes, channels)`.
        """
        true, before = case.labels[index], case.pred_labels[index]
        changed = int((labels != before).sum())
        held = self._edit.held(case.codes[index])
        codes = case.codes[index]
        edited = self._edit.apply(codes, case.runners_up[index])
        self._positions += int(held.sum())
        self._moved += _moved(vectors, codes[held], edited[held])
        self._slices += 1
        self._pixels += labels.size
        self._changed += changed
        difference = self._differences[case.case_id]
        difference += count_pairs(true, labels, self._num_classes)
        difference -= count_pairs(true, before, self._num_classes)
        if changed > self._largest[0]:
            self._largest = changed, case.case_id, index + 1

    def result(
        self, plain: dict[str, np.ndarray], weights: np.ndarray, square: int
    ) -> dict[str, Any]:
        """Returns what `describe_edits` says of it.

        Args:
            plain: What `count_pairs` finds of each case without the edit.
            weights: From `bootstrap.draw_patients`, `(resamples, cases)`.
            square: Pixels below a position.
        """
        below = self._positions * square
        before = np.stack(list(plain.values()))
        changes = np.stack([self._differences[case_id] for case_id in plain])
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
            **dice_change(before, before + changes, weights),
            "case_id": case_id,
            "slice": number,
        }


def describe_edits(
    model: CodeModel,
    cases: Iterator[tuple[CodedCase, np.ndarray]],
    edits: Sequence[Edit],
    num_classes: int,
) -> dict[str, Any]:
    """Decodes every slice anew with every edit that changes its codes.

    Args:
        model: The run's.
        cases: At least one, each with its images, float32 `(slices, S, S, 3)`.
        edits: What to change, each by itself.
        num_classes: Of the labels, with the background.

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
    effects = {edit: Effect(edit, num_classes) for edit in edits}
    plain, patients, square = {}, [], 0
    for case, images in cases:
        pairs = count_pairs(case.labels, case.pred_labels, num_classes)
        plain[case.case_id] = pairs
        patients.append(case.patient)
        square = (case.labels.shape[1] // case.codes.shape[1]) ** 2
        for edit, index, labels in edited_slices(model, case, images, edits):
            effects[edit].add(case, index, labels, model.vectors)
    weights = bootstrap.draw_patients(patients)
    entries = [effect.result(plain, weights, square) for effect in effects.values()]
    entries.sort(key=lambda entry: -entry["changed_pixels"])
    return {
        "dsc": float(foreground_dice(np.sum(list(plain.values()), axis=0))),
        "switched_off": [e for e in entries if e["swapped_with"] is None],
        "swapped": [e for e in entries if e["swapped_with"] is not None],
    }


def _moved(vectors: np.ndarray, codes: np.ndarray, edited: np.ndarray) -> float:
    """Sums how far `edited` lie from `codes`, in distances from the mean code."""
    steps = np.linalg.norm(vectors[edited] - vectors[codes], axis=1)
    scale = np.linalg.norm(vectors[codes] - vectors.mean(axis=0), axis=1)
    return float((steps / np.maximum(scale, np.finfo(np.float32).tiny)).sum())


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
        carried = model.look(images[within]).carried if work else []
        for first in range(0, len(work), BATCH_SIZE):
            batch = work[first : first + BATCH_SIZE]
            chosen = [index for _, index in batch]
            edited = [edit.apply(codes[i], runners_up[i]) for edit, i in batch]
            logits = model.decode(
                np.stack(edited), [array[chosen] for array in carried]
            )
            for (edit, index), labels in zip(batch, to_labels(logits), strict=True):
                yield edit, start + index, labels
