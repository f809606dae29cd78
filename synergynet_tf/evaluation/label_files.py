"""Labels files with a trained run, and writes label maps beside pictures."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from synergynet_tf import runs
from synergynet_tf.data.splits import complete
from synergynet_tf.evaluation.input_files import SUMMARY, read_input
from synergynet_tf.evaluation.options import PLAIN, Options
from synergynet_tf.evaluation.predict import (
    Predictor,
    load_run_model,
    predict_case,
)
from synergynet_tf.evaluation.result_files import write_result


def label_files(
    run: str | pathlib.Path,
    paths: Sequence[pathlib.Path],
    output: str | pathlib.Path,
    options: Options = PLAIN,
) -> list[dict[str, Any]]:
    """Labels images and volumes as evaluation does, each on its own grid.

    Writes what `write_result` does of each, and last `summary.csv`.

    Args:
        run: Folder of the run.
        paths: Files with distinct stems, all images or all volumes.
        output: Folder for the results, made if it is not there.
        options: What else is done to the predictions.

    Returns:
        The lines of `summary.csv`.

    Raises:
        FileNotFoundError: If the run or its weights are not there.
        ValueError: If the run or a file cannot be used.
        OSError: If `output` cannot be written to.
    """
    config = runs.read_config(run)
    names = runs.class_names(run)
    data = complete(config.data)
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
        row = write_result(output, path, source, labels, names, data.modality)
        rows.append(row)
    runs.write_csv(output / SUMMARY, rows)
    return rows
