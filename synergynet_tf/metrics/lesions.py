"""Per-lesion detection: precision, recall and F1 of connected components.

A lesion is a connected component of the ground truth, a finding one of the prediction.
A lesion is detected if a finding covers it, a finding is true if a lesion does; what
covers means is the rule's `overlap`:

    any      they share a voxel
    share    the share of its voxels that the other mask has is at least `threshold`
    iou      one component of the other mask has an IoU with it of at least `threshold`

    recall    = detected lesions / lesions
    precision = true findings / findings
    F1        = 2 precision recall / (precision + recall)

Lesions and findings are counted apart: one finding may detect two lesions, and two
findings may both be true by one lesion. Only `iou` with a threshold over 0.5 pairs them
one to one, because two components of a mask cannot both have most of a third
(Kirillov et al., 2019, Panoptic segmentation, https://arxiv.org/abs/1801.00868).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from synergynet_tf.metrics.overlap import check_masks
from synergynet_tf.metrics.protocols import (
    ClassScores,
    Metric,
    Scores,
    check_labels,
)

OVERLAPS = ("any", "share", "iou")
CONNECTIVITIES = ("full", "faces")
LESION_METRICS = {
    "lesion_precision": Metric("fraction", +1),
    "lesion_recall": Metric("fraction", +1),
    "lesion_f1": Metric("fraction", +1),
}


@dataclasses.dataclass(frozen=True)
class LesionRule:
    """Rule for what is a lesion, and when it is detected.

    Attributes:
        overlap: Criterion of detection, one of `OVERLAPS`.
        threshold: Threshold of `share` and `iou`, in (0, 1]; `None` for `any`.
        connectivity: `full`: voxels that touch by a face, an edge or a corner are one
            component (8 neighbors in 2-D, 26 in 3-D); `faces`: by a face alone (4
            and 6).
        minimal_size: Smallest size of a component in voxels, at least 1. Smaller ones
            are removed from both masks before anything is compared.

    Raises:
        ValueError: If a value is none of these.
    """

    overlap: str = "any"
    threshold: float | None = None
    connectivity: str = "full"
    minimal_size: int = 1

    def __post_init__(self) -> None:
        """Checks the values."""
        for name, choices in (("overlap", OVERLAPS), ("connectivity", CONNECTIVITIES)):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"`{name}` must be one of {', '.join(choices)}. "
                    f"Received: {name}={getattr(self, name)!r}"
                )
        if self.overlap == "any":
            if self.threshold is not None:
                raise ValueError(
                    "`threshold` is of the overlaps `share` and `iou`. "
                    f"Received: overlap='any', threshold={self.threshold}"
                )
        elif self.threshold is None or not 0 < self.threshold <= 1:
            raise ValueError(
                f"`threshold` must be in (0, 1] for `{self.overlap}`. "
                f"Received: threshold={self.threshold}"
            )
        if self.minimal_size < 1:
            raise ValueError(
                "`minimal_size` must be at least 1. "
                f"Received: minimal_size={self.minimal_size}"
            )


ANY_VOXEL = LesionRule()


class Lesions(NamedTuple):
    """Sizes, in voxels, of the lesions and findings of a class, in ascending order.

    Attributes:
        detected: Lesions that were detected.
        missed: Lesions that were not.
        true: Findings that are true.
        false: Findings that are not.
    """

    detected: tuple[int, ...]
    missed: tuple[int, ...]
    true: tuple[int, ...]
    false: tuple[int, ...]

    @property
    def recall(self) -> float:
        """Detected lesions / lesions; `nan` if there are no lesions."""
        return _share(self.detected, self.missed)

    @property
    def precision(self) -> float:
        """True findings / findings; `nan` if there are no findings."""
        return _share(self.true, self.false)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall.

        0 if nothing is detected or exactly one mask is empty, `nan` if both are.
        """
        recall, precision = self.recall, self.precision
        if math.isnan(recall) and math.isnan(precision):
            return math.nan
        if not (self.detected and self.true):
            return 0.0
        return 2 * precision * recall / (precision + recall)

    def scores(self) -> Scores:
        """Returns the three metrics by name, as `bootstrap` averages those of cases."""
        return {
            "lesion_precision": self.precision,
            "lesion_recall": self.recall,
            "lesion_f1": self.f1,
        }


