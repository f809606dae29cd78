"""The page: one HTML file with model, runtime and program, or a folder of files."""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import pathlib
import shutil
import tempfile
from typing import Any, NamedTuple

import jinja2

from synergynet_tf import runs
from synergynet_tf.config import ExperimentConfig
from synergynet_tf.data.preprocess import Preprocessor
from synergynet_tf.data.spec import mask_values
from synergynet_tf.evaluation import report
from synergynet_tf.evaluation.figures.overlays import class_color
from synergynet_tf.export.card import Card
from synergynet_tf.export.exported_model import Exported
from synergynet_tf.export.web.runtime import VERSION, Runtime
from synergynet_tf.formats import score

HERE = pathlib.Path(__file__).parent
# Style sheet that the reports share.
THEME = pathlib.Path(report.__file__).parent / "theme.css"
# Numbers of channels that an image file of a browser can have.
IMAGE_CHANNELS = (1, 3)
LICENSE = "apache-2.0.j2"
# Names of the files in a folder.
PAGE, STYLE, SCRIPT, WORKER, MODEL = (
    "index.html",
    "page.css",
    "app.js",
    "worker.js",
    "model.tflite",
)


class Parts(NamedTuple):
    """Parts of a page, before it is one file or several.

    Attributes:
        context: Variables of the template, from the model card.
        settings: Settings of the program.
        style: CSS.
        script: JavaScript of the page.
        worker: JavaScript of its worker.
        files: Files that the worker reads, by name.
    """

    context: dict[str, Any]
    settings: dict[str, Any]
    style: str
    script: str
    worker: str
    files: dict[str, bytes]


def check_images(config: ExperimentConfig, channels: int | None) -> None:
    """Refuses a model whose images no browser can read.

    Args:
        config: Config of the run.
        channels: Number of channels of the training scans; `None` if unknown.

    Raises:
        ValueError: If it takes Hounsfield units, or more channels than colors.
    """
    if Preprocessor.of(config).modality == "ct":
        raise ValueError(
            "A browser reads no NIfTI scans, and this model was trained on CT, in "
            "Hounsfield units: no image file holds these. Use synergynet predict"
        )
    if channels not in (None, *IMAGE_CHANNELS):
        raise ValueError(
            f"A browser reads image files, and this model was trained on scans with "
            f"{channels} channels: no image file holds these. Use synergynet predict"
        )


def make_parts(exported: Exported, runtime: Runtime) -> Parts:
    """Returns the parts of a page.

    Args:
        exported: Exported `.tflite` file with its card.
        runtime: LiteRT.js.

    Raises:
        ValueError: If the model is damaged, or takes what no browser reads.
    """
    card = exported.card
    check_images(card.config, card.image_channels)
    exported.open()
    files = {f"{build}.wasm": content for build, content in runtime.wasm.items()}
    files[MODEL] = exported.path.read_bytes()
    preprocessor = Preprocessor.of(card.config)
    values = mask_values(card.label_values, len(card.class_names), image=True)
    settings = {
        "classes": [
            {"name": name, "color": class_color(value)}
            for value, name in enumerate(card.class_names, start=1)
        ],
        "values": [0, *values],
        "size": preprocessor.size,
        "logits": card.config.model.num_classes,
        "modality": preprocessor.modality,
        "picked": [int(number) for number in preprocessor.channels.split()],
        "centerCrop": preprocessor.center_crop,
        "temperature": card.temperature,
        "imageChannels": card.image_channels,
        "files": {
            name: {
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            for name, content in files.items()
        },
    }
    program = [_source(name) for name in ("preprocess.js", "images.js", "sha256.js")]
    return Parts(
        _context(exported, values),
        settings,
        THEME.read_text("utf-8") + _source("page.css"),
        _source("preprocess.js") + _source("app.js"),
        "\n".join([runtime.script, *program, _source("worker.js")]),
        files,
    )


def write_file(parts: Parts, target: pathlib.Path) -> None:
    """Writes one HTML file, whole or not at all."""
    embedded = {WORKER: parts.worker.encode(), **parts.files}
    text = _render(
        parts,
        embedded={name: _packed(content) for name, content in embedded.items()},
        style=parts.style,
        style_source=_digest(parts.style),
        script=parts.script,
        script_source=_digest(parts.script),
    )
    runs.write_text(target, text)


def write_folder(parts: Parts, target: pathlib.Path) -> None:
    """Writes a static site into a new folder, whole or not at all."""
    texts = {
        PAGE: _render(parts, embedded=None),
        STYLE: parts.style,
        SCRIPT: parts.script,
        WORKER: parts.worker,
        "LICENSE-LiteRT.js.txt": _source(LICENSE),
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    made = pathlib.Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        for name, content in parts.files.items():
            (made / name).write_bytes(content)
        for name, text in texts.items():
            (made / name).write_text(text, encoding="utf-8")
        made.chmod(0o755)
        made.rename(target)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _render(parts: Parts, embedded: dict[str, str] | None, **sources: str) -> str:
    settings = {**parts.settings, "embedded": embedded is not None}
    return (
        _environment()
        .get_template("page.html.j2")
        .render(**parts.context, settings=settings, embedded=embedded, **sources)
    )


@functools.cache
def _environment() -> jinja2.Environment:
    """Returns the template environment: text is escaped, a missing name an error."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _context(exported: Exported, values: tuple[int, ...]) -> dict[str, Any]:
    """Returns the template's variables from a card."""
    card = exported.card
    taken, data = card.values["input"], card.values["training_data"]
    side, model = taken["size"], card.config.model
    facts = {
        "Method": f"{model.name} on {model.backbone}",
        "Trained on": f"{taken['images']}: {data['dataset']}, {data['epochs']} epochs",
        "Input": f"{side} x {side} pixels; {taken['scaling']}",
        "Values in a mask": ", ".join(
            f"{value} {name}"
            for value, name in zip(
                (0, *values), ("background", *card.class_names), strict=True
            )
        ),
        "File": f"{exported.path.name}, quantization {exported.quantization}",
        "SHA-256": card.values["tflite"]["sha256"],
        "Scores": _scores(card),
    }
    return {
        "title": f"{model.name}: {', '.join(card.class_names)}",
        "is_scan": taken["modality"] != "rgb",
        "facts": facts,
        "intended_use": card.values["intended_use"],
        "limits": card.values["limits"],
        "version": VERSION,
    }


def _scores(card: Card) -> str:
    scores, note = card.values["scores"], card.values["scores_note"]
    if scores is None:
        return str(note)
    each = ", ".join(
        f"{score('dsc', block['mean'].get('dsc'), '.1f')} % ({protocol})"
        for protocol, block in scores["protocols"].items()
    )
    return f"Dice {each}. {note}"


def _source(name: str) -> str:
    return (HERE / name).read_text("utf-8")


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, mtime=0)).decode("ascii")


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
