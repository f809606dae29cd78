"""Labels image files with a trained run, and writes label maps beside pictures."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from synergynet_tf import runs
from synergynet_tf.data.image_files import read_image
from synergynet_tf.data.splits import complete
from synergynet_tf.evaluation.figures import overlay, write_png
from synergynet_tf.evaluation.inputs import OVERLAY_ENDING
from synergynet_tf.evaluation.predict import (
    Predictor,
    load_run_model,
    predict_case,
)


def label_files(
    run: str | pathlib.Path,
    paths: Sequence[pathlib.Path],
    output: str | pathlib.Path,
) -> list[dict[str, Any]]:
    """Labels images as evaluation does, on each image's own grid.

    Writes `<stem>.png`, a grey label map (0 background, `i + 1` class `i`; with one
    foreground class 0 and 255), `<stem>_overlay.png`, and last `summary.csv`. Each
    file is whole or not there.

    Args:
        run: Folder of the run.
        paths: Image files with distinct stems.
        output: Folder for the results, made if it is not there.

    Returns:
        The lines of `summary.csv`: each file's size, and each class's pixels and
        share of the image.

    Raises:
        FileNotFoundError: If the run or its weights are not there.
        ValueError: If the run or an image cannot be used.
        OSError: If `output` cannot be written to.
    """
    config = runs.read_config(run)
    names = runs.class_names(run)
    data = complete(config.data)
    predictor = Predictor(load_run_model(run))
    output = pathlib.Path(output)
    scale = 255 if len(names) == 1 else 1
    rows = []
    for path in tqdm(paths, f"label with {config.model.name}", disable=None):
        image = read_image(path)
        labels = predict_case(
            predictor, image, data.modality, config.model.image_size, data.channels
        )
        picture = overlay(image, labels, names, caption=path.name)
        write_png(output / f"{path.stem}.png", labels[0] * np.uint8(scale))
        write_png(output / f"{path.stem}{OVERLAY_ENDING}.png", picture)
        rows.append(_row(path, labels, names))
    runs.write_csv(output / "summary.csv", rows)
    return rows


def _row(
    path: pathlib.Path, labels: np.ndarray, names: Sequence[str]
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "file": path.name,
        "rows": labels.shape[1],
        "columns": labels.shape[2],
    }
    for value, name in enumerate(names, start=1):
        pixels = int(np.count_nonzero(labels == value))
        row[f"{name}_pixels"] = pixels
        row[f"{name}_share"] = pixels / labels.size
    return row
