import numpy as np
import pytest

from synergynet_tf.data.datasets import phantom

IDS = phantom.case_ids("")


@pytest.fixture(scope="module")
def cases():
    return [phantom.read_case("", case_id) for case_id in IDS]


def test_counts():
    parts = phantom.splits("", "official", 0)
    assert [len(ids) for ids in parts.values()] == [48, 8, 12]
    assert parts["train"][0] == "phantom_000" and parts["test"][-1] == "phantom_067"


def test_shapes_and_spacing(cases):
    for case in cases:
        assert case.image.shape == (4, 96, 96, 1)
        assert case.spacing_mm == (8.0, 1.5, 1.5)


def test_cases_differ(cases):
    assert len({case.label.tobytes() for case in cases}) == len(IDS)


def test_drawing_does_not_depend_on_what_was_drawn_before(cases):
    again = phantom.read_case("", "phantom_041")
    np.testing.assert_array_equal(again.image, cases[41].image)


def test_no_tiny_structures(cases):
    # So that a network at 64 pixels can find each: at least 40 of 96 x 96 pixels.
    for case in cases:
        for slice_ in case.label:
            assert min(np.bincount(slice_.ravel(), minlength=4)) >= 40


@pytest.mark.parametrize("label", [1, 2, 3, "any"])
def test_no_range_of_intensities_is_a_segmentation(cases, label):
    image = np.concatenate([case.image[..., 0] for case in cases])
    labels = np.concatenate([case.label for case in cases])
    true = labels > 0 if label == "any" else labels == label
    edges = np.quantile(image, np.linspace(0, 1, 51))
    count_all = np.append(0, np.histogram(image, edges)[0].cumsum())
    count_true = np.append(0, np.histogram(image[true], edges)[0].cumsum())
    # Dice of "low <= image < high" for every pair of edges, and of a constant.
    hits = count_true[None] - count_true[:, None]
    pixels = count_all[None] - count_all[:, None]
    best = np.max(2 * hits / np.maximum(pixels + true.sum(), 1))
    assert 0.1 < best < 0.6


def test_unknown_case_is_refused():
    with pytest.raises(ValueError, match="No case phantom_068; they are phantom_000"):
        phantom.read_case("", "phantom_068")
