"""Bottlenecks: what a method does to the encoder's deepest features.

Each is a function of the features, the method's row and the config, and returns
features of the same height and width.
"""

import keras

from synergynet_tf.layers import (
    AtrousPyramidPooling,
    ConvBlock,
    DisConX,
    HardAttentionRefinement,
    VectorQuantizer,
)


def identity(features, method, config):
    """Leaves the features as they are: R50-UNet."""
    return features


def pyramid_pooling(features, method, config):
    """Atrous spatial pyramid pooling: DeepLabV3+, whose 256 channels it has."""
    return AtrousPyramidPooling(name="pyramid_pooling")(features)


def quantized(features, method, config):
    """Pre-quantization block, Quantizer, post-quantization block: VQUNet."""
    z_con = _two_blocks(features, config.hidden_dim, "pre_quantization")
    z_dis = _quantizer(config)(z_con)
    return _two_blocks(z_dis, config.hidden_dim, "post_quantization")


def synergy(features, method, config):
    """The bottleneck of SynergyNet (paper, section 2.2 and Fig. 1c).

    `h_s = 0` leaves DisConX out of the fusion (Table 8), `h_h = 0` the refinement
    (Table 7).
    """
    z_con = _two_blocks(features, config.hidden_dim, "pre_quantization")
    z_dis = _quantizer(config)(z_con)
    parts = [z_dis, z_con]
    if method.disconx_heads:
        parts.append(DisConX(method.disconx_heads, name="disconx")(z_dis, z_con))
    z_f = keras.layers.Add(name="fusion")(parts)
    if method.refinement_heads:
        refinement = HardAttentionRefinement(method.refinement_heads, name="refinement")
        z_f = keras.layers.Add(name="refined")([z_f, refinement(z_f)])
    return _two_blocks(z_f, config.hidden_dim, "post_quantization")


BOTTLENECKS = {
    "identity": identity,
    "pyramid_pooling": pyramid_pooling,
    "quantized": quantized,
    "synergy": synergy,
}


def _two_blocks(x, filters, name):
    """The pre- or post-quantization block: two convolution blocks (section 3)."""
    for number in (1, 2):
        x = ConvBlock(filters, name=f"{name}_{number}")(x)
    return x


def _quantizer(config):
    return VectorQuantizer(
        num_codes=config.num_codes,
        commitment_cost=config.commitment_cost,
        restart_every=config.restart_every,
        name="quantizer",
    )
