"""What is written about a scored run: `metrics.json` and `cases.csv`."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from synergynet_tf import metrics
from synergynet_tf.data.preprocess import Preprocessor
from synergynet_tf.evaluation.case_scores import CaseResult
from synergynet_tf.evaluation.cases import RunCases
from synergynet_tf.evaluation.postprocess import Options
from synergynet_tf.formats import without_nan
from synergynet_tf.metrics import bootstrap

# What makes another row of the paper's tables, besides the model.
MODEL_SETTINGS = ("backbone", "num_codes", "hidden_dim")


def make_report(
    cases: RunCases,
    protocol: str,
    options: Options,
    results: Sequence[CaseResult],
    codes: dict[str, Any] | None,
) -> dict[str, Any]:
    """Returns what `metrics.json` holds; `evaluate_run` says what that is."""
    config, dataset = cases.config, cases.dataset
    patients = [result.patient for result in results]
    weights = bootstrap.draw_patients(patients)
    blocks = {name: _block(results, name, weights) for name in results[0].scores}
    report = {
        **describe(cases, options),
        "protocol": protocol,
        "paper_protocol": dataset.PAPER_PROTOCOL,
        "distance_unit": "px" if Preprocessor.of(config).modality == "rgb" else "mm",
        **blocks[protocol],
        **blocks,
        "structures": _structures(results, protocol, cases.class_names),
        "codes": codes,
        "cases": [
            {
                "case_id": result.case_id,
                "patient": result.patient,
                "per_class": result.scores[protocol],
                **result.scores,
                "counts": result.counts["strict"],
            }
            for result in results
        ],
    }
    return without_nan(report)


def describe(cases: RunCases, options: Options) -> dict[str, Any]:
    """Returns what was predicted: the run's settings, the cases and the options.

    `data_dir` is the folder that was read, wherever the run was trained.
    """
    config = cases.config
    return {
        "dataset": config.data.dataset,
        "data_dir": str(cases.root.resolve()),
        "model": config.model.name,
        **{name: getattr(config.model, name) for name in MODEL_SETTINGS},
        "seed": config.training.seed,
        "split": cases.part,
        "data_split": config.data.split,
        "fold": config.data.fold,
        "limit": config.data.limit,
        "image_size": config.model.image_size,
        "epochs": config.training.epochs,
        "trained_epochs": cases.trained_epochs,
        "options": dataclasses.asdict(options),
        "num_cases": len(cases.case_ids),
        "num_patients": len(set(cases.patients.values())),
        "bootstrap": {
            "resamples": bootstrap.RESAMPLES,
            "seed": bootstrap.SEED,
            "level": bootstrap.LEVEL,
        },
    }


def case_rows(results: Sequence[CaseResult], protocol: str) -> list[dict[str, Any]]:
    """Returns the lines of `cases.csv`: one for each class of each case."""
    return [
        {
            "case_id": result.case_id,
            "patient": result.patient,
            "class": name,
            "presence": result.presence(protocol, name),
        }
        | without_nan(scores)
        for result in results
        for name, scores in result.scores[protocol].items()
    ]


def _block(
    results: Sequence[CaseResult], protocol: str, weights: np.ndarray
) -> dict[str, Any]:
    """Returns the means over all cases, and their intervals."""
    if protocol == "pooled":
        counts = [result.counts[protocol] for result in results]
        per_class = metrics.pool(counts)
        resampled = bootstrap.resample_pools(counts, weights)
    else:
        scores = [result.scores[protocol] for result in results]
        per_class = metrics.average(scores)
        resampled = bootstrap.resample_averages(scores, weights)
    return {
        "mean": metrics.mean_of_classes(per_class),
        "mean_interval": bootstrap.mean_intervals(resampled),
        "per_class": per_class,
        "per_class_interval": bootstrap.class_intervals(resampled),
    }


def _structures(
    results: Sequence[CaseResult], protocol: str, names: tuple[str, ...]
) -> dict[str, dict[str, int]]:
    counted = {
        name: Counter(result.presence(protocol, name) for result in results)
        for name in names
    }
    return {
        name: {kind: counts[kind] for kind in ("empty", "missed", "false")}
        for name, counts in counted.items()
    }
