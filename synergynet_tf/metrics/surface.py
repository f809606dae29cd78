"""Surface distance metrics: HD95 and normalized surface Dice (NSD).

A boundary is a mask without its erosion by the face-connected neighborhood (4
neighbors in 2-D, 6 in 3-D); beyond the border of the array is outside. Distances
run between the centers of boundary pixels, and every boundary pixel counts alike: so
do medpy and MONAI.

DeepMind's surface-distance takes elements between the pixels instead, and weighs them
by their area. On labels of ACDC with slices 10 mm apart, eroded, dilated or thinned,
its HD95 and ours are up to 5.4 mm apart, half a slice, and its surface Dice at 2 mm and
ours up to 0.29; on labels shifted within their slices, 0.5 mm and 0.11.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from synergynet_tf.metrics.overlap import check_masks


def hausdorff95_mm(
    true: np.ndarray, pred: np.ndarray, spacing_mm: Sequence[float] | np.ndarray
) -> float:
    """Hausdorff distance, 95th percentile (HD95), of two boundaries.

    HD95 = max(p95(d(true -> pred)), p95(d(pred -> true)))

    Args:
        true: The ground-truth mask: bool, 2-D or 3-D.
        pred: The predicted mask: bool, same shape.
        spacing_mm: Distance between neighbors along each axis, in mm; or, of axes that
            are not orthogonal, the step to the next neighbor, a row each.

    Returns:
        Millimeters; 0.0 when the masks agree. `nan` when both masks are empty,
        `inf` when exactly one is: neither case has a distance, and the caller
        decides how to count it.

    Raises:
        ValueError: If the shapes differ, a mask is not boolean, or `spacing_mm`
            is not one positive number, or one vector, for each axis.

    Example:
    >>> a = np.array([[True, False, False, False]])
    >>> b = np.array([[False, False, False, True]])
    >>> hausdorff95_mm(a, b, spacing_mm=(1.0, 2.0))
    6.0

    Reference:
        Maier-Hein et al., 2024, Metrics Reloaded, https://arxiv.org/abs/2206.01653.
    """
    return larger_percentile(*surface_distances(true, pred, spacing_mm))


def surface_dice(
    true: np.ndarray,
    pred: np.ndarray,
    spacing_mm: Sequence[float] | np.ndarray,
    tolerance_mm: float,
) -> float:
    """Normalized surface Dice (NSD): share of both boundaries within a tolerance.

    NSD = (|d(true -> pred) <= t| + |d(pred -> true) <= t|) / (|true| + |pred|)

    where `|true|` and `|pred|` count boundary pixels, every pixel alike.

    Args:
        true: The ground-truth mask: bool, 2-D or 3-D.
        pred: The predicted mask: bool, same shape.
        spacing_mm: Distance between neighbors along each axis, in mm; or, of axes that
            are not orthogonal, the step to the next neighbor, a row each.
        tolerance_mm: `t`, at least 0.

    Returns:
        A fraction in [0, 1]; 0.0 when exactly one mask is empty, `nan` when both
        are.

    Raises:
        ValueError: In the cases of `hausdorff95_mm`, or if `tolerance_mm` is negative.

    Reference:
        Nikolov et al., 2018, https://arxiv.org/abs/1809.04430, which weighs each
        boundary element by its area.
    """
    to_pred, to_true = surface_distances(true, pred, spacing_mm)
    return near_share(to_pred, to_true, tolerance_mm)


def to_mm(places: np.ndarray, spacing_mm: Sequence[float] | np.ndarray) -> np.ndarray:
    """Returns positions in mm, `(n, axes or 3)`, of indices of voxels `(n, axes)`.

    Args:
        places: The indices.
        spacing_mm: Spacing or steps in mm, as for `surface_distances`.
    """
    spacing = np.asarray(spacing_mm, np.float64)
    return places @ spacing if spacing.ndim == 2 else places * spacing


def diagonal_mm(
    shape: Sequence[int], spacing_mm: Sequence[float] | np.ndarray
) -> float:
    """Returns the longest distance between two corners of a grid, in mm."""
    spacing = np.asarray(spacing_mm, np.float64)
    if spacing.ndim == 1:
        return math.hypot(*np.multiply(shape, spacing))
    corners = np.array([*np.ndindex(*[2] * len(shape))]) * np.asarray(shape)
    # Two opposite corners are the ends of a diagonal.
    ends = to_mm(corners, spacing) - to_mm(corners[::-1], spacing)
    return float(np.linalg.norm(ends, axis=1).max())


def larger_percentile(to_pred: np.ndarray, to_true: np.ndarray) -> float:
    """Returns `hausdorff95_mm` from the distances of `surface_distances`."""
    if not to_pred.size and not to_true.size:
        return math.nan
    if not to_pred.size or not to_true.size:
        return math.inf
    return float(max(np.percentile(to_pred, 95), np.percentile(to_true, 95)))


def near_share(to_pred: np.ndarray, to_true: np.ndarray, tolerance_mm: float) -> float:
    """Returns `surface_dice` from the distances of `surface_distances`."""
    if not tolerance_mm >= 0:
        raise ValueError(
            f"`tolerance_mm` must be at least 0. Received: tolerance_mm={tolerance_mm}"
        )
    pixels = to_pred.size + to_true.size
    if not pixels:
        return math.nan
    near = sum(np.count_nonzero(d <= tolerance_mm) for d in (to_pred, to_true))
    return float(near / pixels)


def surface_distances(
    true: np.ndarray, pred: np.ndarray, spacing_mm: Sequence[float] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Distances between the boundaries, both ways.

    Args:
        true: The ground-truth mask: bool, 2-D or 3-D.
        pred: The predicted mask: bool, same shape.
        spacing_mm: Distance between neighbors along each axis, in mm; or, of axes that
            are not orthogonal, the step to the next neighbor, a row each.

    Returns:
        From each boundary pixel of the ground truth to the nearest of the prediction,
        and the reverse: float64, in mm. An empty mask has no boundary pixel; the
        pixels of the other one are then at `inf`.

    Raises:
        ValueError: In the cases of `hausdorff95_mm`.
    """
    check_masks(true, pred)
    spacing = np.asarray(spacing_mm, np.float64)
    steps = spacing.ndim == 2 and len(spacing) == true.ndim
    independent = steps and np.linalg.matrix_rank(spacing) == true.ndim
    positive = spacing.shape == (true.ndim,) and bool(np.all(spacing > 0))
    if not independent and not positive:
        raise ValueError(
            f"`spacing_mm` must be {true.ndim} positive numbers, one for each axis. "
            f"Received: spacing_mm={tuple(spacing_mm)}"
        )
    box = _bounding_box(true, pred)
    true_points, pred_points = (
        to_mm(np.argwhere(boundary(mask[box])), spacing) for mask in (true, pred)
    )
    return _nearest(true_points, pred_points), _nearest(pred_points, true_points)


