"""Readers of a run's folder and of what is exported of it."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from typing import Any

from benchmarks.hostile.samples import Reader, Sample
from synergynet_tf import metrics, runs
from synergynet_tf.config import ExperimentConfig


def _run(name: str) -> Sample:
    """Returns a run's folder; one of its files is mutated."""

    def write(folder: pathlib.Path, real: pathlib.Path | None) -> pathlib.Path:
        config = ExperimentConfig().replace(dataset="acdc", num_classes=4)
        rows = "epoch,loss,dsc,val_loss,val_dsc\n1,0.5,0.5,0.5,0.5\n2,0.4,0.6,0.4,0.6\n"
        files = {
            "config.json": config.replace(modality="mri", split="paper").to_json(),
            "classes.json": '["rv", "myo", "lv"]',
            "channels.json": "1",
            "history.csv": rows,
            "best.weights.h5": "",
            "split.json": '{"train": ["a", "b"], "val": ["c"], "test": ["d"]}',
            "environment.json": '{"commit": "abc", "python": "3.11"}',
            "metrics.json": json.dumps(_scores()),
        }
        for file, text in files.items():
            (folder / file).write_text(text)
        os.utime(folder / "best.weights.h5", (1, 1))
        return folder / name

    return write


def _scores() -> dict[str, Any]:
    scores = dict.fromkeys(metrics.METRICS, 0.5)
    names = ("rv", "myo", "lv")
    counts = {name: [0.1, 0.2, 0.3, 0.4] for name in names}
    per_class = dict.fromkeys(names, scores)
    intervals = {metric: [0.4, 0.6] for metric in metrics.METRICS}
    block = {
        "mean": scores,
        "mean_interval": intervals,
        "per_class": per_class,
        "per_class_interval": dict.fromkeys(names, intervals),
    }
    case = {"patient": "p", "per_class": per_class, "counts": counts}
    case |= {"strict": per_class, "transunet": per_class}
    return {
        **{"dataset": "acdc", "model": "r50-unet", "seed": 0, "split": "test"},
        **{"data_split": "paper", "fold": "", "limit": None, "protocol": "strict"},
        **{"distance_unit": "mm", "options": {"flips": False, "largest": False}},
        **{"num_cases": 2, "num_patients": 2, "strict": block, "transunet": block},
        **{"data_dir": "/data", "paper_protocol": "transunet", "backbone": "resnet50"},
        **{"num_codes": 1024, "hidden_dim": 512, "image_size": 224, "epochs": 150},
        **{"trained_epochs": 150, "codes": {"used": 9, "total": 10, "perplexity": 5.0}},
        "structures": {n: {"empty": 0, "missed": 1, "false": 0} for n in names},
        "bootstrap": {"resamples": 2000, "seed": 0, "level": 0.95},
        "cases": [{"case_id": f"case{i}", **case, "patient": f"p{i}"} for i in (0, 1)],
    }


def read_run(run: pathlib.Path) -> Any:
    """Reads what evaluate.py and predict.py read of a run before its weights."""
    from synergynet_tf.evaluation.figures.curves import write_curves

    opened = runs.Run(run)
    write_curves(opened)
    found = dataclasses.asdict(opened.config), opened.class_names
    return *found, opened.image_channels, opened.history


def read_comparison(run: pathlib.Path) -> Any:
    """Compares a run with itself."""
    from synergynet_tf.evaluation.tables.compare import compare_runs, format_comparison

    comparison = compare_runs(runs.Run(run), runs.Run(run))
    format_comparison(comparison)
    return comparison


def read_table(run: pathlib.Path) -> Any:
    """Sets a run's scores beside the paper's."""
    from synergynet_tf.evaluation.tables import paper, rows
    from synergynet_tf.experiments import BUDGETS, TABLES

    table, budget = TABLES[2], BUDGETS["short"]
    row = next(iter(table.rows))
    found = rows.RowRun(row, runs.Run(run))
    report, reason = rows.read_scores(found)
    if report is None:
        raise ValueError(f"metrics.json: {reason}")  # It is scored again.
    scores = {row: [report]}
    paper.make_table(table, "acdc", budget, [found], scores, row)
    return report


def read_for_card(run: pathlib.Path) -> Any:
    """Makes the card of an export."""
    from synergynet_tf.export.card import make_card

    return make_card(runs.Run(run))


def _card(folder: pathlib.Path, real: pathlib.Path | None) -> pathlib.Path:
    _run("config.json")(folder, None)
    path = folder / "exported/model_card.json"
    runs.write_json(path, read_for_card(folder))
    (folder / "exported/saved_model.pb").write_bytes(b"")
    return path


def read_card(folder: pathlib.Path) -> Any:
    """Finds an export and reads its card."""
    from synergynet_tf.export.exported_model import find_exported

    found = find_exported(folder / "exported")
    return found.card.class_names, found.card.image_channels, found.precision


READERS = {
    "run config.json": Reader(_run("config.json"), "json", read_run),
    "run classes.json": Reader(_run("classes.json"), "json", read_run),
    "run channels.json": Reader(_run("channels.json"), "json", read_run),
    "run history.csv": Reader(_run("history.csv"), "csv", read_run),
    "metrics.json, --compare": Reader(_run("metrics.json"), "json", read_comparison),
    "metrics.json, --table": Reader(_run("metrics.json"), "json", read_table),
    "metrics.json, export": Reader(_run("metrics.json"), "json", read_for_card),
    "split.json, export": Reader(_run("split.json"), "json", read_for_card),
    "environment.json, export": Reader(_run("environment.json"), "json", read_for_card),
    "model_card.json": Reader(_card, "json", read_card),
}
