"""Keras layers of SynergyNet and its baselines."""

from synergynet_tf.layers.atrous import AtrousConv2D
from synergynet_tf.layers.attention_gate import AttentionGate
from synergynet_tf.layers.conv import ConvBlock
from synergynet_tf.layers.disconx import DisConX
from synergynet_tf.layers.image_normalization import CaffeNormalization
from synergynet_tf.layers.pyramid_pooling import AtrousPyramidPooling
from synergynet_tf.layers.quantizer import VectorQuantizer
from synergynet_tf.layers.refinement import HardAttentionRefinement
from synergynet_tf.layers.stochastic_depth import StochasticDepth
from synergynet_tf.layers.transformer import LearnedPositions, TransformerBlock
from synergynet_tf.layers.upsampled_conv import UpsampledConv2D

__all__ = [
    "AtrousConv2D",
    "AtrousPyramidPooling",
    "AttentionGate",
    "CaffeNormalization",
    "ConvBlock",
    "DisConX",
    "HardAttentionRefinement",
    "LearnedPositions",
    "StochasticDepth",
    "TransformerBlock",
    "UpsampledConv2D",
    "VectorQuantizer",
]
