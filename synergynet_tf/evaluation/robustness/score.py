"""Robustness of a run: its DSC on corrupted images."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from synergynet_tf import metrics, runs
from synergynet_tf.evaluation.cases import RunCases
from synergynet_tf.evaluation.postprocess import NO_POSTPROCESSING, Postprocessing
from synergynet_tf.evaluation.predict import label_all
from synergynet_tf.evaluation.predictor import Predictor, load_run_model
from synergynet_tf.evaluation.robustness.corruptions import (
    PARAMETERS,
    SEED,
    SEVERITIES,
    corrupt,
)
from synergynet_tf.evaluation.scores import describe
from synergynet_tf.formats import without_nan
from synergynet_tf.metrics import ClassScores, bootstrap
from synergynet_tf.runs import SCORED_SHA256, Run
from synergynet_tf.safe_io import read_json

CORRUPTION = "corruption.json"
PART = "corruption.part.json"
CLEAN = "clean"
POINTS = ((CLEAN, 0), *itertools.product(PARAMETERS, SEVERITIES))


def corrupt_run(
    cases: RunCases,
    options: Postprocessing = NO_POSTPROCESSING,
    seed: int = SEED,
) -> dict[str, Any]:
    """Scores a run on its cases: clean, then under each corruption and severity.

    What was scored before with the same settings and weights is taken from
    `corruption.json`, or from the part of it that an interrupted call has left.

    Args:
        cases: Cases of the run, in whose `results` `corruption.json` is written last.
        options: Post-processing of the predictions.
        seed: Seed of the corruptions' random draws.

    Returns:
        Content of `corruption.json`: the run's settings, the `protocol`, `strict`, the
        `corruption_seed`, and `rows`, first the clean one: `corruption`, `severity` and
        its `parameter`, mean `dsc` over classes, its bootstrap `interval` by patient,
        the same of each class, and the DSC of the `cases` by class.

    Raises:
        ValueError: If the run or a case cannot be used.
    """
    folder = cases.run.results
    settings = {
        **describe(cases, options),
        "protocol": "strict",
        "corruption_seed": seed,
    }
    rows = _scored_rows(cases.run, settings, cases.case_ids)
    weights = {SCORED_SHA256: cases.run.weights_sha256}
    report = settings | weights | {"rows": rows}
    if len(rows) < len(POINTS):
        for row in _score_points(cases, options, seed, len(rows)):
            rows.append(row)
            runs.write_json(folder / PART, report)
    runs.write_json(folder / CORRUPTION, report)
    (folder / PART).unlink(missing_ok=True)
    return report


def _scored_rows(
    run: Run, settings: dict[str, Any], case_ids: Sequence[str]
) -> list[dict[str, Any]]:
    """Returns the rows of the first of `POINTS` that need not be scored again."""
    for name in (CORRUPTION, PART):
        path = run.results / name
        if not path.is_file():
            continue
        try:
            report = read_json(path)
            if run.why_stale(path, report.pop(SCORED_SHA256, None)):
                continue
            rows: list[dict[str, Any]] = report.pop("rows")
            wanted = [_point(*point) for point in POINTS[: len(rows)]]
            if (
                report == settings
                and [{key: row[key] for key in _point(CLEAN, 0)} for row in rows]
                == wanted
                and all(list(row["cases"]) == list(case_ids) for row in rows)
            ):
                return rows
        except (AttributeError, KeyError, TypeError, ValueError):
            continue  # Damaged: it is made anew.
    return []


def _score_points(
    cases: RunCases, options: Postprocessing, seed: int, done: int
) -> Iterator[dict[str, Any]]:
    """Yields the rows of `POINTS` without the first, which are `done`."""
    predictor = Predictor(load_run_model(cases.run))
    patients = [cases.patients[case_id] for case_id in cases.case_ids]
    weights = bootstrap.draw_patients(patients)
    title, count = f"corrupt {cases.config.model.name}", len(cases.case_ids)
    modality = cases.preprocessor.modality
    progress = {"total": count * len(POINTS), "initial": count * done}
    with tqdm(None, title, unit="case", disable=None, **progress) as bar:
        for name, severity in POINTS[done:]:
            alter = functools.partial(
                _corrupt, name=name, severity=severity, modality=modality, seed=seed
            )
            scores = {}
            for case_id, score in _score(cases, predictor, options, alter):
                scores[case_id] = score
                bar.update()
            yield without_nan(_row(name, severity, scores, weights))


def _corrupt(
    case_id: str, images: np.ndarray, name: str, severity: int, modality: str, seed: int
) -> np.ndarray:
    return corrupt(images, name, severity, case_id, modality, seed)


def _score(
    cases: RunCases,
    predictor: Predictor,
    options: Postprocessing,
    alter: Callable[[str, np.ndarray], np.ndarray],
) -> Iterator[tuple[str, ClassScores]]:
    """Yields each case with the DSC of its classes under `strict`."""
    read = functools.partial(cases.dataset.read_case, cases.root)
    labeled = label_all(
        predictor, cases.preprocessor, cases.case_ids, read, options, alter=alter
    )
    for case, maps in labeled:
        pred = maps[metrics.LABEL_GRIDS["strict"]]
        yield (
            case.case_id,
            {
                name: {"dsc": metrics.dice(case.label == label, pred == label)}
                for label, name in enumerate(cases.class_names, start=1)
            },
        )


def _point(name: str, severity: int) -> dict[str, Any]:
    parameter = PARAMETERS[name][severity - 1] if severity else None
    return {"corruption": name, "severity": severity, "parameter": parameter}


def _row(
    name: str, severity: int, scores: dict[str, ClassScores], weights: np.ndarray
) -> dict[str, Any]:
    listed = list(scores.values())
    per_class = metrics.average(listed)
    resampled = bootstrap.resample_averages(listed, weights)
    intervals = bootstrap.class_intervals(resampled)
    return {
        **_point(name, severity),
        "dsc": metrics.mean_of_classes(per_class)["dsc"],
        "interval": bootstrap.mean_intervals(resampled)["dsc"],
        "per_class": {c: values["dsc"] for c, values in per_class.items()},
        "per_class_interval": {c: values["dsc"] for c, values in intervals.items()},
        "cases": {
            case_id: {c: values["dsc"] for c, values in by_class.items()}
            for case_id, by_class in scores.items()
        },
    }
