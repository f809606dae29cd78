"""The page that goes with an exported model, for people: its card in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from synergynet_tf.formats import DASH, markdown, score

HD95_UNITS = {"transunet": "voxels"}
FILE_SIGNATURES = """\
- `from_bytes`: `image_bytes`, JPEG or PNG files, a string tensor `(batch,)`, to
  `labels`, uint8 `(batch, rows, columns)`; `probabilities`, float32 `(batch, rows,
  columns, {logits})`; `areas`, the pixels of each class, int32 `(batch, {classes})`;
  `classes`, their names, string `(batch, {classes})`; `sizes`, each image's rows and
  columns, int32 `(batch, 2)`. Smaller images are filled up with background: crop by
  `sizes`.
- `png_from_bytes`: the same input, to `labels_png_bytes`, each label map as a PNG file
  of the image's own size; `areas`, `classes` and `sizes`. The answer to ask for over
  REST."""
CODES = "; and `codes`, int32, which entry of the codebook each position takes"
NO_FILE_SIGNATURES = """\
There is no signature for image files: this model takes Hounsfield units, or channels,
that a JPEG or PNG file has not."""


def write_readme(
    card: dict[str, Any], signatures: Mapping[str, Collection[str]]
) -> str:
    """Returns Markdown from what `synergynet_tf.export.model_card.make_card` returns.

    Args:
        card: The card.
        signatures: Names of the SavedModel's, each with its outputs' names.
    """
    taken, output = card["input"], card["output"]
    side, logits = taken["size"], output["logits"]
    labels = ", ".join(f"{value} {name}" for value, name in output["labels"].items())
    files = FILE_SIGNATURES.format(logits=logits, classes=len(card["classes"]))
    model = card["config"]["model"]
    sections = [
        f"# {card['name']}",
        f"Labels {taken['images']}: {labels}. {card['name']} on {model['backbone']}, "
        "made by synergynet_tf.",
        card["intended_use"],
        "## What it takes and returns",
        f"- `serving_default`: `image`, float32 `(batch, {side}, {side}, 3)` in "
        f"[0, 1], to `logits`, float32 `(batch, {side}, {side}, {logits})`: "
        f"{output['activation']}, {output['rule']}"
        + (CODES if "codes" in signatures["serving_default"] else "")
        + ".\n"
        + (files if "from_bytes" in signatures else NO_FILE_SIGNATURES),
        f"Of an image's values, {taken['scaling']}. Resizing averages areas where "
        "no side grows, and is bilinear otherwise; the logits are brought back to "
        "the image's own size, then labeled. Gray is repeated to three channels."
        + _channels(taken)
        + _crop(taken),
        "## What it was trained on",
        _training(card),
        "## How good it is",
        _scores(card),
        "## Limits",
        "\n".join(f"- {limit}" for limit in card["limits"]),
    ]
    return "\n\n".join(sections) + "\n"


def _channels(taken: dict[str, Any]) -> str:
    count, picked = taken["image_channels"], taken["picked_channels"]
    text = "" if count is None else f" An image must have {count} of them."
    return text + (f" Of these, {picked} are taken, in this order." if picked else "")


def _crop(taken: dict[str, Any]) -> str:
    share = taken.get("center_crop", 1.0)  # Cards of before had none.
    if share == 1:
        return ""
    return (
        f" After scaling, and before resizing, the central {share:.0%} of each side is "
        "taken; the logits are brought back to there, and what is around it is "
        "background. Who calls `serving_default` does so too."
    )


def _training(card: dict[str, Any]) -> str:
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


def _scores(card: dict[str, Any]) -> str:
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
