import math

import numpy as np
import pytest

from synergynet_tf.metrics import hausdorff95_mm, surface_dice
from synergynet_tf.metrics.surface import boundary


def mask(*pixels, shape=(4, 4)):
    """Returns a mask that holds the given pixels."""
    result = np.zeros(shape, bool)
    for pixel in pixels:
        result[pixel] = True
    return result


def boundary_points(pixels, spacing):
    """Lists the boundary by its definition, one pixel after the other."""
    points = []
    for index in np.argwhere(pixels):
        for axis in range(pixels.ndim):
            for step in (-1, 1):
                near = index.copy()
                near[axis] += step
                inside = 0 <= near[axis] < pixels.shape[axis] and pixels[tuple(near)]
                if not inside:
                    points.append(tuple(index * spacing))
    return sorted(set(points))


def directed(points, targets):
    """Lists each point's distance to the nearest target, pair by pair."""
    return [min(math.dist(point, target) for target in targets) for point in points]


def random_masks(seed, shape):
    rng = np.random.default_rng(seed)
    return rng.random((2, *shape)) < rng.uniform(0.1, 0.9)


CASES = [(seed, shape) for seed in range(6) for shape in ((9, 8), (4, 6, 5))]


@pytest.mark.parametrize(
    ("true", "pred", "expected"),
    [
        (mask((0, 0)), mask((0, 3)), 6.0),  # 3 columns of 2 mm
        (mask((0, 0)), mask((3, 0)), 3.0),  # 3 rows of 1 mm
        (mask((0, 0)), mask((0, 0)), 0.0),
        (mask((0, 0)), mask(), np.inf),
        (mask(), mask((0, 0)), np.inf),
        (mask(), mask(), np.nan),
    ],
)
def test_hausdorff95_by_hand(true, pred, expected):
    distance = hausdorff95_mm(true, pred, spacing_mm=(1.0, 2.0))
    assert distance == pytest.approx(expected, nan_ok=True)


def test_hausdorff95_takes_the_larger_direction():
    # Every predicted pixel lies on the reference. The reference's are 0, 1, 2, 3
    # and 4 columns away: its 95th percentile is 3 + 0.8 * (4 - 3).
    true = mask(*((0, column) for column in range(5)), shape=(1, 5))
    assert hausdorff95_mm(true, mask((0, 0), shape=(1, 5)), (1, 1)) == 3.8


@pytest.mark.parametrize(("seed", "shape"), CASES)
def test_hausdorff95_against_brute_force(seed, shape):
    true, pred = random_masks(seed, shape)
    spacing = (0.7, 1.3, 2.1)[: len(shape)]
    a, b = boundary_points(true, spacing), boundary_points(pred, spacing)
    expected = max(np.percentile(directed(a, b), 95), np.percentile(directed(b, a), 95))
    # One square root of sums that were added in another order.
    assert hausdorff95_mm(true, pred, spacing) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("seed", "shape"), CASES)
def test_surface_dice_against_brute_force(seed, shape):
    true, pred = random_masks(seed, shape)
    spacing = (0.7, 1.3, 2.1)[: len(shape)]
    a, b = boundary_points(true, spacing), boundary_points(pred, spacing)
    distances = directed(a, b) + directed(b, a)
    expected = sum(distance <= 1.0 for distance in distances) / len(distances)
    assert surface_dice(true, pred, spacing, 1.0) == pytest.approx(expected)


def test_boundary_is_face_connected_and_the_border_is_outside():
    # The plus's center touches the outside by corners only.
    plus = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)
    assert np.array_equal(boundary(plus), plus ^ mask((1, 1), shape=(3, 3)))
    full = np.ones((3, 3), bool)
    assert np.array_equal(boundary(full), full ^ mask((1, 1), shape=(3, 3)))


def test_distances_do_not_depend_on_the_place_in_the_array():
    true, pred = random_masks(3, (6, 7))
    moved = [np.pad(m, ((40, 3), (0, 25))) for m in (true, pred)]
    spacing = (1.0, 0.5)
    assert hausdorff95_mm(*moved, spacing) == hausdorff95_mm(true, pred, spacing)


@pytest.mark.parametrize(
    ("true", "pred", "tolerance", "expected"),
    [
        (mask((0, 0)), mask((0, 1)), 2.0, 1.0),  # 2 mm apart: the bound counts
        (mask((0, 0)), mask((0, 1)), 1.9, 0.0),
        # Of the boundary's 1 + 2 pixels, (0, 3) alone is too far.
        (mask((0, 0)), mask((0, 0), (0, 3)), 2.0, 2 / 3),
        (mask((0, 0)), mask(), 2.0, 0.0),
        (mask(), mask((0, 0)), 2.0, 0.0),
        (mask(), mask(), 2.0, np.nan),
    ],
)
def test_surface_dice_by_hand(true, pred, tolerance, expected):
    share = surface_dice(true, pred, (1.0, 2.0), tolerance)
    assert share == pytest.approx(expected, nan_ok=True)


def test_negative_tolerance_is_refused():
    with pytest.raises(ValueError, match="tolerance_mm"):
        surface_dice(mask((0, 0)), mask((0, 0)), (1, 1), -1.0)


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, 1.0, 1.0), (1.0, 0.0)])
def test_wrong_spacing_is_refused(spacing):
    with pytest.raises(ValueError, match="spacing_mm"):
        hausdorff95_mm(mask((0, 0)), mask((0, 0)), spacing)


def test_wrong_masks_are_refused():
    with pytest.raises(ValueError, match="boolean"):
        hausdorff95_mm(mask((0, 0)).astype(int), mask((0, 0)), (1, 1))
    with pytest.raises(ValueError, match="one shape"):
        hausdorff95_mm(mask((0, 0)), mask((0, 0), shape=(4, 5)), (1, 1))
