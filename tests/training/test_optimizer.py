import dataclasses

import keras
import numpy as np
import pytest

from synergynet_tf.config import OptimizerConfig
from synergynet_tf.training.optimizer import (
    CoupledSGD,
    DecoupledAdamW,
    WarmUp,
    build_optimizer,
)
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


def array(x):
    return keras.ops.convert_to_numpy(x)


def layer_weights():
    """A weight of each kind, with a name that decay knows."""
    names = ("kernel", "bias", "gamma", "beta", "log_temperature", "codebook")
    return {name: keras.Variable(np.ones(2, "float32"), name=name) for name in names}


def test_adamw_equals_its_algorithm_in_float64():
    draw = np.random.default_rng(0).normal
    weights = [keras.Variable(draw(size=(3, 4)).astype("float32")) for _ in range(2)]
    expected = [array(w).astype("float64") for w in weights]
    m, v = np.zeros((2, 3, 4)), np.zeros((2, 3, 4))
    optimizer = DecoupledAdamW(learning_rate=0.01, weight_decay=0.5)
    for step in range(1, 6):
        gradients = draw(size=(2, 3, 4)).astype("float32")
        optimizer.apply(list(gradients), weights)
        for i, gradient in enumerate(gradients):
            m[i] = 0.9 * m[i] + 0.1 * gradient
            v[i] = 0.999 * v[i] + 0.001 * gradient.astype("float64") ** 2
            m_hat, v_hat = m[i] / (1 - 0.9**step), v[i] / (1 - 0.999**step)
            decay = 0.01 * 0.5 * expected[i]
            expected[i] = expected[i] - decay - 0.01 * m_hat / (np.sqrt(v_hat) + 1e-8)
    # Algorithm 2 adds epsilon after the correction; float32 against float64.
    np.testing.assert_allclose([array(w) for w in weights], expected, atol=2e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize(
    ("spared", "decaying"),
    [
        ("none", {"kernel", "bias", "gamma", "beta", "log_temperature", "codebook"}),
        ("codebook", {"kernel", "bias", "gamma", "beta", "log_temperature"}),
        ("vectors", {"kernel"}),
    ],
)
def test_decay_spares(spared, decaying, optimizer):
    weights = layer_weights()
    config = OptimizerConfig(
        optimizer=optimizer, spared=spared, l2=0.1, weight_decay=0.1, momentum=0.0
    )
    optimizer = build_optimizer(config, steps=10**6)
    optimizer.apply([np.zeros(2, "float32")] * 6, list(weights.values()))
    moved = {name for name, weight in weights.items() if array(weight)[0] != 1}
    assert moved == decaying
    # 0.01 * 0.1 of the weight, coupled or not.
    np.testing.assert_allclose(array(weights["kernel"]), 0.999, rtol=1e-6)


def test_a_long_gradient_is_clipped_over_all_weights_by_hand():
    weights = [keras.Variable(np.zeros(n, "float32")) for n in (1, 2)]
    optimizer = CoupledSGD(learning_rate=1.0, clip_norm=1.0)
    # Length 13: 3^2 + 4^2 + 12^2.
    optimizer.apply([np.float32([3.0]), np.float32([4.0, 12.0])], weights)
    np.testing.assert_allclose(array(weights[0]), [-3 / 13], rtol=1e-6)
    np.testing.assert_allclose(array(weights[1]), [-4 / 13, -12 / 13], rtol=1e-6)
    optimizer.apply([np.float32([0.5]), np.float32([0.0, 0.5])], weights)
    # Shorter than 1: as it is.
    np.testing.assert_allclose(array(weights[0]), [-3 / 13 - 0.5], rtol=1e-6)


@pytest.mark.parametrize("kind", [CoupledSGD, DecoupledAdamW])
def test_average_by_hand(kind):
    weight = keras.Variable(np.zeros(1, "float32"), name="kernel")
    codebook = keras.Variable(np.zeros(1, "float32"), name="codebook")
    optimizer = kind(learning_rate=0.1, ema_decay=0.15)
    expected = None
    for step in range(4):
        optimizer.apply([np.float32([-1.0])] * 2, [weight, codebook])
        now = array(weight)
        # 0, 1/11, then 0.15, below 2/12 and 3/13.
        decay = (0, 1 / 11, 0.15, 0.15)[step]
        expected = now if step == 0 else decay * expected + (1 - decay) * now
        np.testing.assert_allclose(array(optimizer.averages[0]), expected, rtol=1e-6)
        assert np.all(array(optimizer.averages[1]) == array(codebook))
    assert np.any(array(weight) != expected)


def test_warm_up_and_cosine_by_hand():
    config = OptimizerConfig(schedule="cosine", warmup_steps=4, learning_rate=0.5)
    optimizer = build_optimizer(config, steps=100)
    optimizer.build([keras.Variable(np.ones(1, "float32"))])
    for step, factor in ((0, 1 / 4), (1, 2 / 4), (3, 1), (50, 0.5), (100, 0)):
        optimizer.iterations.assign(step)
        cosine = (1 + np.cos(np.pi * step / 100)) / 2
        expected = 0.5 * (factor * cosine if step < 4 else cosine)
        assert float(optimizer.learning_rate) == pytest.approx(expected, abs=1e-7)
    # A tenth of the steps at most: 3 of 25.
    short = build_optimizer(dataclasses.replace(config, warmup_steps=300), steps=25)
    assert short._learning_rate.steps == 3


def test_config():
    config = build_optimizer(OptimizerConfig(l2=0.25), steps=9).get_config()
    assert CoupledSGD.from_config(config).l2 == 0.25
    modern = OptimizerConfig(
        optimizer="adamw",
        weight_decay=0.25,
        warmup_steps=9,
        spared="vectors",
        clip_norm=2.0,
        ema_decay=0.5,
    )
    config = build_optimizer(modern, steps=90).get_config()
    again = DecoupledAdamW.from_config(config)
    assert (again.decay, again.clip_norm, again.spared) == (0.25, 2.0, "vectors")
    assert again.ema_decay == 0.5 and isinstance(again._learning_rate, WarmUp)


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
