"""Segmentation of files: label maps, overlays and a summary table."""

from __future__ import annotations

import csv
import functools
import math
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from synergynet_tf import runs
from synergynet_tf.data import volumes
from synergynet_tf.data.preprocess import Preprocessor
from synergynet_tf.data.spec import mask_values
from synergynet_tf.evaluation.confidence import Confidence, to_probabilities
from synergynet_tf.evaluation.figures.overlays import overlay, write_png
from synergynet_tf.evaluation.inputs import (
    MARK,
    OVERLAY_ENDING,
    SUMMARY,
    Input,
    is_volume,
    read_input,
    stem,
)
from synergynet_tf.evaluation.postprocess import NO_POSTPROCESSING, Postprocessing
from synergynet_tf.evaluation.predict import Model, Trained, Watch, label_all

# Ending of a class's column of confidences in `summary.csv`.
CONFIDENCE = "_confidence"
MAX_LEAST_CONFIDENT = 3


class Labeled(NamedTuple):
    """A file that was labeled.

    Attributes:
        path: Path of the file.
        source: Content of the file.
        labels: uint8 `(slices, rows, columns)`.
        class_names: Names of the foreground classes; class `i` has label `i + 1`.
        values: Value of each class in the user's masks; `None` as in `mask_values`.
        confidence: Confidence in each class, in [0, 1]; `None` if unknown.
    """

    path: pathlib.Path
    source: Input
    labels: np.ndarray
    class_names: Sequence[str]
    values: Sequence[int] | None = None
    confidence: Sequence[float] | None = None


def label_files(
    model: Model,
    trained: Trained,
    paths: Sequence[pathlib.Path],
    output: str | pathlib.Path,
    options: Postprocessing = NO_POSTPROCESSING,
) -> list[dict[str, Any]]:
    """Labels images and volumes as evaluation does, each on its own grid.

    Writes the files of `write_results`.

    Args:
        model: The model that predicts.
        trained: The run of the model, or its model card.
        paths: Files with distinct stems, all images or all volumes.
        output: Folder for the results, made if it is not there.
        options: Post-processing of the predictions.

    Returns:
        The lines of `summary.csv`.

    Raises:
        ValueError: If a file cannot be used, or the model gives no finite number.
        OSError: If `output` cannot be written to.
    """
    names = trained.class_names
    preprocessor = Preprocessor.of(trained.config)

    def label() -> Iterator[Labeled]:
        read = functools.partial(read_input, channels=trained.image_channels)
        seen: dict[pathlib.Path, Confidence] = {}

        def watch(path: pathlib.Path, _: Input) -> Watch:
            own = seen[path] = Confidence.of(len(names))
            return lambda logits, labels: own.add(
                to_probabilities(logits, trained.temperature), labels
            )

        labeled = label_all(model, preprocessor, paths, read, options, watch=watch)
        title = f"label with {trained.config.model.name}"
        progress = tqdm(labeled, title, len(paths), disable=None)
        for path, (source, maps) in zip(paths, progress, strict=True):
            sure = seen.pop(path).expected_dice().tolist()
            labels, values = maps["native"], trained.label_values
            yield Labeled(path, source, labels, names, values, sure)

    return write_results(output, label(), preprocessor.modality)


def write_results(
    output: str | pathlib.Path, labeled: Iterable[Labeled], modality: str
) -> list[dict[str, Any]]:
    """Writes the results of each file by `write_result`, and last `summary.csv`.

    Rows of earlier calls stay, if the table has the same columns and their label maps
    are there. If a file fails, the table has the files before it. It is there before
    the first result, if only with a column's name: it marks the folder as one of
    results, which a next call may replace, also those of a process that was killed.

    Args:
        output: Folder for the results, made if it is not there.
        labeled: Files, labeled one after the other.
        modality: Modality of the model.

    Returns:
        The lines of `summary.csv` about these files.
    """
    table = pathlib.Path(output, SUMMARY)
    earlier, rows = _read_rows(table), list[dict[str, Any]]()
    try:
        for file in labeled:
            if not rows and not table.exists():
                runs.write_text(table, f"{','.join(MARK)}\n")
            rows.append(write_result(table.parent, file, modality))
    finally:
        if rows:
            new = {row["file"] for row in rows}
            kept = [
                row
                for row in earlier
                if row.keys() == rows[0].keys() and row["file"] not in new
            ]
            runs.write_csv(table, [*kept, *rows])
    return rows


