"""Training: one run from its settings to its finished folder."""

from synergynet_tf.training.fit import fit

__all__ = ["fit"]
