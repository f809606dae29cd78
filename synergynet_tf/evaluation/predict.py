"""Prediction: from images to labels on the images' own grids.

Without Keras: the model may be a run's or an exported one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Generic, NamedTuple, Protocol, TypeVar

import cv2
import numpy as np

from synergynet_tf.config import ExperimentConfig
from synergynet_tf.data.preprocess import Preprocessor, to_labels
from synergynet_tf.evaluation.postprocess import (
    NO_POSTPROCESSING,
    Postprocessing,
    keep_largest,
)
from synergynet_tf.parallel import read_ahead

BATCH_SIZE = 8
# Approximate limit of the memory of photographs that wait for their batch: a batch that
# would hold more goes short.
MAX_HELD_BYTES = 2**29
# Axes of `(slices, rows, columns, channels)`; the first leaves the image as it is.
FLIPS: tuple[tuple[int, ...], ...] = ((), (1,), (2,), (1, 2))


class Model(Protocol):
    """A model: a run's `Predictor`, an exported model, or a `keras.Model`."""

    def predict_on_batch(self, images: np.ndarray) -> np.ndarray:
        """Returns the logits `(n, S, S, C)` of images `(n, S, S, 3)`."""


class Trained(Protocol):
    """Properties that a `Run` and the `Card` of an exported model share."""

    @property
    def config(self) -> ExperimentConfig:
        """The settings that the model was trained with."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Foreground classes; class `i` has label `i + 1`."""

    @property
    def image_channels(self) -> int | None:
        """Number of channels of the training scans; `None` if unknown."""

    @property
    def label_values(self) -> tuple[int, ...] | None:
        """Value of each class in the user's masks; `None` as in `mask_values`."""

    @property
    def temperature(self) -> float:
        """Divisor of the logits for probabilities, see `evaluation.calibration`."""


class Source(Protocol):
    """Source of an image: a case of a dataset, or the content of a user's file."""

    @property
    def image(self) -> np.ndarray:
        """float32 `(slices, rows, columns, channels)`."""


Name = TypeVar("Name")
SourceT = TypeVar("SourceT", bound=Source)
Maps = dict[str, np.ndarray]
# Function of the logits of a slice on the image's own grid, float32 `(rows, columns,
# C)`, and of its labels, uint8 `(rows, columns)`.
Watch = Callable[[np.ndarray, np.ndarray], None]


@dataclasses.dataclass(frozen=True, eq=False)
class _Case(Generic[SourceT]):
    """A case on its way through the model.

    Attributes:
        source: Result of reading the case.
        images: The images on the network's grid, float32 `(slices, S, S, 3)`.
        maps: Labels on each grid, filled in as slices are predicted.
        preprocessor: Preprocessor that made `images`.
        watch: Function that is called with the logits and the labels of each slice in
            turn.
    """

    source: SourceT
    images: np.ndarray
    maps: Maps
    preprocessor: Preprocessor
    watch: Watch | None = None


# Slices of a case.
_Piece = tuple[_Case[SourceT], slice]


def label_all(
    model: Model,
    preprocessor: Preprocessor,
    names: Iterable[Name],
    read: Callable[[Name], SourceT],
    options: Postprocessing = NO_POSTPROCESSING,
    grids: Collection[str] = ("native",),
    alter: Callable[[Name, np.ndarray], np.ndarray] | None = None,
    watch: Callable[[Name, SourceT], Watch] | None = None,
) -> Iterator[tuple[SourceT, Maps]]:
    """Labels one image or volume after the other, in order.

    Grid `native`: the logits are brought to the image's grid, then labeled: a better
    outline than enlarged labels have. Grid `network`: the logits are labeled as they
    are, then each pixel of the image takes the nearest label, as in TransUNet's test
    code. Of a volume only labels are kept: its logits on its own grid can take
    gigabytes.

    A thread reads and prepares the next batch while the model predicts one. Batches
    are full, and so hold slices of several cases where these are small. Every image
    is computed by itself: which others share its batch changes its logits by float
    rounding at most.

    When one cannot be read, those before it are labeled first.

    Args:
        model: The model that predicts.
        preprocessor: Preprocessor that makes an image the model's input.
        names: Arguments of `read`, one for each image; an error names the argument.
        read: Function that reads an image; called in the thread.
        options: Post-processing of the predictions.
        grids: `native`, `network` or both, from one prediction.
        alter: Function that changes the images of a name, float32 `(slices, S, S, 3)`
            in [0, 1], before they are given to the model.
        watch: Function that returns, for each image, a function of the logits and the
            labels of a slice. That is called for every slice, in order, on the grid
            `native`, before the image is yielded.

    Yields:
        Result of reading the image; labels on each grid, uint8 `(slices, rows,
        columns)`, always of the image's pixels: 0 is background, `i + 1` is class `i`.

    Raises:
        ValueError: If an image does not fit the model, or a logit is not finite.
        Exception: Any that `read` raises.
    """

    def prepare(name: Name) -> _Case[SourceT]:
        source = read(name)
        try:
            images = preprocessor.images(source.image)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        if alter is not None:
            images = alter(name, images)
        maps = _empty_maps(source.image, grids)
        own = None if watch is None else watch(name, source)
        return _Case(source, images, maps, preprocessor, own)

    batches = read_ahead(_batches(map(prepare, names)))
    yield from _label_batches(model, batches, options)


