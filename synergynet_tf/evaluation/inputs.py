"""What a command is asked to work on, checked before Keras is imported.

Importing Keras takes seconds and prints lines of its own; a refusal should be one
line and come at once.
"""

from __future__ import annotations

import dataclasses
import pathlib

from synergynet_tf import runs
from synergynet_tf.config import DataConfig, ExperimentConfig
from synergynet_tf.data import DATASETS, Dataset
from synergynet_tf.data.image_files import SUFFIXES, list_images, read_image
from synergynet_tf.data.splits import data_root, part_ids

# What follows an image's stem in the name of its picture.
OVERLAY_ENDING = "_overlay"


@dataclasses.dataclass(frozen=True)
class RunCases:
    """A run and the cases it is to be scored on.

    Attributes:
        config: The run's.
        trained_epochs: How many epochs it was trained for, up to its config's.
        part: `train`, `val` or `test`.
        dataset: The reader of its data.
        root: Folder of the data.
        class_names: Foreground classes, the run's and the data's.
        case_ids: At least one.
    """

    config: ExperimentConfig
    trained_epochs: int
    part: str
    dataset: Dataset
    root: pathlib.Path
    class_names: tuple[str, ...]
    case_ids: list[str]


def find_cases(
    run: str | pathlib.Path,
    split_part: str,
    data_dir: str | pathlib.Path | None = None,
) -> RunCases:
    """Finds the cases of one part of a run's data.

    Args:
        run: Folder of the run.
        split_part: `train`, `val` or `test`.
        data_dir: Folder of the raw data, if not the one the run was trained on.

    Raises:
        FileNotFoundError: If the run, its weights or its data are not there.
        ValueError: If the run cannot be used, its data cannot be split as it was, or
            the data has other classes than the run.
    """
    config = runs.read_config(run)
    runs.require_weights(run)
    data: DataConfig = config.data
    if data_dir is not None:
        data = dataclasses.replace(data, data_dir=str(data_dir))
    dataset, root = DATASETS[data.dataset], data_root(data)
    case_ids = part_ids(data, split_part)
    if not case_ids:
        raise ValueError(f"The {split_part} part of {root} has no cases")
    names, found = runs.class_names(run), tuple(dataset.class_names(root))
    if found != names:
        raise ValueError(
            f"{run} was trained on the classes {', '.join(names)}, but {root} has "
            f"{', '.join(found)}; pass the run's data as --data-dir"
        )
    epochs = len(runs.read_history(run))
    return RunCases(config, epochs, split_part, dataset, root, names, case_ids)


def find_images(
    source: str | pathlib.Path, output: str | pathlib.Path
) -> list[pathlib.Path]:
    """Finds the images to label, and refuses what could not be finished.

    Every image is read once here, so that a damaged one is found before anything is
    written: reading costs little beside predicting.

    Args:
        source: An image file, or a folder whose image files are taken.
        output: The folder that results will be written to.

    Raises:
        FileNotFoundError: If `source` does not exist or is a folder without images.
        ValueError: If an image cannot be read, two results would be one file, or
            `output` is a file or the folder of the images, which results would
            replace.
    """
    source, output = pathlib.Path(source), pathlib.Path(output)
    advice = "name an image or a folder of images with --input"
    if not source.exists():
        raise FileNotFoundError(f"No file or folder {source}; {advice}")
    folder = source if source.is_dir() else source.parent
    paths = list(list_images(source).values()) if source.is_dir() else [source]
    if not paths:
        kinds = " ".join(SUFFIXES)
        raise FileNotFoundError(f"No image files ({kinds}) in {source}; {advice}")
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file; name a folder with --output")
    if output.resolve() == folder.resolve():
        raise ValueError(
            f"{output} holds the images, which results would replace; name another "
            "folder with --output"
        )
    stems = {path.stem for path in paths}
    for path in paths:
        if path.stem + OVERLAY_ENDING in stems:
            raise ValueError(
                f"The picture of {path} and the labels of {path.stem}{OVERLAY_ENDING} "
                "would be one file; rename one of the two images"
            )
        read_image(path)
    return paths
