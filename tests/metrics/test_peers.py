"""The surface metrics against the programs that others publish with.

TransUNet's test code calls medpy 0.5.2. MONAI's and Metrics Reloaded's definition is
written out here with distance transforms, another way than ours. DeepMind's is another
definition, which `metrics.surface` describes.
"""

import itertools

import numpy as np
import pytest
from scipy import ndimage

from synergynet_tf.data.datasets import acdc
from synergynet_tf.metrics import hausdorff95_mm, score_case, surface_dice

CASES = ("patient001_frame01", "patient049_frame11")


def transunet(true, pred):
    """Returns DSC and HD95 as `calculate_metric_percase` of its utils.py does."""
    binary = pytest.importorskip("medpy.metric.binary")
    if pred.sum() > 0 and true.sum() > 0:
        return binary.dc(pred, true), binary.hd95(pred, true)
    return (1, 0) if pred.sum() > 0 and true.sum() == 0 else (0, 0)


def boundary(mask):
    return mask & ~ndimage.binary_erosion(mask)


def directed(true, pred, spacing):
    """Returns the distances between the boundaries, by a transform of every pixel."""
    edges = boundary(true), boundary(pred)
    fields = [ndimage.distance_transform_edt(~edge, sampling=spacing) for edge in edges]
    return fields[1][edges[0]], fields[0][edges[1]]


def random_pair(number):
    """Returns two masks, a blob each; every 20th pair lacks one or both."""
    rng = np.random.default_rng(number)
    shape = tuple(rng.integers(2, 20, 3))
    noise = ndimage.gaussian_filter(rng.normal(size=(2, *shape)), (0, 1, 2, 2))
    true, pred = (field > np.quantile(field, rng.uniform(0.3, 0.97)) for field in noise)
    if number % 20 < 3:
        true &= number % 20 == 1
        pred &= number % 20 == 0
    return true, pred


@pytest.fixture
def acdc_pairs(real_data):
    """Pairs of masks from real labels, each with its spacing, and how they differ."""
    root = real_data / "acdc"
    known = acdc.case_ids(root)
    faces = ndimage.generate_binary_structure(3, 1)
    changes = {
        "none": lambda mask: mask,
        "shifted": lambda mask: np.roll(mask, (0, 3, -2), (0, 1, 2)),
        "eroded": lambda mask: ndimage.binary_erosion(mask, faces, border_value=1),
        "dilated": lambda mask: ndimage.binary_dilation(mask, faces, 2),
        "half": lambda mask: mask & (np.arange(len(mask)) % 2 == 0)[:, None, None],
        "missed": lambda mask: np.zeros_like(mask),
    }
    pairs = []
    for case_id in [case_id for case_id in CASES if case_id in known] or known[:2]:
        case = acdc.read_case(root, case_id)
        for value, change in itertools.product((1, 2, 3), changes):
            true = case.label == value
            pairs.append((true, changes[change](true), case.spacing_mm))
    return pairs


def assert_transunet(true, pred):
    labels = true.astype(np.uint8), pred.astype(np.uint8)
    scores = score_case(*labels, ("a",), (1, 1, 1), "transunet")["a"]
    expected = transunet(true, pred)
    assert (scores["dsc"], scores["hd95"]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_transunet_is_medpys_on_random_pairs(first):
    for number in range(first, first + 20):
        assert_transunet(*random_pair(number))


def test_transunet_is_medpys_on_real_labels(acdc_pairs):
    for true, pred, _ in acdc_pairs:
        assert_transunet(true, pred)


def test_random_pairs_have_every_kind_of_empty_mask():
    kinds = [tuple(bool(mask.any()) for mask in random_pair(n)) for n in range(200)]
    counts = {kind: kinds.count(kind) for kind in set(kinds)}
    assert {(False, False), (False, True), (True, False), (True, True)} == set(counts)
    assert counts[True, True] >= 150


def assert_strict(true, pred, spacing):
    to_pred, to_true = directed(true, pred, spacing)
    hd95 = max(np.percentile(to_pred, 95), np.percentile(to_true, 95))
    assert hausdorff95_mm(true, pred, spacing) == pytest.approx(hd95, abs=1e-9)
    # A tolerance that no distance on the grid is equal to but for rounding.
    tolerance = 1.7320
    near = np.concatenate([to_pred, to_true]) <= tolerance
    assert surface_dice(true, pred, spacing, tolerance) == pytest.approx(near.mean())


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_strict_is_the_definition_on_random_pairs(first):
    for number in range(first, first + 20):
        true, pred = random_pair(number)
        if true.any() and pred.any():
            assert_strict(true, pred, (3.0, 1.1, 0.7))


def test_strict_is_the_definition_on_real_labels(acdc_pairs):
    for true, pred, spacing in acdc_pairs:
        if true.any() and pred.any():
            assert_strict(true, pred, spacing)
