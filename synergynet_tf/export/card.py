"""Model card of an export: what it is, what it was trained on, how good it is.

It is `model_card.json` in a SavedModel's folder, with a README.md made from it, and
`<stem>.json` beside a `.tflite` or `.onnx` file, so that whoever opens the model needs
no run:

    format          of the card itself, a number
    name            of the method
    config          the run's `config.json`, without what names a folder
    classes         names of the foreground classes, in label order
    input           size and range of what the network takes, and the images for it
    output          what its numbers mean; probabilities are those of the logits divided
                    by `temperature`, which is 1 unless the run was calibrated;
                    `labels` are the values in label maps of
                    `predict.py`, those of the user's masks where `mask_values` has them
    training_data   dataset, split, how many cases, how many epochs
    scores          of `metrics.json`, each with its protocol; null if not scored
    scores_note     which cases were scored, or why there are no scores
    weights_sha256  of the run's weights file
    provenance      commit and versions that trained it, null where not known
    intended_use    a sentence
    limits          sentences
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Collection, Mapping
from typing import Any

from synergynet_tf.config import ExperimentConfig
from synergynet_tf.data.preprocess import PERCENTILES, WINDOWS
from synergynet_tf.data.spec import mask_values
from synergynet_tf.data.splits import complete
from synergynet_tf.evaluation.scores import FILE as SCORES
from synergynet_tf.evaluation.scores import read_scores
from synergynet_tf.formats import DASH, markdown, score
from synergynet_tf.runs import Run, check_label_values
from synergynet_tf.safe_io import is_plain, read_json, shown

FORMAT = 1
CARD_FILE = "model_card.json"
INTENDED_USE = (
    "Research on the segmentation of medical images: a research tool, not a medical "
    "device. No output of it is a diagnosis."
)
KINDS = {"rgb": "photographs", "ct": "slices of CT", "mri": "slices of MRI"}
# Keys of `metrics.json` that say how its cases were predicted and scored.
SCORED = ("split", "protocol", "distance_unit", "num_cases", "num_patients", "options")
PROVENANCE = ("commit", "started", "synergynet_tf", "python", "keras", "backend")

# Units of HD95 in the README, where they are not the scores' own.
HD95_UNITS = {"transunet": "voxels"}
SIGNATURE_LABELS = (
    "Label maps of the signatures hold 0 for background and i + 1 for class i of "
    "`classes`, whatever the values in `labels`."
)
FILE_SIGNATURES = """\
- `from_bytes`: `image_bytes`, JPEG or PNG files, a string tensor `(batch,)`, to
  `labels`, uint8 `(batch, rows, columns)`; `probabilities`, float32 `(batch, rows,
  columns, {logits})`; `areas`, the pixels of each class, int32 `(batch, {classes})`;
  `classes`, their names, string `(batch, {classes})`; `sizes`, each image's rows and
  columns, int32 `(batch, 2)`. Smaller images are padded with background: crop by
  `sizes`.
- `png_from_bytes`: the same input, to `labels_png_bytes`, each label map as a PNG file
  of the image's own size; `areas`, `classes` and `sizes`. Prefer it over REST."""
CODES = "; and `codes`, int32, the codebook index at each position"
NO_FILE_SIGNATURES = """\
There is no signature for image files: this model takes Hounsfield units, or channels,
that a JPEG or PNG file does not have."""


@dataclasses.dataclass(frozen=True)
class Card:
    """A model card of this version's format.

    Attributes:
        config: The run's config, its `data_dir` empty.
        class_names: Names of the foreground classes; class `i` has label `i + 1`.
        image_channels: Number of channels of a scan; `None` for any number, or if
            unknown.
        label_values: Value of each class in the user's masks; `None` if unknown.
        temperature: Divisor of the logits for probabilities.
        values: Content of the whole card.
    """

    config: ExperimentConfig
    class_names: tuple[str, ...]
    image_channels: int | None
    label_values: tuple[int, ...] | None
    temperature: float
    values: dict[str, Any]


