"""The cases of a run with a code at each position of their slices."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from synergynet_tf.data.preprocess import Preprocessor, to_labels
from synergynet_tf.evaluation.cases import RunCases
from synergynet_tf.evaluation.codes.model import Bottleneck, CodeModel
from synergynet_tf.evaluation.predict import BATCH_SIZE
from synergynet_tf.metrics import bootstrap


@dataclasses.dataclass(frozen=True, eq=False)
class CodedCase:
    """A case on the network's grid, and its codes.

    Attributes:
        case_id: The dataset's.
        patient: Whose case it is.
        pictures: To draw, uint8 RGB `(slices, S, S, 3)`.
        labels: The reference, uint8 `(slices, S, S)`.
        pred_labels: The prediction, likewise.
        codes: `(slices, height, width)`.
        distances: Of the features to them, likewise.
        runners_up: The next nearest codes, likewise.
    """

    case_id: str
    patient: str
    pictures: np.ndarray
    labels: np.ndarray
    pred_labels: np.ndarray
    codes: np.ndarray
    distances: np.ndarray
    runners_up: np.ndarray

    @property
    def busiest_slice(self) -> int:
        """The slice with most foreground in the reference."""
        return int(np.argmax(np.count_nonzero(self.labels, axis=(1, 2))))


def read_inputs(
    cases: RunCases, case_ids: Iterable[str]
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Reads cases as the network sees them.

    Yields:
        Case, images float32 `(slices, S, S, 3)` and labels uint8 `(slices, S, S)`.

    Raises:
        ValueError: If a case does not fit the run; names it.
    """
    preprocessor = Preprocessor.of(cases.config)
    for case_id in case_ids:
        case = cases.dataset.read_case(cases.root, case_id)
        try:
            images = preprocessor.images(case.image)
        except ValueError as error:
            raise ValueError(f"{case_id}: {error}") from error
        yield case_id, images, preprocessor.labels(case.label)


def code_case(
    model: CodeModel,
    case_id: str,
    patient: str,
    images: np.ndarray,
    labels: np.ndarray,
    watch: Callable[[Bottleneck], None],
) -> CodedCase:
    """Finds the codes of a case, and predicts it with them.

    Args:
        model: The run's.
        case_id: The dataset's.
        patient: Whose case it is.
        images: float32 `(slices, S, S, 3)`.
        labels: uint8 `(slices, S, S)`.
        watch: Is shown the bottleneck of each batch, which is not kept.
    """
    maps: dict[str, list[np.ndarray]] = collections.defaultdict(list)
    for start in range(0, len(images), BATCH_SIZE):
        look = model.look(images[start : start + BATCH_SIZE])
        watch(look)
        maps["pred_labels"].append(to_labels(model.decode(look.codes, look.carried)))
        for name in ("codes", "distances", "runners_up"):
            maps[name].append(getattr(look, name))
    return CodedCase(
        case_id=case_id,
        patient=patient,
        pictures=np.rint(255 * images).astype(np.uint8),
        labels=labels,
        **{name: np.concatenate(batches) for name, batches in maps.items()},
    )


def count_pairs(true: np.ndarray, pred: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts the pixels of each pair of labels: `(true classes, predicted classes)`."""
    pairs = true.astype(np.int64) * num_classes + pred
    counts = np.bincount(pairs.ravel(), minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def foreground_dice(counts: np.ndarray) -> np.ndarray:
    """Returns the mean DSC of the foreground classes that `count_pairs` met.

    Args:
        counts: `(..., true classes, predicted classes)`.

    Returns:
        float64 `(...)`; `nan` where no class is met.
    """
    hits = np.diagonal(counts, axis1=-2, axis2=-1)[..., 1:]
    sizes = (counts.sum(axis=-2) + counts.sum(axis=-1))[..., 1:]
    present = sizes > 0
    dice = np.divide(2 * hits, sizes, out=np.zeros(sizes.shape), where=present)
    number = present.sum(axis=-1)
    undefined = np.full(number.shape, np.nan)
    return np.divide(dice.sum(axis=-1), number, out=undefined, where=number > 0)


def dice_change(
    before: np.ndarray, after: np.ndarray, weights: np.ndarray
) -> dict[str, Any]:
    """Says how far the DSC of all cases in one count changes.

    Args:
        before: What `count_pairs` finds of each case, `(cases, classes, classes)`.
        after: The same after a change.
        weights: From `bootstrap.draw_patients`, `(resamples, cases)`.

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
