"""Trains with the tests' encoder, as a command: `python -m tests.training.tiny_fit`.

The first argument is a JSON list of pairs, a config and the folder of its run; they are
trained one after the other.
"""

import csv
import dataclasses
import json
import sys

from synergynet_tf.cli import command_line
from synergynet_tf.config import ExperimentConfig
from synergynet_tf.models import ENCODERS
from tests.conftest import tiny_encoder


def history(run):
    """Reads `history.csv`, but for the seconds."""
    with open(run / "history.csv", newline="") as file:
        return [
            {name: float(value) for name, value in row.items() if name != "seconds"}
            for row in csv.DictReader(file)
        ]


def still(tiny):
    """A training whose weights do not move, so that rounding flips nothing.

    Dead codes and moving averages do move. Neither the batches of 3 of 20 images nor
    the last of 2 can be divided evenly.
    """
    return tiny.replace(learning_rate=1e-30, limit=5, batch_size=3, epochs=2)


def command(*pairs):
    """Returns what trains configs into the folders of their runs."""
    text = json.dumps([(dataclasses.asdict(config), str(run)) for config, run in pairs])
    return [sys.executable, "-m", "tests.training.tiny_fit", text]


def main(arguments):
    ENCODERS["tiny"] = tiny_encoder
    from synergynet_tf.training import fit

    for config, run in json.loads(arguments[0]):
        fit(ExperimentConfig.from_json(json.dumps(config)), run)


if __name__ == "__main__":
    command_line.run(main)
