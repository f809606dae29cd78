"""Position embeddings: where a token stands, which attention alone cannot tell."""

import keras
import numpy as np
from keras import ops


def sine_cosine_positions(height, width, channels):
    """Returns the fixed 2-D sine-cosine embedding of a grid.

    The first half of the channels tells the row, the second the column, each by sines
    and cosines of `place / 10000^(i / n)`, `i` from 0 to `n - 1`, where `n` is a
    quarter of the channels (rounded up; what is too many is cut off). Values are
    scaled by `sqrt(2)`, so that their mean square is 1.

    Args:
        height: int. Rows of the grid.
        width: int. Columns of the grid.
        channels: int.

    Returns:
        float32 array `(height * width, channels)`, row by row.

    Reference:
        Vaswani et al., 2017, Attention Is All You Need, section 3.5,
        https://arxiv.org/abs/1706.03762: of one axis.
        Dosovitskiy et al., 2021, https://arxiv.org/abs/2010.11929v2, appendix D.4:
        half of the channels for each of two.
    """
    count = -(-channels // 4)
    frequencies = 10000.0 ** -(np.arange(count) / count)
    places = np.indices((height, width)).reshape(2, -1, 1)
    angles = places * frequencies
    parts = [f(axis) for axis in angles for f in (np.sin, np.cos)]
    embedding = np.sqrt(2.0) * np.concatenate(parts, axis=-1)
    return embedding[:, :channels].astype("float32")


@keras.saving.register_keras_serializable(package="synergynet_tf")
class LearnedPositions(keras.layers.Layer):
    """Adds a learned vector to each position of a grid, then drops out.

    Args:
        dropout: float in [0, 1). Share of the sums set to 0 in training; 0.1 is
            TransUNet's.
        **kwargs: Base layer arguments (`name`, `dtype`).

    Input shape: `(batch, height, width, channels)`, of which only `batch` may be
        unknown.
    Output shape: the input's.

    Raises:
        ValueError: If `dropout` is not in [0, 1), or the input's height, width or
            channels are not known when the layer is built.

    Example:
    >>> tuple(LearnedPositions()(keras.ops.ones((1, 7, 7, 16))).shape)
    (1, 7, 7, 16)

    Reference:
        Dosovitskiy et al., 2021, An Image is Worth 16x16 Words, section 3.1, eq. 1,
        https://arxiv.org/abs/2010.11929v2.
    """

    def __init__(self, dropout=0.1, **kwargs):
        if not 0 <= dropout < 1:
            raise ValueError(
                f"`dropout` must be in [0, 1). Received: dropout={dropout}"
            )
        super().__init__(**kwargs)
        self.dropout = dropout

    def build(self, input_shape):
        if None in input_shape[1:]:
            raise ValueError(
                "Height, width and channels of the input must be known. "
                f"Received: input_shape={input_shape}"
            )
        self.embedding = self.add_weight(
            name="embedding",
            shape=input_shape[1:],
            initializer=keras.initializers.RandomNormal(stddev=0.02),
        )
        self.seed_generator = keras.random.SeedGenerator()
        self.built = True

    def call(self, inputs, training=None):
        x = inputs + ops.convert_to_tensor(self.embedding)
        if training and self.dropout:
            x = keras.random.dropout(x, self.dropout, seed=self.seed_generator)
        return x

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "dropout": self.dropout}
