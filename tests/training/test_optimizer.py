import keras
import numpy as np
import pytest

from synergynet_tf.config import OptimizerConfig
from synergynet_tf.training.optimizer import CoupledSGD, build_optimizer
from synergynet_tf.training.pooled_dice import PooledDice


def test_two_steps_by_hand():
    weight = keras.Variable(np.array([1.0], "float32"))
    optimizer = CoupledSGD(l2=0.5, learning_rate=0.1, momentum=0.9)
    optimizer.apply([np.array([1.0], "float32")], [weight])
    # g = 1 + 0.5 * 1 = 1.5; v = -0.15; w = 0.85.
    assert keras.ops.convert_to_numpy(weight)[0] == pytest.approx(0.85)
    optimizer.apply([np.array([0.0], "float32")], [weight])
    # g = 0.5 * 0.85 = 0.425; v = 0.9 * -0.15 - 0.0425 = -0.1775; w = 0.6725.
    assert keras.ops.convert_to_numpy(weight)[0] == pytest.approx(0.6725)


def test_schedule_by_hand():
    optimizer = build_optimizer(OptimizerConfig(), steps=100)
    weight = keras.Variable(np.array([1.0], "float32"))
    optimizer.build([weight])
    for step, factor in ((0, 1.0), (50, 0.5**0.9), (100, 0.0)):
        optimizer.iterations.assign(step)
        assert float(optimizer.learning_rate) == pytest.approx(0.01 * factor)


def test_config():
    config = build_optimizer(OptimizerConfig(l2=0.25), steps=9).get_config()
    assert CoupledSGD.from_config(config).l2 == 0.25


def test_pooled_dice_by_hand():
    metric = PooledDice(num_classes=3)
    true = np.array([[[1, 1], [2, 0]]], "uint8")
    logits = np.zeros((1, 2, 2, 3), "float32")
    for row, column, label in ((0, 0, 1), (0, 1, 2), (1, 0, 2), (1, 1, 0)):
        logits[0, row, column, label] = 5.0
    metric.update_state(true, logits)
    # Class 1: 2 * 1 / (2 + 1); class 2: 2 * 1 / (1 + 2).
    assert float(metric.result()) == pytest.approx(2 / 3)
    metric.update_state(np.zeros_like(true), np.roll(np.zeros_like(logits), 1))
    # All logits equal: background everywhere, which adds nothing.
    assert float(metric.result()) == pytest.approx(2 / 3)
    metric.reset_state()
    assert float(metric.result()) == 1.0


def test_pooled_dice_of_one_class():
    metric = PooledDice(num_classes=1)
    true = np.array([[[1, 1], [0, 0]]], "uint8")
    metric.update_state(true, np.array([[[[3.0], [-3.0]], [[3.0], [-3.0]]]], "float32"))
    # 2 * 1 / (2 + 2).
    assert float(metric.result()) == pytest.approx(0.5)
