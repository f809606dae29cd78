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
# One method for each set of layers; the others have the same, with more or fewer heads.
EACH_SET_OF_LAYERS = {
    (m.bottleneck, m.decoder, m.disconx_heads > 0, m.refinement_heads > 0): name
    for name, m in reversed(METHODS.items())
}.values()
