"""A model that builds in a second, and which methods show every part of one."""

from synergynet_tf.config import ModelConfig
from synergynet_tf.models import METHODS

TINY = ModelConfig(
    image_size=32,
    hidden_dim=16,
    num_codes=16,
    vit_layers=1,
    vit_dim=64,
    encoder_weights="none",
    num_classes=3,
)
# A method for each pair of bottleneck and decoder, the first of METHODS.
EACH_KIND = {(m.bottleneck, m.decoder): n for n, m in reversed(METHODS.items())}
