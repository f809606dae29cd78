"""Inference model of a run, with folded batch normalizations."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from synergynet_tf.metrics import codebook_usage
from synergynet_tf.models import check_method, quantizers
from synergynet_tf.models.folding import fold_normalizations
from synergynet_tf.models.outputs import with_codes
from synergynet_tf.models.weights import load_weights
from synergynet_tf.runs import CONFIG, Run


def load_run_model(run: Run) -> keras.Model:
    """Rebuilds a run's model in float32, with its best weights.

    Raises:
        FileNotFoundError: If the folder lacks its config or weights.
        ValueError: If they are damaged or do not belong together.
    """
    config, path = run.config.model, run.weights()
    try:
        check_method(config)
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"{run.path / CONFIG} cannot be used: {error.args[0]}"
        ) from error
    return load_weights(config, path)


class Predictor:
    """A segmentation model that counts the codes it uses while it predicts.

    The model is its own from then on: batch normalizations are folded, and what is left
    of it only predicts.

    Logits and codes come from one graph, compiled for one number of images: the first
    batch's. A shorter one is filled up with black images, which are neither returned
    nor counted; a longer one is compiled for anew. So a single photograph costs no
    more than itself, and the last of many costs a batch instead of a compilation.

    Args:
        model: `keras.Model` from images `(n, S, S, 3)` to logits `(n, S, S, C)`; is
            changed.
    """

    def __init__(self, model: keras.Model) -> None:
        codebooks = [layer.num_codes for layer in quantizers(model)]
        self._uses = np.zeros(codebooks[0], np.int64) if codebooks else None
        self._batch_size = 0
        fold_normalizations(model)
        self._model = with_codes(model)
        # XLA, the default, makes TensorFlow's convolutions slower on a CPU.
        self._model.compile(jit_compile=keras.backend.backend() != "tensorflow")

    def predict_on_batch(self, images: np.ndarray) -> np.ndarray:
        """Returns the logits of a batch, and counts its codes."""
        outputs = self._outputs(images)
        if self._uses is not None:
            codes = outputs["codes"].ravel()
            self._uses += np.bincount(codes, minlength=len(self._uses))
        return outputs["logits"]

    def code_maps(self, images: np.ndarray) -> np.ndarray | None:
        """Returns the codes `(n, height, width)` of a batch, and counts none.

        `None` for a model that does not quantize.
        """
        return None if self._uses is None else self._outputs(images)["codes"]

    def _outputs(self, images: np.ndarray) -> dict[str, np.ndarray]:
        count = len(images)
        self._batch_size = max(self._batch_size, count)
        black = np.zeros((self._batch_size - count, *images.shape[1:]), images.dtype)
        outputs = self._model.predict_on_batch(np.concatenate([images, black]))
        return {name: array[:count] for name, array in outputs.items()}

    def codes(self) -> dict[str, Any] | None:
        """Says how many codes the predictions so far have used.

        Returns:
            `used`, `total` and `perplexity`, which is `used` when all used codes
            are used alike; `None` for a model that does not quantize.
        """
        if self._uses is None:
            return None
        used, perplexity = codebook_usage(self._uses)
        return {"used": used, "total": len(self._uses), "perplexity": perplexity}
