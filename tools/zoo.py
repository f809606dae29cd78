r"""Makes a shipped model: `python -m tools.zoo NAME --run RUN --baseline RUN`.

The runs must have been scored on the test part. Writes `NAME.tflite`, in float16, and
its model card into `synergynet_tf/zoo`; then commit both. With `--baseline` alone the
shipped model stays, and its card gets that baseline.
"""

from __future__ import annotations

import argparse
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from synergynet_tf import zoo
from synergynet_tf.cli import command_line
from synergynet_tf.export import tflite
from synergynet_tf.export.card import make_card
from synergynet_tf.export.exported_model import TFLITE, card_path
from synergynet_tf.runs import Run, write_json
from synergynet_tf.safe_io import read_json

MAX_BYTES = 8_000_000

RECIPE = (
    "--model synergynet-8s2h --backbone efficientnetlite0 --hidden-dim 128 "
    "--num-codes 256 --recipe modern"
)
ENTRIES: dict[str, dict[str, Any]] = {
    "isic-lite0": {
        "title": "skin lesions in dermoscopy photographs",
        "data": {
            "name": "ISIC 2017 challenge, Part 1: 1,600 of its training images, "
            "resized to 256 x 256",
            "source": "https://challenge.isic-archive.com/data/#2017",
            "license": "CC0 1.0",
            "attribution": "Codella et al., Skin Lesion Analysis Toward Melanoma "
            "Detection, arXiv:1710.05006",
        },
        "license": "Apache-2.0",
        "note": "One of the 120 test photographs, ISIC_0012127, is in the training "
        "part, too, as ISIC_0012970.",
        "protocol": "pooled",
        "command": "python train.py --dataset isic --data-dir ISIC2017 "
        "--split official --image-size 128 --epochs 12 " + RECIPE,
    },
    "hippocampus-lite0": {
        "title": "anterior and posterior hippocampus in cropped T1 MRI",
        "data": {
            "name": "Medical Segmentation Decathlon, Task04_Hippocampus: 166 of 208 "
            "volumes",
            "source": "http://medicaldecathlon.com",
            "license": "CC BY-SA 4.0",
            "attribution": "Simpson et al., A large annotated medical image dataset, "
            "arXiv:1902.09063; Vanderbilt University Medical Center",
        },
        "license": "CC BY-SA 4.0",
        "note": "",
        "protocol": "strict",
        "command": "python train.py --dataset msd --data-dir Task04_Hippocampus "
        "--split random --image-size 64 --epochs 10 " + RECIPE,
    },
}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__)
    parser.add_argument("name", choices=ENTRIES)
    parser.add_argument(
        "--run", help="folder of the scored run (default: of which the card is)"
    )
    parser.add_argument(
        "--baseline", required=True, help="folder of the scored run of r50-unet"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Exports the run and writes its card."""
    args = parse_args(argv)
    target = zoo.FOLDER / f"{args.name}{TFLITE}"
    baseline = make_card(Run(args.baseline))
    if not args.run:
        card = read_json(card_path(target))
        card[zoo.SECTION] = section(args.name, card, baseline)
        write_json(card_path(target), card)
        print(f"{card_path(target)}: with its baseline")
        return
    run = Run(args.run)
    card = make_card(run)
    card[zoo.SECTION] = section(args.name, card, baseline)

    from synergynet_tf.evaluation.predictor import load_run_model

    with tempfile.TemporaryDirectory(dir=zoo.FOLDER) as folder:
        made = pathlib.Path(folder, target.name)
        measured = tflite.save(load_run_model(run), "float16", (), card, made)
        if measured["bytes"] > MAX_BYTES:
            raise ValueError(f"{made.name} has more than {MAX_BYTES / 1e6:.0f} MB")
        for path in (made, card_path(made)):
            path.replace(zoo.FOLDER / path.name)
    print(f"{target}: {measured['bytes'] / 1e6:.1f} MB")


def section(
    name: str, card: Mapping[str, Any], baseline: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the section `zoo` of a card.

    Args:
        name: A key of `ENTRIES`.
        card: The run's.
        baseline: The card of the baseline's run.

    Raises:
        ValueError: If one is not scored, or the baseline is of other data, another
            encoder or another recipe.
    """
    if card["scores"] is None:
        raise ValueError("The run must have been scored: run evaluate.py")
    for part in ("data", "optimizer", "training"):
        if card["config"][part] != baseline["config"][part]:
            raise ValueError(f"The baseline differs in {part} from the run")
    for part in ("backbone", "image_size", "encoder_weights"):
        if card["config"]["model"][part] != baseline["config"]["model"][part]:
            raise ValueError(f"The baseline differs in {part} from the run")
    if baseline["scores"] is None:
        raise ValueError("The baseline must have been scored: run evaluate.py")
    protocols = baseline["scores"]["protocols"]
    return {
        **ENTRIES[name],
        "baseline": {"name": baseline["name"], "protocols": protocols},
    }


if __name__ == "__main__":
    command_line.run(main)
