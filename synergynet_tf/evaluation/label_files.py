"""Labels image files with a trained run, and writes label maps beside pictures."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from synergynet_tf import runs
from synergynet_tf.data import DATASETS
from synergynet_tf.data.image_files import SUFFIXES, list_images, read_image
from synergynet_tf.evaluation.figures import overlay, write_png
from synergynet_tf.evaluation.predict import Predictor, predict_case
from synergynet_tf.models.weights import load_run_model


def find_inputs(
    source: str | pathlib.Path, output: str | pathlib.Path
) -> list[pathlib.Path]:
    """Lists the images to label, and refuses what could not be finished.

    Every image is read once here, so that a damaged one is found before anything is
    written: reading costs little beside predicting.

    Args:
        source: An image file, or a folder whose image files are taken.
        output: The folder that results will be written to.

    Raises:
        FileNotFoundError: If `source` does not exist or is a folder without images.
        ValueError: If an image cannot be read, two have one stem, or a result would
            take the place of an image or cannot be written to `output`.
    """
    source, output = pathlib.Path(source), pathlib.Path(output)
    if source.is_dir():
        paths = list(list_images(source).values())
        if not paths:
            raise FileNotFoundError(
                f"No image files ({' '.join(SUFFIXES)}) in {source}; name an image or "
                "a folder of images with --input"
            )
    elif source.is_file():
        paths = [source]
    else:
        raise FileNotFoundError(
            f"No file or folder {source}; name an image or a folder of images with "
            "--input"
        )
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file; name a folder with --output")
    folders = {path.parent.resolve() for path in paths}
    if output.resolve() in folders:
        raise ValueError(
            f"{output} holds the images, which results would replace; name another "
            "folder with --output"
        )
    for path in paths:
        read_image(path)
    return paths


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
    modality = DATASETS[config.data.dataset].MODALITY
    predictor = Predictor(load_run_model(run))
    output = pathlib.Path(output)
    scale = 255 if len(names) == 1 else 1
    rows = []
    for path in tqdm(paths, f"label with {config.model.name}", disable=None):
        image = read_image(path)
        labels = predict_case(predictor, image, modality, config.model.image_size)
        picture = overlay(image, labels, names, caption=path.name)
        write_png(output / f"{path.stem}.png", labels[0] * np.uint8(scale))
        write_png(output / f"{path.stem}_overlay.png", picture)
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
