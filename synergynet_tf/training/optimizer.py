"""Optimizers: SGD with coupled L2, the paper's, and AdamW with decoupled decay.

Both can clip the gradient, spare weights from decay, and keep a moving average of the
weights. They compute on TensorFlow by its fused kernels.
"""

import math

import keras
from keras import ops

from synergynet_tf.training import distribution, kernels, replicas

# Names of weights that decay spares, for each choice of `OptimizerConfig.spared`.
_SPARED = {
    "none": (),
    "codebook": ("codebook",),
    "vectors": ("codebook", "bias", "gamma", "beta", "log_temperature"),
}


class _Optimizer(keras.optimizers.Optimizer):
    """Features of both optimizers: clipping, sparing, and an average of the weights.

    The exponential moving average (EMA) of a weight, after step `t` from 0:

        d       = min(ema_decay, t / (10 + t))
        average = d * average + (1 - d) * weight

    so that the start is forgotten soon, nearly as TensorFlow's
    `tf.train.ExponentialMovingAverage` does it. A codebook is taken as it is, `d = 0`:
    its codes may jump to other vectors, and what lies between is no code.

    Args:
        clip_norm: float. Longest gradient, over all weights as one vector and, where
            replicas share a batch, of the whole batch; 0 clips none.
        spared: A key of `_SPARED`: the weights that do not decay.
        ema_decay: float in [0, 1). 0 keeps no average.
        **kwargs: Arguments of `keras.optimizers.Optimizer`.
    """

    def __init__(self, clip_norm=0.0, spared="none", ema_decay=0.0, **kwargs):
        super().__init__(**kwargs)
        self.clip_norm = clip_norm
        self.spared = spared
        self.ema_decay = ema_decay

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        names = [variable.path.split("/")[-1] for variable in variables]
        self.decays = [name not in _SPARED[self.spared] for name in names]
        self.jumps = [name == "codebook" for name in names]
        self.averages = []
        if self.ema_decay:
            self.averages = [
                self.add_variable_from_reference(variable, name="average")
                for variable in variables
            ]

    def apply(self, grads, trainable_variables=None):
        """Clips, then steps."""
        if self.clip_norm:
            grads = self._clipped(grads)
        self.begin_step()
        super().apply(grads, trainable_variables)

    def begin_step(self):
        """Computes once what the steps of all weights share."""
        if not self.ema_decay:
            return
        steps = ops.cast(self.iterations, "float32")
        self.renewal = 1.0 - ops.minimum(self.ema_decay, steps / (10.0 + steps))

    def _clipped(self, grads):
        # Keras would clip each replica's part, and add up afterwards.
        shared = distribution.has_replicas()
        if shared:
            grads = [None if g is None else replicas.replica_sum(g) for g in grads]
        squares = [_sum_of_squares(g) for g in grads if g is not None]
        scale = self.clip_norm / ops.maximum(ops.sqrt(sum(squares)), self.clip_norm)
        if shared:
            scale = scale / distribution.num_devices()
        return [None if g is None else g * ops.cast(scale, g.dtype) for g in grads]

    def average(self, variable, index):
        """Updates the average of a weight after this step."""
        if not self.averages:
            return
        average = self.averages[index]
        if self.jumps[index]:
            self.assign(average, variable)
            return
        if keras.backend.backend() == "tensorflow":
            kernels.approach(average, variable, self.renewal)
        else:
            self.assign_add(average, self.renewal * (variable - average))

    def get_config(self):
        return {
            **super().get_config(),
            "clip_norm": self.clip_norm,
            "spared": self.spared,
            "ema_decay": self.ema_decay,
        }


@keras.saving.register_keras_serializable(package="synergynet_tf")
class SharedLossScale(keras.optimizers.LossScaleOptimizer):
    """Loss scaling for float16 that skips a step in which any device has overflowed.

    Keras' own looks at the first device alone, whose gradients are not summed yet.
    """

    def check_finite(self, grads):
        finite = super().check_finite(grads)
        if not distribution.has_replicas():
            return finite
        return replicas.replica_sum(1.0 - ops.cast(finite, "float32")) == 0


def _sum_of_squares(x):
    if keras.backend.backend() == "tensorflow":
        return kernels.sum_of_squares(x)
    return ops.sum(ops.square(x))


@keras.saving.register_keras_serializable(package="synergynet_tf")
class CoupledSGD(_Optimizer):
    """SGD whose weight decay is part of the gradient, as in torch.

        g        = gradient + l2 * weight
        velocity = momentum * velocity - learning_rate * g
        weight   = weight + velocity

    Keras' own `weight_decay` is decoupled: it bypasses the momentum. Unlike torch's,
    the velocity holds the learning rate, which matters only where the rate changes
    within the memory of the momentum, about ten steps.

    Args:
        l2: float, at least 0. Factor of the weight that is added to the gradient.
        momentum: float in [0, 1).
        **kwargs: Arguments `clip_norm`, `spared`, `ema_decay`, and those of
            `keras.optimizers.Optimizer`.
    """

    def __init__(self, l2=0.0, momentum=0.0, **kwargs):
        super().__init__(**kwargs)
        self.l2 = l2
        self.momentum = momentum

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.momentums = []
        if self.momentum:
            self.momentums = [
                self.add_variable_from_reference(variable, name="momentum")
                for variable in variables
            ]

    def update_step(self, gradient, variable, learning_rate):
        """Adds the decay to the gradient, then steps."""
        index = self._get_variable_index(variable)
        learning_rate = ops.cast(learning_rate, variable.dtype)
        if self.decays[index]:
            gradient = gradient + self.l2 * ops.cast(variable, gradient.dtype)
        if not self.momentum:
            self.assign_sub(variable, learning_rate * gradient)
        elif keras.backend.backend() == "tensorflow":
            kernels.momentum_step(
                variable,
                self.momentums[index],
                gradient,
                learning_rate,
                self.momentum,
            )
        else:
            velocity = self.momentums[index]
            new = self.momentum * velocity - learning_rate * gradient
            self.assign(velocity, new)
            self.assign_add(variable, new)
        self.average(variable, index)

    def get_config(self):
        return {**super().get_config(), "l2": self.l2, "momentum": self.momentum}


