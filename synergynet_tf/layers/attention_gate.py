"""Attention gate of skip connections (Attention U-Net)."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="synergynet_tf")
class AttentionGate(keras.layers.Layer):
    """Attention gate: from a coarse gating signal `g` to a skip connection `x`.

    Additive attention:

        q      = psi . relu(W_x x + W_g g + b_g) + b_psi
        alpha  = sigmoid(q), bilinearly upsampled to the skip's size
        output = alpha * x

    with a vector of half the skip's channels inside the ReLU.

    Assumption: the gate works on the coarse grid, as in section 2.2 and Fig. 2 of
    Attention U-Net: `W_x` strides by 2, and the coefficients are upsampled. A common
    variant brings `g` to the skip's grid instead, at four times the cost.

    Assumption: `W_x` is 2x2, so that it sees every position of the skip, and the gated
    skip gets no transformation of its own. The first is the authors' code's; the
    second is the paper's, to which that code adds a convolution.

    Input shape: two tensors, the skip `(batch, 2 * height, 2 * width, channels)`,
        of at least 2 channels, and the gating signal `(batch, height, width, any)`.
    Output shape: the skip's.

    Raises:
        ValueError: If the skip is not twice as high and wide as the gating signal,
            or has fewer than 2 channels.

    Example:
    >>> skip, gating = keras.ops.ones((1, 14, 14, 8)), keras.ops.ones((1, 7, 7, 16))
    >>> tuple(AttentionGate()(skip, gating).shape)
    (1, 14, 14, 8)

    Reference: Oktay et al., Attention U-Net, arXiv:1804.03999v3, section 2.2, eq. 1
        and 2.
    """

    def build(self, skip_shape, gating_shape):
        channels = skip_shape[-1]
        if list(skip_shape[1:3]) != [size and 2 * size for size in gating_shape[1:3]]:
            raise ValueError(
                "The skip must be twice as high and wide as the gating signal. "
                f"Received: skip {skip_shape}, gating {gating_shape}"
            )
        if channels is None or channels < 2:
            raise ValueError(
                f"The skip must have at least 2 channels. Received: skip {skip_shape}"
            )
        self.skip_projection = self._projection("skip", channels // 2, 2)
        self.gating_projection = self._projection("gating", channels // 2)
        self.psi = self._projection("psi", 1)
        self.double = keras.layers.UpSampling2D(
            2, interpolation="bilinear", dtype=self.dtype_policy, name="double"
        )
        self.skip_projection.build(skip_shape)
        self.gating_projection.build(gating_shape)
        self.psi.build((*gating_shape[:-1], channels // 2))
        self.built = True

    def coefficients(self, skip, gating):
        """Returns alpha, in (0, 1): `(batch, 2 * height, 2 * width, 1)`."""
        hidden = ops.relu(self.skip_projection(skip) + self.gating_projection(gating))
        return self.double(ops.sigmoid(self.psi(hidden)))

    def call(self, skip, gating):
        return self.coefficients(skip, gating) * skip

    def compute_output_shape(self, skip_shape, gating_shape):
        return skip_shape

    def _projection(self, name, filters, stride=1):
        """A linear map of the channels; the skip's needs no second `b_g`."""
        return keras.layers.Conv2D(
            filters,
            stride,
            strides=stride,
            use_bias=name != "skip",
            dtype=self.dtype_policy,
            name=name,
        )
