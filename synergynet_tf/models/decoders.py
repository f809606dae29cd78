"""Decoders: the bottleneck's features, and the encoder's, to the image's size."""

from synergynet_tf.layers import AttentionGate, ConvBlock

# Assumption: filters at 1/16, 1/8, 1/4, 1/2 and 1/1 of the image. The last four are
# TransUNet's (arXiv:2102.04306v1, its code's decoder_channels); the paper says only
# that the decoder is as deep as the encoder. The first serves stride 32.
_FILTERS = {4: 512, 3: 256, 2: 128, 1: 64, 0: 16}


def unet(x, features, config):
    """U-Net's decoder: double the size, join the skip, two convolution blocks.

    Assumption: doubling is bilinear, as TransUNet's, but with half-pixel centers, as
    TensorFlow and OpenCV resize; TransUNet's code puts corners on corners.

    Args:
        x: Bottleneck output `(batch, S / stride, S / stride, channels)`.
        features: dict of the encoder's `"P1"` to `"P5"`.
        config: `ModelConfig`.

    Returns:
        `(batch, S, S, 16)`.
    """
    return _unet(x, config, lambda level, coarser: features[f"P{level}"])


def attention_unet(x, features, config):
    """U-Net's decoder with an attention gate on each skip but the shallowest.

    The gating signal is the decoder's own output one level deeper. Args and returns
    are those of `unet`.

    Assumption: the first skip is not gated, as Attention U-Net says
    (arXiv:1804.03999v3): its features are not yet high-dimensional. That paper's
    deep supervision is left out: the loss is one for all methods.
    """

    def gated(level, coarser):
        if level == 1:
            return features["P1"]
        gate = AttentionGate(name=f"decoder_{level}_gate")
        return gate(features[f"P{level}"], coarser)

    return _unet(x, config, gated)


def deeplab(x, features, config):
    """DeepLabV3+'s decoder (arXiv:1802.02611v3, section 3.1 and 4.1).

    Four times the size, joined with `P2` in 48 channels, two convolution blocks of
    256. The logits are upsampled to the image's size after the head, as there.

    Args:
        x: Bottleneck output `(batch, S / 16, S / 16, channels)`.
        features: dict of the encoder's `"P1"` to `"P5"`.
        config: `ModelConfig`.

    Returns:
        `(batch, S / 4, S / 4, 256)`.
    """
    skip = ConvBlock(48, kernel_size=1, name="decoder_2_skip")(features["P2"])
    x = ConvBlock(256, upsampling=4, name="decoder_2_1")(x, skip)
    return ConvBlock(256, name="decoder_2_2")(x)


def upsample(x, features, config):
    """R50-ViT's decoder: U-Net's without the skips (arXiv:2102.04306v1, 3.2)."""
    return _unet(x, config, None)


DECODERS = {
    "unet": unet,
    "attention_unet": attention_unet,
    "deeplab": deeplab,
    "upsample": upsample,
}


def _unet(x, config, skip):
    """U-Net's decoder with `skip(level, coarser)`, `coarser` one level deeper.

    Without skips where `skip` is `None`.
    """
    deepest = {16: 3, 32: 4}[config.bottleneck_stride]
    for level in range(deepest, -1, -1):
        beside = skip(level, x) if skip and level > 0 else None
        filters = _FILTERS[level]
        x = ConvBlock(filters, upsampling=2, name=f"decoder_{level}_1")(x, beside)
        x = ConvBlock(filters, name=f"decoder_{level}_2")(x)
    return x
