import math

import keras
import numpy as np
import pytest

from synergynet_tf.losses import SegmentationLoss


def test_one_class_by_hand():
    # Logits 0: p = 1/2 everywhere; 1 of 4 pixels is foreground.
    labels = np.array([[[1, 0], [0, 0]]], "uint8")
    loss = float(SegmentationLoss()(labels, np.zeros((1, 2, 2, 1), "float32")))
    # BCE = log 2. Dice = 2 * 1/2 / (4 * 1/4 + 1) = 1/2.
    assert loss == pytest.approx(math.log(2) + 0.5, abs=1e-4)


def test_three_channels_by_hand():
    labels = np.array([[[1, 2]]], "uint8")
    logits = np.zeros((1, 1, 2, 3), "float32")
    # CE = log 3; p = 1/3. Background: Dice = 0 / (2/9 + 0) = 0; the classes:
    # 2 * 1/3 / (2/9 + 1) = 6/11 each. Mean of three: 4/11.
    loss = float(SegmentationLoss()(labels, logits))
    assert loss == pytest.approx(math.log(3) + 1 - 4 / 11, abs=1e-4)


def test_dice_is_of_the_whole_batch():
    labels = np.zeros((2, 1, 1), "uint8")
    labels[0] = 1
    logits = np.array([100.0, 100.0], "float32").reshape(2, 1, 1, 1)
    # Both predicted, one right: Dice = 2 / (2 + 1). By image it would be (1 + 0) / 2.
    loss = SegmentationLoss(cross_entropy_weight=0.0)
    assert float(loss(labels, logits)) == pytest.approx(1 - 2 / 3, abs=1e-4)


def test_weights():
    labels = np.array([[[1, 0], [0, 0]]], "uint8")
    logits = np.zeros((1, 2, 2, 1), "float32")
    loss = SegmentationLoss(cross_entropy_weight=2.0, dice_weight=4.0)
    expected = 2 * math.log(2) + 4 * 0.5
    assert float(loss(labels, logits)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_devices_share_a_loss_through_one_sum(channels):
    generator = np.random.default_rng(0)
    labels = generator.integers(0, max(channels, 2), (2, 4, 4))
    logits = generator.normal(size=(2, 4, 4, channels)).astype("float32")
    calls = []

    def sum_of_two_equal_devices(sums):
        calls.append(sums)
        return keras.tree.map_structure(lambda x: 2 * x, sums)

    # So smooth that twice the pixels make another Dice.
    loss = SegmentationLoss(smooth=10.0)
    alone = float(loss(np.tile(labels, (2, 1, 1)), np.tile(logits, (2, 1, 1, 1))))
    loss.replica_sum = sum_of_two_equal_devices
    assert float(loss(labels, logits)) == pytest.approx(alone, abs=1e-5)
    assert len(calls) == 1


@pytest.mark.parametrize("channels", [1, 3])
def test_perfect_logits_cost_nothing_and_extreme_ones_stay_finite(channels):
    labels = np.array([[[1, 0]]], "uint8")
    classes = np.arange(channels) if channels > 1 else np.array([1])
    sure = np.where(labels[..., None] == classes, 1e4, -1e4).astype("float32")
    if channels == 3:
        labels[:] = [[1, 0]]
    assert float(SegmentationLoss()(labels, sure)) == pytest.approx(0.0, abs=1e-4)
    assert np.isfinite(float(SegmentationLoss()(labels, -sure)))


def test_config():
    loss = SegmentationLoss(2.0, 3.0, 1e-3, name="loss")
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(loss)
    )
    assert again.get_config() == loss.get_config()
    assert again.dice_weight == 3.0
