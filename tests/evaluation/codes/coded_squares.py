"""A model whose codes, attention and labels are known by construction.

Images are 32 pixels wide, positions 8. A position's feature is its mean brightness;
the codes stand at 0, 0.5, 1 and 10. The logit is the code's vector less one quarter:
black is background, gray and white are the class.
"""

import keras
import numpy as np

from synergynet_tf.evaluation.codes.model import CodeModel, code_case
from synergynet_tf.layers import DisConX, HardAttentionRefinement, VectorQuantizer

SIZE, STRIDE = 32, 8
CODES = (0.0, 0.5, 1.0, 10.0)


def build_model(attention=False):
    """Returns the model; with `attention` DisConX and the refinement add nothing."""
    image = keras.Input((SIZE, SIZE, 3))
    features = keras.layers.AveragePooling2D(STRIDE)(image)[..., :1]
    quantizer = VectorQuantizer(len(CODES), name="quantizer")
    vectors = quantizer(features)
    quantizer.codebook.assign(np.array(CODES)[:, None])
    x = vectors
    if attention:
        cross, refinement = DisConX(1), HardAttentionRefinement(1)
        x = keras.layers.Add()([x, cross(vectors, features)])
        x = keras.layers.Add()([x, refinement(x)])
        for layer in (cross, refinement):
            for weight in layer.weights:
                weight.assign(np.zeros(weight.shape))
    x = keras.layers.UpSampling2D(STRIDE)(x)
    skip = keras.layers.Lambda(lambda t: 0.0 * t[..., :1] - 0.25)(image)
    return keras.Model(image, keras.layers.Add(name="logits")([x, skip]))


def draw(*grids):
    """Returns images of these brightnesses, 4 x 4 each: `(n, S, S, 3)`."""
    squares = np.kron(np.array(grids, np.float32), np.ones((1, STRIDE, STRIDE)))
    return np.repeat(squares[..., None], 3, axis=-1).astype(np.float32)


def make_case(images, labels, name="a", attention=False, watch=lambda found: None):
    """Returns a model, and what it finds in a case."""
    model = CodeModel(build_model(attention))
    return model, code_case(model, name, name, images, labels, watch)
