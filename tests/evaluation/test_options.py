import numpy as np

from synergynet_tf.evaluation.postprocess import (
    NO_POSTPROCESSING,
    Postprocessing,
    keep_largest,
)


def test_largest_component_of_each_class_is_kept():
    labels = np.zeros((3, 6, 8), np.uint8)
    labels[0, :2, :2] = 1
    labels[1, 2, 2] = 1  # touches the first by a corner
    labels[0, 5, 5:8] = 1  # smaller
    labels[2, 0, :3] = 2
    labels[2, 5, :4] = 2
    before, expected = labels.copy(), labels.copy()
    expected[0, 5, 5:8] = 0
    expected[2, 0, :3] = 0
    assert np.array_equal(keep_largest(labels), expected)
    assert np.array_equal(labels, before)


def test_of_equals_the_first_is_kept_and_classes_may_be_absent():
    labels = np.array([[[3, 0, 3, 0]]], np.uint8)
    assert keep_largest(labels).tolist() == [[[3, 0, 0, 0]]]
    assert not keep_largest(np.zeros((1, 2, 2), np.uint8)).any()


def test_a_class_does_not_connect_another():
    labels = np.array([[[1, 2, 1, 1]]], np.uint8)
    assert keep_largest(labels).tolist() == [[[0, 2, 1, 1]]]


def test_options_say_what_is_on():
    assert str(NO_POSTPROCESSING) == ""
    assert str(Postprocessing(flips=True, largest=True)) == "flips, largest"
