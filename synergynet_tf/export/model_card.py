"""The card of an exported model: what it is, what it was trained on, how good it is.

It goes with the model, as `model_card.json` in a SavedModel's folder and as
`<stem>.json` beside a `.tflite` file, so that whoever opens the model needs no run:

    format          of the card itself, a number
    name            of the method
    config          the run's `config.json`, without what names a folder
    classes         names of the foreground classes, in label order
    input           size and range of what the network takes, and the images for it
    output          what its numbers mean
    training_data   dataset, split, how many cases, how many epochs
    scores          of `metrics.json`, each with its protocol; null if not scored
    scores_note     whose scores they are, or why there are none
    weights_sha256  of the run's file of weights
    provenance      commit and versions that trained it, null where not known
    intended_use    a sentence
    limits          sentences
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

from synergynet_tf.config import ExperimentConfig
from synergynet_tf.data.preprocess import PERCENTILES, WINDOWS
from synergynet_tf.data.splits import complete
from synergynet_tf.evaluation.scores import FILE as SCORES
from synergynet_tf.evaluation.scores import read_scores
from synergynet_tf.runs import Run
from synergynet_tf.safe_io import read_json, shown

FORMAT = 1
FILE = "model_card.json"
INTENDED_USE = (
    "Research on the segmentation of medical images: a research tool, not a medical "
    "device. No output of it is a diagnosis."
)
KINDS = {"rgb": "photographs", "ct": "slices of CT", "mri": "slices of MRI"}
# Of `metrics.json`: how its cases were predicted and counted.
SCORED = ("split", "protocol", "distance_unit", "num_cases", "num_patients", "options")
PROVENANCE = ("commit", "started", "synergynet_tf", "python", "keras", "backend")


@dataclasses.dataclass(frozen=True)
class Card:
    """A card that was read, and belongs to this version.

    Attributes:
        config: The run's, its `data_dir` empty.
        class_names: Foreground classes; class `i` has label `i + 1`.
        image_channels: Of a scan; `None` where any number is taken, or not known.
        values: All that the card holds.
    """

    config: ExperimentConfig
    class_names: tuple[str, ...]
    image_channels: int | None
    values: dict[str, Any]


def make_card(run: Run) -> dict[str, Any]:
    """Returns the card of a run's model, ready for `runs.write_json`.

    Raises:
        FileNotFoundError: If `run` is not the folder of a run, or has no weights.
        ValueError: If one of its files is damaged or of another version.
    """
    config, names = run.config, run.class_names
    config = dataclasses.replace(config, data=complete(config.data))
    config = _without_folders(config)
    scores, note = _scores(run)
    environment = _read(run, "environment.json") or {}
    run.weights()
    return {
        "format": FORMAT,
        "name": config.model.name,
        "config": dataclasses.asdict(config),
        "classes": list(names),
        "input": _input(config, run.image_channels),
        "output": _output(config, names),
        "training_data": _training_data(run, config),
        "scores": scores,
        "scores_note": note,
        "weights_sha256": run.weights_sha256,
        "provenance": {name: environment.get(name) for name in PROVENANCE},
        "intended_use": INTENDED_USE,
        "limits": _limits(config, scores),
    }


def read_card(path: str | pathlib.Path) -> Card:
    """Reads the card of an exported model.

    Args:
        path: The JSON file.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is damaged, or of another version.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"No model card {path}; it belongs beside the model: export the run again"
        )
    try:
        values = read_json(path)
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise ValueError(f"not a model card of format {FORMAT}")
        config = ExperimentConfig.from_json(json.dumps(values["config"]))
        names = values["classes"]
        channels = values.get("input", {}).get("image_channels")
        expected = max(1, config.model.num_classes - 1)
        texts = isinstance(names, list) and all(
            isinstance(name, str) and name.isprintable() for name in names
        )
        if not texts or len(names) != expected:
            raise ValueError(
                f"`classes` must be {expected} names. Received: {shown(names)}"
            )
        if channels is not None and (type(channels) is not int or channels < 1):
            raise ValueError(
                f"`image_channels` must be a number. Received: {shown(channels)}"
            )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} cannot be used: {error}. It is damaged or from another version; "
            "export the run again."
        ) from error
    return Card(config, tuple(names), channels, values)


