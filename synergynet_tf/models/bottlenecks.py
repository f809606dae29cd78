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
    LearnedPositions,
    TransformerBlock,
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
        disconx = DisConX(method.disconx_heads, _is_normalized(config), name="disconx")
        parts.append(disconx(z_dis, z_con))
    z_f = keras.layers.Add(name="fusion")(parts)
    if method.refinement_heads:
        z_f = _refined(z_f, method, config)
    return _two_blocks(z_f, config.hidden_dim, "post_quantization")


def vit(features, method, config):
    """The transformer of R50-ViT and TransUNet (arXiv:2102.04306v1, section 3.2).

    Each position is a token: ViT's patches of one pixel, taken from features.
    """
    x = keras.layers.Conv2D(config.vit_dim, 1, name="vit_embedding")(features)
    x = LearnedPositions(name="vit_positions")(x)
    heads = method.transformer_heads or config.vit_dim // 64
    for number in range(config.vit_layers):
        x = TransformerBlock(heads, name=f"vit_block_{number}")(x)
    x = keras.layers.LayerNormalization(epsilon=1e-6, name="vit_normalization")(x)
    return ConvBlock(config.hidden_dim, name="vit_output")(x)


def quantized_vit(features, method, config):
    """Pre-quantization block, Quantizer, transformer, refinement: TransVQUNet."""
    z_con = _two_blocks(features, config.hidden_dim, "pre_quantization")
    z_dis = _quantizer(config)(z_con)
    return _refined(vit(z_dis, method, config), method, config)


BOTTLENECKS = {
    "identity": identity,
    "pyramid_pooling": pyramid_pooling,
    "quantized": quantized,
    "quantized_vit": quantized_vit,
    "synergy": synergy,
    "vit": vit,
}


def _two_blocks(x, filters, name):
    """The pre- or post-quantization block: two convolution blocks (section 3)."""
    for number in (1, 2):
        x = ConvBlock(filters, name=f"{name}_{number}")(x)
    return x


def _refined(x, method, config):
    """Adds what the refinement makes of `x` (section 2.2.2)."""
    refinement = HardAttentionRefinement(
        method.refinement_heads, _is_normalized(config), name="refinement"
    )
    return keras.layers.Add(name="refined")([x, refinement(x)])


def _is_normalized(config):
    return config.attention == "normalized"


def _quantizer(config):
    return VectorQuantizer(
        num_codes=config.num_codes,
        commitment_cost=config.commitment_cost,
        restart_every=config.restart_every,
        initialization=config.vq_init,
        update=config.vq_update,
        estimator=config.vq_estimator,
        distance=config.vq_distance,
        loss=config.vq_loss,
        name="quantizer",
    )
