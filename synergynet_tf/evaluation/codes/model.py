"""A run's model split at its codes, and the cases of the run encoded by it."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator

import keras
import numpy as np

from synergynet_tf.data.preprocess import to_labels
from synergynet_tf.evaluation.cases import RunCases
from synergynet_tf.evaluation.predict import BATCH_SIZE
from synergynet_tf.models import quantizers
from synergynet_tf.models.folding import fold_normalizations
from synergynet_tf.models.outputs import split_at_codes


@dataclasses.dataclass(frozen=True, eq=False)
class Bottleneck:
    """Codes, features and attention of the bottleneck, for `n` images.

    Attributes:
        codes: The nearest code of each position, `(n, height, width)`.
        distances: Distance of each position's features to its code, in the space in
            which the layer compares them.
        runners_up: The second nearest code of each position, which replaces the nearest
            when that is switched off.
        carried: Other inputs of the rest of the model, besides the codes.
        attention: DisConX's weights `(n, heads, tokens, tokens)`, or `None`.
        picks: The token that the hard attention picks for each, `(n, heads, tokens)`,
            or `None`.
    """

    codes: np.ndarray
    distances: np.ndarray
    runners_up: np.ndarray
    carried: list[np.ndarray]
    attention: np.ndarray | None
    picks: np.ndarray | None


class CodeModel:
    """A segmentation model split at its codes.

    As in `Predictor`, batch normalizations are folded and batches filled up to one
    size, so that each half is compiled once.

    Args:
        model: `keras.Model` with a codebook; is changed.

    Attributes:
        model: The whole model.
        vectors: The codes as they are compared, `(num_codes, channels)`.
    """

    def __init__(self, model: keras.Model) -> None:
        fold_normalizations(model)
        self.model = model
        (quantizer,) = quantizers(model)
        vectors = quantizer.to_compare(quantizer.codebook)
        self.vectors = np.array(keras.ops.convert_to_numpy(vectors))
        self._before, self._after = split_at_codes(model)
        for half in (self._before, self._after):
            half.compile(jit_compile=keras.backend.backend() != "tensorflow")

    def encode(self, images: np.ndarray) -> Bottleneck:
        """Computes the bottleneck of at most `BATCH_SIZE` images `(n, S, S, 3)`."""
        count = len(images)
        outputs = self._before.predict_on_batch(fill(images))
        codes = np.asarray(outputs["codes"][:count])
        distances, runners_up = self._compare(outputs["features"][:count], codes)
        attention, picks = outputs.get("attention"), outputs.get("picks")
        return Bottleneck(
            codes=codes,
            distances=distances,
            runners_up=runners_up,
            carried=[np.asarray(array[:count]) for array in outputs["carried"]],
            attention=None if attention is None else np.asarray(attention[:count]),
            picks=None if picks is None else np.argmax(picks[:count], axis=-1),
        )

    def decode(self, codes: np.ndarray, carried: list[np.ndarray]) -> np.ndarray:
        """Returns the logits `(n, S, S, C)` of at most `BATCH_SIZE` grids of codes."""
        inputs = [fill(array) for array in (self.vectors[codes], *carried)]
        return np.asarray(self._after.predict_on_batch(inputs)[: len(codes)])

    def _compare(
        self, features: np.ndarray, codes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the distances to the codes, and the second nearest codes."""
        # Taken from the codebook's mean, as in the layer: it keeps the digits.
        center = self.vectors.mean(axis=0, dtype=np.float64)
        table = self.vectors - center
        vectors = np.reshape(features, (-1, table.shape[1])) - center
        squares = (
            np.square(vectors).sum(axis=1)[:, None]
            - 2 * vectors @ table.T
            + np.square(table).sum(axis=1)
        )
        rows, own = np.arange(len(vectors)), codes.ravel()
        distances = np.sqrt(np.maximum(squares[rows, own], 0))
        squares[rows, own] = np.inf
        runners_up = squares.argmin(axis=1)
        return distances.reshape(codes.shape), runners_up.reshape(codes.shape)


def fill(array: np.ndarray) -> np.ndarray:
    """Repeats the last entry until there are `BATCH_SIZE`."""
    return np.pad(
        array,
        [(0, BATCH_SIZE - len(array)), *[(0, 0)] * (array.ndim - 1)],
        mode="edge",
    )


@dataclasses.dataclass(frozen=True, eq=False)
class CodedCase:
    """A case on the network's grid, and its codes.

    Attributes:
        case_id: Case ID of the dataset.
        patient: ID of the case's patient.
        pictures: Images to draw, uint8 RGB `(slices, S, S, 3)`.
        labels: The ground truth, uint8 `(slices, S, S)`.
        pred_labels: The prediction, likewise.
        codes: Code of each position, `(slices, height, width)`.
        distances: Distance of each position's features to its code, likewise.
        runners_up: The second nearest codes, likewise.
    """

    case_id: str
    patient: str
    pictures: np.ndarray
    labels: np.ndarray
    pred_labels: np.ndarray
    codes: np.ndarray
    distances: np.ndarray
    runners_up: np.ndarray

    @property
    def busiest_slice(self) -> int:
        """The slice with most foreground in the ground truth."""
        return int(np.argmax(np.count_nonzero(self.labels, axis=(1, 2))))


def read_inputs(
    cases: RunCases, case_ids: Iterable[str]
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Reads cases as the network sees them.

    Yields:
        Case, images float32 `(slices, S, S, 3)` and labels uint8 `(slices, S, S)`.

    Raises:
        ValueError: If a case does not fit the run; names it.
    """
    preprocessor = cases.preprocessor
    for case_id in case_ids:
        case = cases.dataset.read_case(cases.root, case_id)
        try:
            images = preprocessor.images(case.image)
        except ValueError as error:
            raise ValueError(f"{case_id}: {error}") from error
        yield case_id, images, preprocessor.labels(case.label)


def code_case(
    model: CodeModel,
    case_id: str,
    patient: str,
    images: np.ndarray,
    labels: np.ndarray,
    watch: Callable[[Bottleneck], None],
) -> CodedCase:
    """Encodes a case, and predicts it from its codes.

    Args:
        model: Model of the run.
        case_id: Case ID of the dataset.
        patient: ID of the case's patient.
        images: float32 `(slices, S, S, 3)`.
        labels: uint8 `(slices, S, S)`.
        watch: Function that is called with the bottleneck of each batch, which is not
            kept.
    """
    maps: dict[str, list[np.ndarray]] = collections.defaultdict(list)
    for start in range(0, len(images), BATCH_SIZE):
        found = model.encode(images[start : start + BATCH_SIZE])
        watch(found)
        maps["pred_labels"].append(to_labels(model.decode(found.codes, found.carried)))
        for name in ("codes", "distances", "runners_up"):
            maps[name].append(getattr(found, name))
    return CodedCase(
        case_id=case_id,
        patient=patient,
        pictures=np.rint(255 * images).astype(np.uint8),
        labels=labels,
        **{name: np.concatenate(batches) for name, batches in maps.items()},
    )