def _without_folders(config: ExperimentConfig) -> ExperimentConfig:
    """Empties what names a place on the machine that trained; keeps files' names."""
    model = config.model
    return config.replace(
        data_dir="",
        encoder_weights=pathlib.PurePath(model.encoder_weights).name,
        vit_weights=pathlib.PurePath(model.vit_weights).name,
    )


def _input(config: ExperimentConfig, image_channels: int | None) -> dict[str, Any]:
    modality = config.data.modality
    if modality in WINDOWS:
        low, high = WINDOWS[modality]
        scaling = f"{low:g} becomes 0 and {high:g} becomes 1, values beyond are clipped"
    else:
        low, high = PERCENTILES[modality]
        scaling = (
            f"percentile {low:g} of each channel becomes 0 and {high:g} becomes 1, "
            "values beyond are clipped"
        )
    return {
        "size": config.model.image_size,
        "channels": 3,
        "range": [0.0, 1.0],
        "dtype": "float32",
        "modality": modality,
        "images": KINDS[modality],
        "scaling": scaling,
        "image_channels": image_channels,
        "picked_channels": config.data.channels,
        "center_crop": config.data.center_crop,
    }


def _output(config: ExperimentConfig, names: tuple[str, ...]) -> dict[str, Any]:
    one = config.model.num_classes == 1
    return {
        "logits": config.model.num_classes,
        "activation": "sigmoid" if one else "softmax",
        "rule": "foreground where above 0.5" if one else "the largest wins",
        "labels": {str(i): n for i, n in enumerate(("background", *names))},
    }


def _training_data(run: Run, config: ExperimentConfig) -> dict[str, Any]:
    data = config.data
    split = _read(run, "split.json")
    if split and not all(isinstance(cases, list) for cases in split.values()):
        raise ValueError(f"{run}/split.json is damaged; restore it or delete it")
    return {
        "dataset": data.dataset,
        "split": data.split,
        "split_seed": data.split_seed,
        "fold": data.fold,
        "limit": data.limit,
        "cases": split and {part: len(cases) for part, cases in split.items()},
        "epochs": len(run.history),
    }


def _scores(run: Run) -> tuple[dict[str, Any] | None, str]:
    """Returns the scores under each protocol, and a sentence about them."""
    if not (run.path / SCORES).is_file():
        return None, "The run was not scored."
    report = read_scores(run)
    if run.is_older_than_weights(SCORES):
        return None, "The run's scores are older than its weights, and left out."
    scored = {name: getattr(report, name) for name in SCORED}
    level = report.bootstrap["level"]
    chosen = [name for name, on in scored["options"].items() if on]
    note = (
        f"Of the {scored['num_cases']} cases of the {scored['split']} part, "
        + (f"with {' and '.join(chosen)}, " if chosen else "")
        + f"with {level:.0%} intervals by patient."
    )
    return {**scored, "interval_level": level, "protocols": report.blocks}, note


def _limits(config: ExperimentConfig, scores: dict[str, Any] | None) -> list[str]:
    limits = [
        f"It was trained on {KINDS[config.data.modality]} of one dataset, "
        f"{config.data.dataset}; on others it may fail without a sign of it.",
        "It finds its classes only, and labels any image, also one that shows none.",
        f"It sees {config.model.image_size} x {config.model.image_size} pixels: what "
        "is smaller than one of these is lost.",
    ]
    if config.data.modality != "rgb":
        limits.append("It labels slice by slice, and knows nothing of the next one.")
    if (crop := config.data.center_crop) < 1:
        limits.append(
            f"It sees the central {crop:.0%} of each side of a slice, and labels what "
            "is around it as background."
        )
    if config.data.modality == "mri":
        limits.append(
            "It was trained on slices scaled by their whole volume's percentiles. An "
            "image file is scaled by its own, and so may be labeled otherwise."
        )
    if scores is None:
        limits.append("How well it does was not measured.")
    return limits


def _read(run: Run, name: str) -> Any:
    """Returns the content of a run's JSON file, `None` where there is none."""
    path = run.path / name
    if not path.is_file():
        return None
    try:
        values = read_json(path)
        if not isinstance(values, dict):
            raise ValueError("it holds no object")
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged ({error}); restore it or delete it"
        ) from error
    return values
