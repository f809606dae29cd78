"""The table of methods: a row of the paper is a bottleneck and a decoder."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Method:
    """What one row of the paper's tables is made of.

    Attributes:
        bottleneck: A key of `models.bottlenecks.BOTTLENECKS`.
        decoder: A key of `models.decoders.DECODERS`.
        dilated: Whether the bottleneck is given the encoder's last stage, kept at
            stride 16 by atrous convolution.
        disconx_heads: `h_s`; 0 leaves DisConX out (Table 8).
        refinement_heads: `h_h`; 0 leaves the refinement out (Table 7).
    """

    bottleneck: str
    decoder: str = "unet"
    dilated: bool = False
    disconx_heads: int = 0
    refinement_heads: int = 0


def _synergynet(disconx_heads, refinement_heads):
    return Method(
        bottleneck="synergy",
        disconx_heads=disconx_heads,
        refinement_heads=refinement_heads,
    )


# What `models.encoders.ENCODERS` holds, for whoever must not import Keras yet.
BACKBONES = ("resnet50", "resnet101")

METHODS = {
    "r50-unet": Method(bottleneck="identity"),
    "deeplabv3plus": Method(
        bottleneck="pyramid_pooling", decoder="deeplab", dilated=True
    ),
    "r50-attunet": Method(bottleneck="identity", decoder="attention_unet"),
    "vqunet": Method(bottleneck="quantized"),
    "synergynet-2s0h": _synergynet(2, 0),
    "synergynet-2s2h": _synergynet(2, 2),
    "synergynet-2s8h": _synergynet(2, 8),
    "synergynet-8s0h": _synergynet(8, 0),
    "synergynet-8s2h": _synergynet(8, 2),
    "synergynet-8s8h": _synergynet(8, 8),
    # Assumption: the fusion row of Table 8 keeps the 2 refinement heads of the row
    # it is compared with.
    "synergynet-fusion": _synergynet(0, 2),
}


def check_method(config):
    """Looks up a model's row and checks that its heads divide its channels.

    Args:
        config: `ModelConfig`.

    Returns:
        `Method`.

    Raises:
        KeyError: If `config.name` is not in `METHODS`.
        ValueError: If `hidden_dim` is not a multiple of a number of heads, or
            `bottleneck_stride` is 32 where the encoder stays at 16.
    """
    if config.name not in METHODS:
        raise KeyError(
            f"Unknown model {config.name!r}; choose from {', '.join(sorted(METHODS))}"
        )
    method = METHODS[config.name]
    for heads in (method.disconx_heads, method.refinement_heads):
        if heads and config.hidden_dim % heads:
            raise ValueError(
                f"`hidden_dim` must be a multiple of {heads}, the heads of "
                f"{config.name}. Received: hidden_dim={config.hidden_dim}"
            )
    if method.dilated and config.bottleneck_stride != 16:
        raise ValueError(
            f"`bottleneck_stride` must be 16 for {config.name}, whose encoder stays "
            f"at that. Received: bottleneck_stride={config.bottleneck_stride}"
        )
    return method
