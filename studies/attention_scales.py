"""Scales in an untrained bottleneck: `python -m studies.attention_scales`.

Builds SynergyNet-8s2h at the project's own settings (ResNet-50 from scratch, 128
pixels, 512 channels, 1,024 codes), starts the codes by k-means, and looks at the first
batches in training mode, with either attention. Prints the table of docs/attention.md.
No image of the test part is looked at.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from synergynet_tf.cli import command_line
from synergynet_tf.config import (
    ATTENTIONS,
    ExperimentConfig,
    default_data_dir,
    num_logits,
)
from synergynet_tf.data import DATASETS, prepared
from synergynet_tf.data.splits import complete

# Rows by their part and name in `AttentionSummary.results`.
ATTENTION_ROWS = {
    "disconx": {
        "effective_tokens": "DisConX: tokens that a query looks at",
        "told_by_query_bits": "DisConX: bits that a query tells of the place",
    },
    "refinement": {
        "distinct_picks": "refinement: places picked",
        "picks_itself": "refinement: picks itself",
    },
}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__.splitlines()[0] if __doc__ else None)
    add = parser.add_argument
    add("--dataset", default="acdc", choices=DATASETS, help="default: acdc")
    add("--data-dir", help="default: $SYNERGYNET_DATA/<dataset>, else data/<dataset>")
    add("--image-size", type=int, default=128, help="default: 128")
    add("--batches", type=int, default=3, help="how many are looked at (default: 3)")
    return parser.parse_args(argv)


def measure(config: ExperimentConfig, data: prepared.Prepared, count: int) -> dict:
    """Returns the numbers of a column, by their names in the table.

    Args:
        config: The run's.
        data: Of which training images are taken.
        count: Batches.
    """
    import keras
    from keras import ops

    from synergynet_tf.data.batches import Batches
    from synergynet_tf.evaluation.codes.analysis import AttentionSummary
    from synergynet_tf.training.codebook import start_codebooks
    from synergynet_tf.training.fit import compiled_model

    batches = Batches(data.train, config.training.batch_size, 0, training=True)
    model = compiled_model(config, len(batches))
    start_codebooks(model, batches, seed=0)
    disconx = model.get_layer("disconx")
    refinement = model.get_layer("refinement")
    z_dis, z_con = disconx.input
    parts = keras.Model(
        model.input,
        {
            "z_con": z_con,
            "z_dis": z_dis,
            "z_dc": disconx.output,
            "z_f": refinement.input,
            "z_ref": refinement.output,
        },
    )
    columns: dict[str, list[Any]] = {}
    summary = AttentionSummary()

    def note(name: str, value: Any) -> None:
        columns.setdefault(name, []).append(float(value))

    for step in range(count):
        found = parts(batches.batch(0, step)[0], training=True)
        for name, features in found.items():
            tokens = np.asarray(ops.convert_to_numpy(ops.cast(features, "float32")))
            tokens = tokens.reshape(len(tokens), -1, tokens.shape[-1])
            note(f"length of {name}", np.sqrt((tokens**2).sum(-1).mean()))
            note(f"SD of {name}", np.sqrt(tokens.var(axis=1).sum(-1).mean()))
        attention = np.asarray(
            ops.convert_to_numpy(
                disconx.attention_weights(found["z_dis"], found["z_con"])
            )
        )
        logits = np.log(attention.astype(np.float64) + 1e-30)
        note("DisConX: SD of logits over the keys", logits.std(axis=-1).mean())
        picks = ops.convert_to_numpy(refinement.attention(found["z_f"])).argmax(-1)
        summary.add_weights(attention, picks)
    table = {name: float(np.mean(values)) for name, values in columns.items()}
    for part, rows in ATTENTION_ROWS.items():
        found = summary.results()[part] or {}
        table |= {title: found[name]["mean"] for name, title in rows.items()}
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table: Markdown, an attention a column."""
    args = parse_args(argv)
    root = pathlib.Path(args.data_dir or default_data_dir(args.dataset)).resolve()
    config = ExperimentConfig().replace(
        dataset=args.dataset,
        data_dir=str(root),
        num_classes=num_logits(len(DATASETS[args.dataset].class_names(root))),
        image_size=args.image_size,
        encoder_weights="none",
    )
    data = complete(config.data)
    arrays = prepared.prepare(data, args.image_size)
    names = list(reversed(ATTENTIONS))
    columns = [
        measure(config.replace(attention=name), arrays, args.batches) for name in names
    ]
    print(f"| | {' | '.join(f'`{name}`' for name in names)} |")
    print(f"|---|{'---:|' * len(names)}")
    for row in columns[0]:
        print(f"| {row} | {' | '.join(f'{column[row]:.2f}' for column in columns)} |")


if __name__ == "__main__":
    command_line.run(main)
