"""The paper's optimizer: SGD with momentum, coupled L2 and polynomial decay."""

import keras

from synergynet_tf.training import kernels


@keras.saving.register_keras_serializable(package="synergynet_tf")
class CoupledSGD(keras.optimizers.SGD):
    """SGD whose weight decay is part of the gradient, as in torch.

        g        = gradient + l2 * weight
        velocity = momentum * velocity - learning_rate * g
        weight   = weight + velocity

    Keras' own `weight_decay` is decoupled: it bypasses the momentum.

    Assumption: like torch, it decays every trainable weight: kernels, biases,
    batch-normalization scales and the codebook. Unlike torch's, the velocity holds
    the learning rate, which matters only where the rate changes within the memory of
    the momentum, about ten steps.

    Args:
        l2: float, at least 0.
        **kwargs: Arguments of `keras.optimizers.SGD`.
    """

    def __init__(self, l2=0.0, **kwargs):
        super().__init__(**kwargs)
        self.l2 = l2

    def update_step(self, gradient, variable, learning_rate):
        """Adds the decay to the gradient, then steps."""
        gradient = gradient + self.l2 * keras.ops.cast(variable, gradient.dtype)
        if keras.backend.backend() == "tensorflow" and self.momentum:
            velocity = self.momentums[self._get_variable_index(variable)]
            kernels.momentum_step(
                variable, velocity, gradient, learning_rate, self.momentum
            )
        else:
            super().update_step(gradient, variable, learning_rate)

    def get_config(self):
        return {**super().get_config(), "l2": self.l2}


def build_optimizer(config, steps):
    """Builds the optimizer of a training of `steps` steps.

    Args:
        config: `OptimizerConfig`.
        steps: int. Steps after which the learning rate is 0.

    Returns:
        `CoupledSGD`.
    """
    schedule = keras.optimizers.schedules.PolynomialDecay(
        config.learning_rate, steps, end_learning_rate=0.0, power=config.decay_power
    )
    return CoupledSGD(
        l2=config.l2, learning_rate=schedule, momentum=config.momentum, name="sgd"
    )