def predict_case(
    model: Model,
    image: np.ndarray,
    preprocessor: Preprocessor,
    options: Postprocessing = NO_POSTPROCESSING,
) -> np.ndarray:
    """Labels each pixel of one photograph or volume, on the image's own grid.

    Args:
        model: The model that predicts.
        image: float32 `(slices, rows, columns, channels)`, as a dataset reads it.
        preprocessor: Preprocessor that makes an image the model's input.
        options: Post-processing of the prediction.

    Returns:
        uint8 `(slices, rows, columns)`: 0 is background, `i + 1` is class `i`.

    Raises:
        ValueError: If the image does not fit the model, or a logit is not finite.
    """
    read = {"image": _Image(image)}
    ((_, maps),) = label_all(model, preprocessor, read, read.__getitem__, options)
    return maps["native"]


class _Image(NamedTuple):
    """An image that is in memory already."""

    image: np.ndarray


def _empty_maps(image: np.ndarray, grids: Collection[str]) -> Maps:
    return {grid: np.empty(image.shape[:3], np.uint8) for grid in grids}


def _batches(cases: Iterable[_Case[SourceT]]) -> Iterator[list[_Piece[SourceT]]]:
    """Cuts cases, one after the other, into batches of `BATCH_SIZE` slices.

    The last is short, as is one that would hold too much, or one before a failure.
    """
    batch: list[_Piece[SourceT]] = []
    free = BATCH_SIZE
    try:
        for case in cases:
            stop = 0
            while stop < len(case.images):
                start, stop = stop, min(stop + free, len(case.images))
                batch.append((case, slice(start, stop)))
                free -= stop - start
                held = sum(case.source.image.nbytes for case, _ in batch)
                if not free or (held > MAX_HELD_BYTES and stop == len(case.images)):
                    yield batch
                    batch, free = [], BATCH_SIZE
    except Exception:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _label_batches(
    model: Model, batches: Iterable[list[_Piece[SourceT]]], options: Postprocessing
) -> Iterator[tuple[SourceT, Maps]]:
    """Predicts batch after batch; yields each case when its last slice is labeled."""
    for batch in batches:
        images = np.concatenate([case.images[slices] for case, slices in batch])
        logits = _logits(model, images, options)
        for case, slices in batch:
            own, logits = np.split(logits, [slices.stop - slices.start])
            for grid, labels in case.maps.items():
                _, rows, columns = labels.shape
                labels[slices] = _label(
                    own, grid, rows, columns, case.preprocessor, case.watch
                )
            if slices.stop < len(case.images):
                continue
            maps = case.maps
            if options.largest:
                maps = {grid: keep_largest(labels) for grid, labels in maps.items()}
            yield case.source, maps


def _logits(model: Model, images: np.ndarray, options: Postprocessing) -> np.ndarray:
    """Returns logits `(n, S, S, C)`, the mean over the flips of images if asked."""
    flips = FLIPS if options.flips else FLIPS[:1]
    total: np.ndarray | float = 0.0
    for axes in flips:
        logits = model.predict_on_batch(np.flip(images, axes))
        total = total + np.flip(np.asarray(logits), axes)
    mean = np.asarray(total) / np.float32(len(flips))
    if not np.isfinite(mean).all():
        raise ValueError(
            "The model's logits are not finite: its weights are damaged, or its "
            "training diverged. Train the run again with --force."
        )
    return mean


def _label(
    logits: np.ndarray,
    grid: str,
    rows: int,
    columns: int,
    preprocessor: Preprocessor,
    watch: Watch | None,
) -> np.ndarray:
    whole = np.zeros((len(logits), rows, columns), np.uint8)
    if grid == "native":
        # One by one: with many classes, the logits of eight slices take gigabytes.
        for labels, own in zip(whole, logits, strict=True):
            back = preprocessor.back(own[None], rows, columns)[0]
            labels[:] = to_labels(back)
            if watch is not None:
                watch(back, labels)
        return whole
    box = (slice(None), *preprocessor.box(rows, columns))
    for labels, own in zip(whole[box], to_labels(logits), strict=True):
        size = labels.shape[::-1]
        labels[:] = cv2.resize(own, size, interpolation=cv2.INTER_NEAREST_EXACT)
    return whole