def find_lesions(
    true: np.ndarray, pred: np.ndarray, rule: LesionRule = ANY_VOXEL
) -> Lesions:
    """Compares the connected components of two masks.

    Args:
        true: The ground truth: bool, 2-D or 3-D.
        pred: The prediction: bool, same shape.
        rule: Rule for what is a lesion, and when it is detected.

    Returns:
        Sizes of lesions and findings, in voxels; none for an empty mask. A mask whose
        components are all smaller than `rule.minimal_size` is an empty one.

    Raises:
        ValueError: If the shapes differ or a mask is not boolean.

    Example:
    >>> true = np.array([[True, True, False, False, True]])
    >>> pred = np.array([[False, True, False, False, False]])
    >>> find_lesions(true, pred)
    Lesions(detected=(2,), missed=(1,), true=(1,), false=())
    """
    check_masks(true, pred)
    lesions, lesion_sizes = _components(true, rule)
    findings, finding_sizes = _components(pred, rule)
    # Numbers of voxels that lesions and findings share, only for pairs that do.
    both = true & pred
    lesion, finding = lesions[both], findings[both]
    both_kept = (lesion > 0) & (finding > 0)
    # One number for each pair: NumPy sorts numbers much faster than columns.
    shape = len(lesion_sizes), len(finding_sizes)
    numbers = np.ravel_multi_index(
        (lesion[both_kept] - 1, finding[both_kept] - 1), shape
    )
    pairs, counts = np.unique(numbers, return_counts=True)
    lesion, finding = np.unravel_index(pairs, shape)
    ious = counts / (lesion_sizes[lesion] + finding_sizes[finding] - counts)
    detected = _covered(lesion, lesion_sizes, counts, ious, rule)
    is_true = _covered(finding, finding_sizes, counts, ious, rule)
    return Lesions(
        _ascending(lesion_sizes[detected]),
        _ascending(lesion_sizes[~detected]),
        _ascending(finding_sizes[is_true]),
        _ascending(finding_sizes[~is_true]),
    )


def find_lesions_of_case(
    true_labels: np.ndarray,
    pred_labels: np.ndarray,
    class_names: Sequence[str],
    rule: LesionRule = ANY_VOXEL,
) -> dict[str, Lesions]:
    """Compares the connected components of each class of a case.

    Arguments and errors are those of `score_case`. Components are within a class:
    lesions of two classes that touch stay two.
    """
    from scipy import ndimage

    if true_labels.shape != pred_labels.shape:
        raise ValueError(
            "`true_labels` and `pred_labels` must have one shape. "
            f"Received: {true_labels.shape} and {pred_labels.shape}"
        )
    check_labels(true_labels, pred_labels, len(class_names))
    # Outside the box of a class there is nothing of it to label.
    boxes = zip(
        ndimage.find_objects(true_labels, len(class_names)),
        ndimage.find_objects(pred_labels, len(class_names)),
        strict=True,
    )
    found = dict.fromkeys(class_names, Lesions((), (), (), ()))
    for value, (name, both) in enumerate(zip(class_names, boxes, strict=True), start=1):
        known = [box for box in both if box is not None]
        if not known:
            continue
        box = tuple(
            slice(min(s.start for s in axis), max(s.stop for s in axis))
            for axis in zip(*known, strict=True)
        )
        true, pred = true_labels[box] == value, pred_labels[box] == value
        found[name] = find_lesions(true, pred, rule)
    return found


def total_lesions(cases: Sequence[Lesions]) -> Lesions:
    """Puts the lesions of all cases together, so that each lesion weighs alike."""
    return Lesions(
        *(
            tuple(sorted(size for sizes in column for size in sizes))
            for column in zip(*cases, strict=True)
        )
    )


def lesion_scores(lesions: dict[str, Lesions]) -> ClassScores:
    """Returns the scores of each class of a case, which `average` takes."""
    return {name: of_class.scores() for name, of_class in lesions.items()}


def _components(mask: np.ndarray, rule: LesionRule) -> tuple[np.ndarray, np.ndarray]:
    """Labels the components that are large enough from 1; returns their sizes, too."""
    from scipy import ndimage

    reach = mask.ndim if rule.connectivity == "full" else 1
    touching = ndimage.generate_binary_structure(mask.ndim, reach)
    labels, count = ndimage.label(mask, touching)
    sizes = np.bincount(labels[mask], minlength=count + 1)
    kept = sizes >= rule.minimal_size
    kept[0] = False
    if not kept[1:].all():
        # Voxels of small components become 0, the others are numbered anew.
        labels[mask] = np.where(kept, np.cumsum(kept), 0)[labels[mask]]
    return labels, sizes[kept]


def _covered(
    own: np.ndarray,
    sizes: np.ndarray,
    shared: np.ndarray,
    ious: np.ndarray,
    rule: LesionRule,
) -> np.ndarray:
    """Tells which components of one mask the other covers.

    Args:
        own: Component of this mask, for each pair of components that share voxels.
        sizes: Sizes of this mask's components, in voxels.
        shared: Number of voxels that each pair shares.
        ious: Intersection over union (IoU) of each pair.
        rule: Rule whose `overlap` and `threshold` are applied.
    """
    if rule.overlap == "share":
        return np.bincount(own, shared, len(sizes)) / sizes >= rule.threshold
    if rule.overlap == "iou":
        own = own[ious >= rule.threshold]
    return np.bincount(own, minlength=len(sizes)) > 0


def _ascending(sizes: np.ndarray) -> tuple[int, ...]:
    return tuple(sorted(sizes.tolist()))


def _share(part: Sequence[int], rest: Sequence[int]) -> float:
    count = len(part) + len(rest)
    return len(part) / count if count else math.nan