def boundary(mask: np.ndarray) -> np.ndarray:
    """Returns the pixels of a boolean mask that touch its outside by a face."""
    from scipy import ndimage

    faces = ndimage.generate_binary_structure(mask.ndim, 1)
    return mask & ~ndimage.binary_erosion(mask, faces)


def _bounding_box(*masks: np.ndarray) -> tuple[slice, ...]:
    """Returns the smallest box around masks of a shape; beyond it nothing is inside.

    Axis by axis, each in what the ones before have left: most of a scan is read once.
    """
    box: tuple[slice, ...] = ()
    for axis in range(masks[0].ndim):
        others = tuple(other for other in range(masks[0].ndim) if other != axis)
        inside = np.any([mask[box].any(axis=others) for mask in masks], axis=0)
        found = np.flatnonzero(inside)
        box += (slice(found[0], found[-1] + 1) if found.size else slice(0),)
    return box


def _nearest(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Returns the distance from each point to the nearest target, `inf` if none.

    A tree over the boundary pixels costs less than a distance transform of every
    pixel, most of all on photographs of many millions.
    """
    from scipy import spatial

    if not len(points) or not len(targets):
        return np.full(len(points), np.inf)
    # Boxes shrunk to their points cost more to visit than they save: on boundaries a
    # query takes up to three times as long.
    return spatial.KDTree(targets, compact_nodes=False).query(points)[0]
