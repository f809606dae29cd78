"""Grad-CAM at the bottleneck: where a method finds evidence for a class.

For the features `A` of the bottleneck, `(h, w, K)`, and the score `s` of a class:

    alpha_k = mean over positions of ds / dA_k
    map     = relu(sum_k alpha_k A_k)

(arXiv:1610.02391v4, section 3). In segmentation `s` is the sum of the class's logits
over the pixels that were given to it (Seg-Grad-CAM, Vinogradova, Dibrov and Myers,
2020).

Keras has no gradients that every backend knows; it has training. So zeros are added to
`A` that can be trained, and nothing else can: one step of gradient descent at rate 1
on `-s` leaves `ds / dA` in their place.
"""

from __future__ import annotations

import keras
import numpy as np

from synergynet_tf.data.preprocess import to_labels
from synergynet_tf.models import BOTTLENECK


class GradCam:
    """Grad-CAM of one model, image by image.

    Assumption: the maps are of the features that the bottleneck hands to the decoder,
    after SynergyNet's refinement and post-quantization block; the paper's Fig. 2 does
    not say of which layer it is.

    What reaches the logits by the decoder's skips is not seen.

    Args:
        model: `keras.Model` from images `(n, S, S, 3)` to logits `(n, S, S, C)`; its
            weights are frozen and stay as they are.
    """

    def __init__(self, model: keras.Model) -> None:
        self._features = keras.Model(
            model.input, [model.get_layer(BOTTLENECK).output, model.output]
        )
        model.trainable = False
        self._offset = _Offset(name="offset")
        self._shifted = _Inference(_insert(self._offset, model))
        self._shifted.compile(
            keras.optimizers.SGD(1.0),
            _negative_score,
            # XLA, the default, makes TensorFlow's convolutions slower on a CPU.
            jit_compile=keras.backend.backend() != "tensorflow",
        )

    def __call__(self, image: np.ndarray) -> dict[int, np.ndarray]:
        """Returns the map of each class that the model finds in an image.

        Args:
            image: Image on the network's grid, float32 `(S, S, 3)`.

        Returns:
            By label, from 1: float32 `(h, w)`, at least 0, in units of the score. A
            class without a pixel has no score, and no map.
        """
        images = image[None]
        features, logits = map(
            keras.ops.convert_to_numpy, self._features(images, training=False)
        )
        labels = to_labels(logits)
        maps = {}
        for label in np.unique(labels[labels > 0]).tolist():
            # A single class has one channel, its own.
            channel = label if logits.shape[-1] > 1 else 0
            pixels = np.zeros_like(logits)
            pixels[..., channel] = labels == label
            alpha = self._gradient(images, pixels).mean(axis=(1, 2), keepdims=True)
            maps[label] = np.maximum((alpha * features).sum(axis=-1), 0)[0]
        return maps

    def _gradient(self, images: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """Returns `ds / dA`, `(1, h, w, K)`."""
        offset = self._offset.offset
        offset.assign(np.zeros(offset.shape, "float32"))
        self._shifted.train_on_batch(images, pixels)
        return keras.ops.convert_to_numpy(offset)


class _Offset(keras.layers.Layer):
    """Adds zeros that can be trained."""

    def build(self, features_shape: tuple[int | None, ...]) -> None:
        self.offset = self.add_weight(
            shape=(1, *features_shape[1:]), initializer="zeros", name="offset"
        )

    def call(self, features: keras.KerasTensor) -> keras.KerasTensor:
        return features + self.offset


class _Inference(keras.Model):
    """A model that computes as in inference, also while it is trained."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__(name="inference")
        self.model = model

    def call(self, images: keras.KerasTensor) -> keras.KerasTensor:
        return self.model(images, training=False)


def _insert(layer: keras.layers.Layer, model: keras.Model) -> keras.Model:
    """Returns a model of the same layers with another behind the bottleneck."""

    def call(
        own: keras.layers.Layer, *args: object, **kwargs: object
    ) -> keras.KerasTensor:
        outputs = own(*args, **kwargs)
        return layer(outputs) if own.name == BOTTLENECK else outputs

    return keras.models.clone_model(
        model, clone_function=lambda own: own, call_function=call
    )


def _negative_score(
    pixels: keras.KerasTensor, logits: keras.KerasTensor
) -> keras.KerasTensor:
    return -keras.ops.sum(pixels * logits)
