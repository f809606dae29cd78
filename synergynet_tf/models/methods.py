"""Methods and backbones: one line for each row of the paper.

Without Keras, so that a command line is checked before that is imported.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Backbone:
    """An encoder.

    Attributes:
        family: The module of `models` that has the function of its name.
        channels: Number of channels of its `P1` to `P5`.
    """

    family: str
    channels: tuple[int, int, int, int, int]


@dataclasses.dataclass(frozen=True)
class Method:
    """Composition of a method: a row of the paper's tables.

    Attributes:
        bottleneck: A key of `models.bottlenecks.BOTTLENECKS`.
        decoder: A key of `models.decoders.DECODERS`.
        dilated: Whether the bottleneck is given the encoder's last stage, kept at
            stride 16 by atrous convolution.
        disconx_heads: `h_s`; 0 leaves DisConX out (Table 8).
        refinement_heads: `h_h`; 0 leaves the refinement out (Table 7).
        transformer_heads: Heads of each block of the transformer, if there is one; 0 is
            ViT's choice, a head for every 64 channels.
    """

    bottleneck: str
    decoder: str = "unet"
    dilated: bool = False
    disconx_heads: int = 0
    refinement_heads: int = 0
    transformer_heads: int = 0

    @property
    def has_codebook(self):
        """Whether `num_codes` and how codes are learned change anything."""
        return self.bottleneck in ("quantized", "quantized_vit", "synergy")

    @property
    def has_attention(self):
        """Whether `attention` changes anything."""
        return bool(self.disconx_heads or self.refinement_heads)

    @property
    def has_hidden_dim(self):
        """Whether `hidden_dim` changes anything."""
        return self.has_codebook or self.bottleneck == "vit"

    @property
    def takes_vit_weights(self):
        """Whether it has a transformer with ViT's own heads, so that they fit."""
        return self.bottleneck == "vit" and not self.transformer_heads


def _synergynet(disconx_heads, refinement_heads):
    return Method(
        bottleneck="synergy",
        disconx_heads=disconx_heads,
        refinement_heads=refinement_heads,
    )


def _transvqunet(transformer_heads, refinement_heads):
    """A row of TransVQUNet, "a combination of VQUNet and TransUNet" (section 3).

    Assumption: the paper does not explain the two numbers of these rows. They are
    read as SynergyNet's: `s` heads of soft attention, which here is the
    transformer's, and `h` heads of a refinement of the transformer's output. The
    alternative is that the second number means nothing here: no refinement.
    """
    return Method(
        bottleneck="quantized_vit",
        transformer_heads=transformer_heads,
        refinement_heads=refinement_heads,
    )


BACKBONES = {
    "resnet18": Backbone("resnet", (64, 64, 128, 256, 512)),
    "resnet34": Backbone("resnet", (64, 64, 128, 256, 512)),
    "resnet50": Backbone("resnet", (64, 256, 512, 1024, 2048)),
    "resnet101": Backbone("resnet", (64, 256, 512, 1024, 2048)),
    "efficientnetb0": Backbone("efficientnet", (16, 24, 40, 112, 320)),
    "efficientnetb7": Backbone("efficientnet", (32, 48, 80, 224, 640)),
    "efficientnetlite0": Backbone("efficientnet", (16, 24, 40, 112, 320)),
}

METHODS = {
    "r50-unet": Method(bottleneck="identity"),
    "deeplabv3plus": Method(
        bottleneck="pyramid_pooling", decoder="deeplab", dilated=True
    ),
    "r50-attunet": Method(bottleneck="identity", decoder="attention_unet"),
    "r50-vit": Method(bottleneck="vit", decoder="upsample"),
    "transunet": Method(bottleneck="vit"),
    "vqunet": Method(bottleneck="quantized"),
    "transvqunet-2s2h": _transvqunet(2, 2),
    "transvqunet-8s2h": _transvqunet(8, 2),
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


def without_unused(config):
    """Returns a `ModelConfig` with settings that its method ignores at the defaults.

    So a setting that rows of several methods share is left out where it has no meaning,
    as the command line requires.

    Args:
        config: `ModelConfig` of a name in `METHODS`.
    """
    method, defaults = METHODS[config.name], type(config)()
    used = {
        "num_codes": method.has_codebook,
        "hidden_dim": method.has_hidden_dim,
        "attention": method.has_attention,
        "vit_weights": method.takes_vit_weights,
    }
    unused = {name: getattr(defaults, name) for name, fit in used.items() if not fit}
    return dataclasses.replace(config, **unused)


def check_method(config):
    """Looks up a model's row and checks that the settings fit it.

    Args:
        config: `ModelConfig`.

    Returns:
        `Method`.

    Raises:
        KeyError: If `config.name` is not in `METHODS`.
        ValueError: If `hidden_dim` or `vit_dim` is not a multiple of the heads that
            share it, `bottleneck_stride` is 32 where the encoder stays at 16, or
            the weights of a ViT are given to a method that has none.
    """
    if config.name not in METHODS:
        raise KeyError(
            f"Unknown model {config.name!r}; choose from {', '.join(sorted(METHODS))}"
        )
    method = METHODS[config.name]
    for dim, heads in (
        ("hidden_dim", method.disconx_heads),
        ("hidden_dim", method.refinement_heads),
        ("vit_dim", method.transformer_heads),
    ):
        if heads and getattr(config, dim) % heads:
            raise ValueError(
                f"`{dim}` must be a multiple of {heads}, the heads of {config.name}. "
                f"Received: {dim}={getattr(config, dim)}"
            )
    if method.dilated and config.bottleneck_stride != 16:
        raise ValueError(
            f"`bottleneck_stride` must be 16 for {config.name}, whose encoder stays "
            f"at that. Received: bottleneck_stride={config.bottleneck_stride}"
        )
    if config.vit_weights != "none" and not method.takes_vit_weights:
        takers = [name for name, row in METHODS.items() if row.takes_vit_weights]
        raise ValueError(
            f"--vit-weights is for {' and '.join(takers)}, which have ViT's own "
            f"transformer; leave it out for {config.name}. "
            f"Received: {config.vit_weights}"
        )
    return method
