"""A run's model, rebuilt to predict."""

from __future__ import annotations

import pathlib
from typing import Any

import keras
import numpy as np

from synergynet_tf import runs
from synergynet_tf.metrics import codebook_usage
from synergynet_tf.models import quantizers
from synergynet_tf.models.weights import load_weights


def load_run_model(run: str | pathlib.Path) -> keras.Model:
    """Rebuilds a run's model in float32, with its best weights.

    Raises:
        FileNotFoundError: If the folder lacks its config or weights.
        ValueError: If they are damaged or do not belong together.
    """
    return load_weights(runs.read_config(run).model, runs.require_weights(run))


class Predictor:
    """A segmentation model that counts the codes it uses while it predicts.

    Args:
        model: `keras.Model` from images `(n, S, S, 3)` to logits `(n, S, S, C)`.
    """

    def __init__(self, model: keras.Model) -> None:
        layers = quantizers(model)
        self._quantizer = layers[0] if layers else None
        self._uses = np.zeros(layers[0].num_codes if layers else 0, np.int64)
        features = [layer.input for layer in layers[:1]]
        self._model = keras.Model(model.inputs, [model.output, *features])
        # XLA, the default, makes TensorFlow's convolutions slower on a CPU.
        self._model.compile(jit_compile=keras.backend.backend() != "tensorflow")

    def predict_on_batch(self, images: np.ndarray) -> np.ndarray:
        """Returns the logits of a batch, and counts its codes."""
        outputs = self._model.predict_on_batch(images)
        if self._quantizer is None:
            return outputs
        logits, features = outputs
        codes = keras.ops.convert_to_numpy(self._quantizer.encode(features))
        self._uses += np.bincount(codes.ravel(), minlength=len(self._uses))
        return logits

    def codes(self) -> dict[str, Any] | None:
        """Says how many codes the predictions so far have used.

        Returns:
            `used`, `total` and `perplexity`, which is `used` when all used codes
            are used alike; `None` for a model that does not quantize.
        """
        if self._quantizer is None:
            return None
        used, perplexity = codebook_usage(self._uses)
        return {"used": used, "total": len(self._uses), "perplexity": perplexity}
