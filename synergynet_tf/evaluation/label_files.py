"""Labels files with a trained run, and writes label maps beside pictures."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from synergynet_tf import runs
from synergynet_tf.data import nifti
from synergynet_tf.data.splits import complete
from synergynet_tf.evaluation.figures import overlay, write_png
from synergynet_tf.evaluation.input_files import (
    OVERLAY_ENDING,
    SUMMARY,
    Input,
    is_volume,
    read_input,
    stem,
)
from synergynet_tf.evaluation.options import PLAIN, Options
from synergynet_tf.evaluation.predict import (
    Predictor,
    load_run_model,
    predict_case,
)


def label_files(
    run: str | pathlib.Path,
    paths: Sequence[pathlib.Path],
    output: str | pathlib.Path,
    options: Options = PLAIN,
) -> list[dict[str, Any]]:
    """Labels images and volumes as evaluation does, each on its own grid.

    Writes the label map, `<stem>_overlay.png`, and last `summary.csv`. Each file is
    whole or not there. The label map of an image is `<stem>.png` (0 background,
    `i + 1` class `i`; with one foreground class 0 and 255). That of a volume is
    `<stem>.nii.gz` with the volume's affine, orientation and spacing.

    Args:
        run: Folder of the run.
        paths: Files with distinct stems, all images or all volumes.
        output: Folder for the results, made if it is not there.
        options: What else is done to the predictions.

    Returns:
        The lines of `summary.csv`: each file's size; each class's pixels and share
        of the image, or its voxels and milliliters.

    Raises:
        FileNotFoundError: If the run or its weights are not there.
        ValueError: If the run or a file cannot be used.
        OSError: If `output` cannot be written to.
    """
    config = runs.read_config(run)
    names = runs.class_names(run)
    data = complete(config.data)
    # Of a scan, three channels are no colors.
    shown = slice(None) if data.modality == "rgb" else slice(1)
    predictor = Predictor(load_run_model(run))
    output = pathlib.Path(output)
    rows = []
    for path in tqdm(paths, f"label with {config.model.name}", disable=None):
        source = read_input(path)
        labels = predict_case(
            predictor,
            source.image,
            data.modality,
            config.model.image_size,
            data.channels,
            options,
        )
        picture = overlay(source.image[..., shown], labels, names, caption=path.name)
        _write_labels(output, path, source, labels, len(names))
        write_png(output / f"{stem(path)}{OVERLAY_ENDING}.png", picture)
        describe = _describe_volume if is_volume(path) else _describe_image
        rows.append({"file": path.name, **describe(source, labels, names)})
    runs.write_csv(output / SUMMARY, rows)
    return rows


def _write_labels(
    output: pathlib.Path,
    path: pathlib.Path,
    source: Input,
    labels: np.ndarray,
    num_classes: int,
) -> None:
    if source.geometry is None:
        scale = 255 if num_classes == 1 else 1
        write_png(output / f"{stem(path)}.png", labels[0] * np.uint8(scale))
        return
    with runs.atomic_file(output / f"{stem(path)}.nii.gz") as temporary:
        nifti.write_labels(temporary, labels, source.geometry)


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
