"""Finished runs of a table with scores that are known, and no weights."""

import os

from synergynet_tf import metrics, runs
from synergynet_tf.config import ExperimentConfig
from synergynet_tf.experiments import BUDGETS, TABLES, runs_folder
from synergynet_tf.formats import without_nan

CLASSES = {"acdc": ("rv", "myo", "lv"), "isic": ("lesion",)}
PROTOCOLS = {"acdc": "transunet", "isic": "pooled"}


# What scores say of their run, and of how they were made.
RUN = {
    "data_dir": "/data",
    "model": "synergynet-8s2h",
    "backbone": "resnet50",
    "num_codes": 1024,
    "hidden_dim": 512,
    "split": "test",
    "fold": "",
    "limit": None,
    "image_size": 224,
    "epochs": 150,
    "trained_epochs": 150,
    "options": {"flips": False, "largest": False},
    "bootstrap": {"resamples": 2000, "seed": 0, "level": 0.95},
    "distance_unit": "mm",
    "codes": None,
}


def make_block(names, mean):
    """Returns a mean that each class has, too, without intervals."""
    intervals = {metric: [None, None] for metric in mean}
    return {
        "mean": mean,
        "mean_interval": intervals,
        "per_class": dict.fromkeys(names, mean),
        "per_class_interval": dict.fromkeys(names, intervals),
    }


def make_scores(dsc):
    return dict.fromkeys(metrics.METRICS, dsc) | {"hd95": 10 * dsc}


def make_case(number, dsc, dataset):
    """Returns a case whose every class has this DSC, in every protocol."""
    names, scores = CLASSES[dataset], make_scores(dsc)
    # They add up to 1, and 2 (d / 2) / (2 (d / 2) + (1 - d)) = d.
    shares = [dsc / 2, (1 - dsc) / 2, (1 - dsc) / 2, dsc / 2]
    return {
        "case_id": f"case{number}",
        "patient": f"patient{number}",
        "per_class": dict.fromkeys(names, scores),
        **{p: dict.fromkeys(names, scores) for p in ("strict", PROTOCOLS[dataset])},
        "counts": {name: shares for name in names},
    }


def make_report(dsc, dataset="acdc", seed=0, split="paper", limit=None):
    """Returns what `evaluate_run` would of cases with these DSC."""
    names = CLASSES[dataset]
    block = make_block(names, make_scores(sum(dsc) / len(dsc)))
    return without_nan(
        {
            **RUN,
            "dataset": dataset,
            "seed": seed,
            "data_split": split,
            "limit": limit,
            "num_cases": len(dsc),
            "num_patients": len(dsc),
            "protocol": "strict",
            "paper_protocol": PROTOCOLS[dataset],
            **block,
            "strict": block,
            PROTOCOLS[dataset]: block,
            "structures": {n: {"empty": 0, "missed": 0, "false": 0} for n in names},
            "cases": [make_case(i, value, dataset) for i, value in enumerate(dsc)],
        }
    )


def write_run(
    folder, table, row, dsc=None, seed=0, budget="short", dataset=None, **changes
):
    """Writes a finished run of a row, scored if `dsc` has a value for each case."""
    entry, dataset = TABLES[table], dataset or TABLES[table].datasets[-1]
    settings = {**BUDGETS[budget].settings, **entry.rows[row].settings}
    settings |= {"dataset": dataset, "split": "paper", "seed": seed, **changes}
    config = ExperimentConfig().replace(**settings)
    place = runs_folder(folder, BUDGETS[budget], entry.rows[row])
    run = runs.run_dir(place, config)
    runs.write_text(run / "config.json", config.to_json())
    runs.write_text(run / runs.BEST_WEIGHTS, "")
    runs.write_json(run / runs.FINISHED, {})
    if dsc is not None:
        report = make_report(dsc, dataset, seed, config.data.split)
        runs.write_json(run / "metrics.json", report)
        # Not by the clock, which may be coarse.
        os.utime(run / runs.BEST_WEIGHTS, (1, 1))
    return run