def _read_rows(table: pathlib.Path) -> list[dict[str, Any]]:
    """Reads the rows of an earlier call whose label maps are there."""
    if not table.exists():
        return []
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    endings = (".png", *volumes.ENDINGS)
    return [
        row
        for row in rows
        if any(
            table.with_name(stem(pathlib.Path(row["file"])) + ending).exists()
            for ending in endings
        )
    ]


def write_result(output: pathlib.Path, file: Labeled, modality: str) -> dict[str, Any]:
    """Writes the label map of a file and `<stem>_overlay.png`, each whole or not.

    The label map of an image is `<stem>.png`; that of a volume is `<stem>.nii.gz`,
    or `.nrrd` or `.mha` if the volume is, with the volume's affine, orientation and
    spacing. Both hold 0 for background and the class's value, 16 bits where one is
    above 255.

    Args:
        output: Folder for both, made if it is not there.
        file: The labeled file.
        modality: Modality of the model. Three channels of a scan are no colors.

    Returns:
        A line of `summary.csv`: the file's size; each class's pixels and share of
        the image, or its voxels and milliliters; the confidence in each.
    """
    path, source, labels, names, values, confidence = file
    shown = source.image if modality == "rgb" else source.image[..., :1]
    picture = overlay(shown, labels, names, caption=path.name)
    own = mask_values(values, len(names), source.geometry is None)
    _write_labels(output, path, source, to_values(labels, own))
    write_png(output / f"{source.stem}{OVERLAY_ENDING}.png", picture)
    describe = _describe_volume if is_volume(path) else _describe_image
    row = {"file": path.name, **describe(source, labels, names)}
    for name, share in zip(names, confidence or (), strict=bool(confidence)):
        row[name + CONFIDENCE] = "" if math.isnan(share) else share
    return row


def to_values(labels: np.ndarray, values: Sequence[int]) -> np.ndarray:
    """Gives each class its value in the user's masks.

    Args:
        labels: uint8; class `i` has label `i + 1`.
        values: Value of each class.

    Returns:
        uint8 of the same shape; uint16 if a value is above 255.
    """
    dtype = np.uint8 if max(values) <= np.iinfo(np.uint8).max else np.uint16
    return np.array([0, *values], dtype)[labels]


def _write_labels(
    output: pathlib.Path, path: pathlib.Path, source: Input, labels: np.ndarray
) -> None:
    if source.geometry is None:
        write_png(output / f"{source.stem}.png", labels[0])
        return
    name = source.stem + volumes.result_ending(path)
    with runs.atomic_file(output / name) as temporary:
        volumes.write_labels(temporary, labels, source.geometry)


def _describe_image(
    source: Input, labels: np.ndarray, names: Sequence[str]
) -> dict[str, Any]:
    row: dict[str, Any] = {"rows": labels.shape[1], "columns": labels.shape[2]}
    for value, name in enumerate(names, start=1):
        pixels = int(np.count_nonzero(labels == value))
        row |= {f"{name}_pixels": pixels, f"{name}_share": pixels / labels.size}
    return row


def _describe_volume(
    source: Input, labels: np.ndarray, names: Sequence[str]
) -> dict[str, Any]:
    sides = zip(("slices", "rows", "columns"), labels.shape, strict=True)
    row: dict[str, Any] = dict(sides)
    for value, name in enumerate(names, start=1):
        voxels = int(np.count_nonzero(labels == value))
        row |= {f"{name}_voxels": voxels, f"{name}_ml": voxels * source.voxel_ml}
    return row


def least_confident(
    rows: Sequence[Mapping[str, Any]], count: int = MAX_LEAST_CONFIDENT
) -> list[str]:
    """Names the files whose labels most deserve a look, the first one most.

    Args:
        rows: Rows of `summary.csv`.
        count: Largest number of files to name.

    Returns:
        File and confidence of those with the lowest confidence in any structure;
        nothing if there are no more files than that.
    """
    found = []
    for row in rows:
        values = [
            value
            for name, value in row.items()
            if name.endswith(CONFIDENCE) and value != ""
        ]
        if values:
            found.append((min(values), row["file"]))
    if len(rows) <= count:
        return []
    return [f"{file} ({value:.2f})" for value, file in sorted(found)[:count]]
