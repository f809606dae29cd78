"""Labels files with a model, and writes label maps beside pictures."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from tqdm import tqdm

from synergynet_tf.config import ExperimentConfig
from synergynet_tf.data.preprocess import Preprocessor
from synergynet_tf.evaluation.inputs import read_input
from synergynet_tf.evaluation.postprocess import PLAIN, Options
from synergynet_tf.evaluation.predict import Model, label_all
from synergynet_tf.evaluation.result_files import Labeled, write_results


def label_files(
    model: Model,
    config: ExperimentConfig,
    class_names: Sequence[str],
    paths: Sequence[pathlib.Path],
    output: str | pathlib.Path,
    options: Options = PLAIN,
) -> list[dict[str, Any]]:
    """Labels images and volumes as evaluation does, each on its own grid.

    Writes what `write_results` does.

    Args:
        model: What predicts.
        config: The settings that it was trained with.
        class_names: Foreground classes; class `i` has label `i + 1`.
        paths: Files with distinct stems, all images or all volumes.
        output: Folder for the results, made if it is not there.
        options: What else is done to the predictions.

    Returns:
        The lines of `summary.csv`.

    Raises:
        ValueError: If a file cannot be used, or the model gives no finite number.
        OSError: If `output` cannot be written to.
    """

    def label() -> Iterator[Labeled]:
        labeled = label_all(model, config, paths, read_input, options)
        title, count = f"label with {config.model.name}", len(paths)
        progress = tqdm(labeled, title, count, disable=None)
        for path, (source, maps) in zip(paths, progress, strict=True):
            yield Labeled(path, source, maps["native"], class_names)

    return write_results(output, label(), Preprocessor.of(config).modality)