def make_card(run: Run) -> dict[str, Any]:
    """Returns the model card of a run, ready for `runs.write_json`.

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
        "output": {
            **_output(config, names, run.label_values),
            "temperature": run.temperature,
        },
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
            isinstance(name, str) and is_plain(name) for name in names
        )
        if not texts or len(names) != expected:
            raise ValueError(
                f"`classes` must be {expected} names. Received: {shown(names)}"
            )
        if channels is not None and (type(channels) is not int or channels < 1):
            raise ValueError(
                f"`image_channels` must be a number. Received: {shown(channels)}"
            )
        masks = values.get("output", {}).get("mask_values")  # Older cards have none.
        if masks is not None:
            if not isinstance(masks, list) or len(masks) != expected:
                raise ValueError(
                    f"`mask_values` must be {expected} numbers. Received: "
                    f"{shown(masks)}"
                )
            masks = check_label_values(masks)
        temperature = values.get("output", {}).get("temperature", 1.0)
        if type(temperature) is not float or not temperature > 0:
            raise ValueError(
                f"`temperature` must be above 0. Received: {shown(temperature)}"
            )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} cannot be used: {error}. It is damaged or from another version; "
            "export the run again."
        ) from error
    return Card(config, tuple(names), channels, masks, temperature, values)


def _without_folders(config: ExperimentConfig) -> ExperimentConfig:
    """Removes paths of the machine that trained; keeps the names of files."""
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


def _output(
    config: ExperimentConfig,
    names: tuple[str, ...],
    own: tuple[int, ...] | None,
) -> dict[str, Any]:
    one = config.model.num_classes == 1
    shown_values = mask_values(own, len(names), config.data.modality == "rgb")
    return {
        "logits": config.model.num_classes,
        "activation": "sigmoid" if one else "softmax",
        "rule": "foreground where above 0.5" if one else "the largest wins",
        "labels": {"0": "background"}
        | {str(v): name for v, name in zip(shown_values, names, strict=True)},
        "mask_values": None if own is None else list(own),
        "signature_labels": SIGNATURE_LABELS,
    }


def _training_data(run: Run, config: ExperimentConfig) -> dict[str, Any]:
    data = config.data
    split = run.split
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
    """Returns the scores by protocol, and a sentence about them."""
    if not (run.results / SCORES).is_file():
        return None, "The run was not scored."
    scores = read_scores(run)
    if stale := run.why_stale(run.results / SCORES, scores.weights_sha256):
        return None, f"The scores are {stale}, and left out."
    scored = {name: getattr(scores, name) for name in SCORED}
    level = scores.bootstrap["level"]
    chosen = [name for name, on in scored["options"].items() if on]
    note = (
        f"Of the {scored['num_cases']} cases of the {scored['split']} part, "
        + (f"with {' and '.join(chosen)}, " if chosen else "")
        + f"with {level:.0%} intervals by patient."
    )
    return {**scored, "interval_level": level, "protocols": scores.blocks}, note


def _limits(config: ExperimentConfig, scores: dict[str, Any] | None) -> list[str]:
    limits = [
        f"It was trained on {KINDS[config.data.modality]} of one dataset, "
        f"{config.data.dataset}; on others it may fail silently.",
        "It knows its classes only, and labels any image, also one that shows none.",
        f"It sees {config.model.image_size} x {config.model.image_size} pixels: "
        "structures smaller than one of them are lost.",
    ]
    if config.data.modality != "rgb":
        limits.append("It is a 2-D model: it labels each slice without its neighbors.")
    if (crop := config.data.center_crop) < 1:
        limits.append(
            f"It sees the central {crop:.0%} of each side of a slice, and labels what "
            "is around it as background."
        )
    if config.data.modality == "mri":
        limits.append(
            "It was trained on slices scaled by their whole volume's percentiles. An "
            "image file is scaled by its own, so its labels may differ."
        )
    if scores is None:
        limits.append("Its accuracy was not measured.")
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


def write_readme(
    card: dict[str, Any], signatures: Mapping[str, Collection[str]]
) -> str:
    """Returns the card as a README.md in Markdown.

    Args:
        card: Card of `make_card`.
        signatures: Names of the SavedModel's signatures, each with its outputs' names.
    """
    taken, output = card["input"], card["output"]
    side, logits = taken["size"], output["logits"]
    labels = ", ".join(f"{value} {name}" for value, name in output["labels"].items())
    files = FILE_SIGNATURES.format(logits=logits, classes=len(card["classes"]))
    has_files = "from_bytes" in signatures
    model = card["config"]["model"]
    sections = [
        f"# {card['name']}",
        f"Labels {taken['images']}: {labels}. {card['name']} on {model['backbone']}, "
        "made by synergynet_tf.",
        card["intended_use"],
        "## Inputs and outputs",
        f"- `serving_default`: `image`, float32 `(batch, {side}, {side}, 3)` in "
        f"[0, 1], to `logits`, float32 `(batch, {side}, {side}, {logits})`: "
        f"{output['activation']}, {output['rule']}"
        + (CODES if "codes" in signatures["serving_default"] else "")
        + ".\n"
        + (f"{files}\n\n{SIGNATURE_LABELS}" if has_files else NO_FILE_SIGNATURES),
        _readme_preprocessing(taken),
        "## Training data",
        _readme_training(card),
        "## Scores",
        _readme_scores(card),
        "## Limits",
        "\n".join(f"- {limit}" for limit in card["limits"]),
    ]
    return "\n\n".join(sections) + "\n"


def _readme_preprocessing(taken: dict[str, Any]) -> str:
    count, picked = taken["image_channels"], taken["picked_channels"]
    share = taken.get("center_crop", 1.0)  # Older cards have none.
    text = (
        f"Intensity: {taken['scaling']}. Resizing is by area where no side grows, and "
        "bilinear otherwise; the logits are resized to the image's own size, then "
        "labeled. Gray is repeated to three channels."
    )
    if count is not None:
        text += f" An image must have {count} of them."
    if picked:
        text += f" Of these, {picked} are taken, in this order."
    if share < 1:
        text += (
            f" After scaling, and before resizing, the central {share:.0%} of each "
            "side is taken; the logits are resized to that crop, and the border is "
            "background. Callers of `serving_default` must do the same."
        )
    return text


def _readme_training(card: dict[str, Any]) -> str:
    data, origin = card["training_data"], card["provenance"]
    cases = data["cases"] or {}
    split = f"{data['split']} split" + (
        f", fold {data['fold']}" if data["fold"] else ""
    )
    counted = ", ".join(f"{count} {part}" for part, count in cases.items())
    versions = ", ".join(
        f"{name} {origin[name]}"
        for name in ("synergynet_tf", "python", "keras", "backend")
        if origin[name]
    )
    return (
        f"{data['dataset']}, {split}: {counted or 'number of cases not known'}; "
        f"{data['epochs']} epochs. Commit {origin['commit'] or 'not known'}; "
        f"{versions or 'versions not known'}. Every setting is in `model_card.json`."
    )


def _readme_scores(card: dict[str, Any]) -> str:
    scores, note = card["scores"], card["scores_note"]
    if scores is None:
        return note
    rows = [["Protocol", "Class", "DSC", "HD95"]]
    for protocol, block in scores["protocols"].items():
        unit = HD95_UNITS.get(protocol, scores["distance_unit"])
        blocks = {"mean": (block["mean"], block["mean_interval"])}
        for name, values in block["per_class"].items():
            blocks[name] = values, block["per_class_interval"][name]
        for name, pair in blocks.items():
            dsc = _estimate(*pair, "dsc", "%")
            rows.append([protocol, name, dsc, _estimate(*pair, "hd95", unit)])
    return f"{note}\n\n{markdown(rows, left=4)}"


def _estimate(
    values: dict[str, Any], intervals: dict[str, Any], metric: str, unit: str
) -> str:
    """Formats a score and its interval: `82.0 % (80.1 to 84.0)`."""
    value = score(metric, values.get(metric), ".1f")
    if value == DASH:
        return DASH
    ends = [score(metric, end, ".1f") for end in intervals.get(metric) or [None]]
    return f"{value} {unit} ({DASH if DASH in ends else ' to '.join(ends)})"