@keras.saving.register_keras_serializable(package="synergynet_tf")
class DecoupledAdamW(_Optimizer):
    """Adam whose weight decay bypasses its moments.

        m      = beta_1 * m + (1 - beta_1) * gradient
        v      = beta_2 * v + (1 - beta_2) * gradient^2
        rate   = learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t)
        weight = (1 - learning_rate * weight_decay) * weight
        weight = weight - rate * m / (sqrt(v) + epsilon)

    Keras' own is this with a pass over the weights for every operation; TensorFlow's
    kernel makes one.

    Args:
        weight_decay: float, at least 0. A step shrinks a weight by the share
            `learning_rate * weight_decay`.
        **kwargs: Arguments `clip_norm`, `spared`, `ema_decay`, and those of
            `keras.optimizers.Optimizer`.

    Reference:
        Loshchilov and Hutter, 2019, Decoupled Weight Decay Regularization, algorithm
        2, https://arxiv.org/abs/1711.05101v3.
    """

    BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8

    def __init__(self, weight_decay=0.0, **kwargs):
        # Not Keras' own argument of this name, which it would apply as well.
        super().__init__(**kwargs)
        self.decay = weight_decay

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.momentums, self.velocities = (
            [self.add_variable_from_reference(v, name=name) for v in variables]
            for name in ("momentum", "velocity")
        )

    def begin_step(self):
        """Computes once what the steps of all weights share."""
        super().begin_step()
        step = ops.cast(self.iterations + 1, "float32")
        self.powers = ops.power(self.BETA_1, step), ops.power(self.BETA_2, step)

    def update_step(self, gradient, variable, learning_rate):
        """Decays the weight, then steps."""
        index = self._get_variable_index(variable)
        rate = ops.cast(learning_rate, variable.dtype)
        if self.decay and self.decays[index]:
            self.assign_sub(variable, rate * self.decay * variable)
        moments = self.momentums[index], self.velocities[index]
        if keras.backend.backend() == "tensorflow":
            kernels.adam_step(
                variable,
                moments,
                gradient,
                rate,
                self.powers,
                (self.BETA_1, self.BETA_2, self.EPSILON),
            )
        else:
            m, v = moments
            self.assign(m, self.BETA_1 * m + (1.0 - self.BETA_1) * gradient)
            squares = ops.square(gradient)
            self.assign(v, self.BETA_2 * v + (1.0 - self.BETA_2) * squares)
            rate = rate * ops.sqrt(1.0 - self.powers[1]) / (1.0 - self.powers[0])
            self.assign_sub(variable, rate * m / (ops.sqrt(v) + self.EPSILON))
        self.average(variable, index)

    def get_config(self):
        # Keras' own `weight_decay`, which is `None`, is replaced.
        return {**super().get_config(), "weight_decay": self.decay}


@keras.saving.register_keras_serializable(package="synergynet_tf")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule that starts from 0: `schedule(step) * min(1, (step + 1) / steps)`.

    Args:
        schedule: `keras.optimizers.schedules.LearningRateSchedule`.
        steps: int, at least 1.
    """

    def __init__(self, schedule, steps):
        super().__init__()
        self.schedule = schedule
        self.steps = steps

    def __call__(self, step):
        """Returns the learning rate of a step, from 0."""
        share = (ops.cast(step, "float32") + 1.0) / self.steps
        return self.schedule(step) * ops.minimum(share, 1.0)

    def get_config(self):
        schedule = keras.saving.serialize_keras_object(self.schedule)
        return {"schedule": schedule, "steps": self.steps}

    @classmethod
    def from_config(cls, config):
        schedule = keras.saving.deserialize_keras_object(config["schedule"])
        return cls(schedule, config["steps"])


def build_optimizer(config, steps):
    """Builds the optimizer of a training of `steps` steps.

    Args:
        config: `OptimizerConfig`.
        steps: int. Steps after which the learning rate is 0.

    Returns:
        `CoupledSGD` or `DecoupledAdamW`.
    """
    schedules = keras.optimizers.schedules
    if config.schedule == "cosine":
        schedule = schedules.CosineDecay(config.learning_rate, steps)
    else:
        schedule = schedules.PolynomialDecay(
            config.learning_rate, steps, end_learning_rate=0.0, power=config.decay_power
        )
    if warmup := min(config.warmup_steps, math.ceil(steps / 10)):
        schedule = WarmUp(schedule, warmup)
    shared = {
        "learning_rate": schedule,
        "clip_norm": config.clip_norm,
        "spared": config.spared,
        "ema_decay": config.ema_decay,
        "name": config.optimizer,
    }
    if config.optimizer == "adamw":
        return DecoupledAdamW(weight_decay=config.weight_decay, **shared)
    return CoupledSGD(l2=config.l2, momentum=config.momentum, **shared)
