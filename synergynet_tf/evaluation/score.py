"""Scores a run on one part of its data, and writes what was found beside it."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from tqdm import tqdm

from synergynet_tf import metrics, runs
from synergynet_tf.data import Case
from synergynet_tf.data.splits import complete
from synergynet_tf.evaluation.curves import write_curves
from synergynet_tf.evaluation.figures import overlay, write_png
from synergynet_tf.evaluation.inputs import RunCases, find_cases
from synergynet_tf.evaluation.predict import (
    Predictor,
    load_run_model,
    predict_case,
)

PAPER = "paper"


@dataclasses.dataclass(frozen=True)
class CaseResult:
    """What is kept of a scored case.

    Attributes:
        case_id: The dataset's.
        scores: For each protocol that scores cases, each class's metrics.
        counts: For each class its confusion matrix, as shares of the pixels.
    """

    case_id: str
    scores: dict[str, metrics.ClassScores]
    counts: dict[str, metrics.Counts]

    @property
    def dsc(self) -> float:
        """Mean DSC of the classes under `strict`; `nan` if none is in the case."""
        return metrics.mean_of_classes(self.scores["strict"])["dsc"]

    def presence(self, name: str) -> str:
        """Says whether the masks have a class: `both`, `empty`, `missed`, `false`."""
        counts = self.counts[name]
        if counts.reference_is_empty:
            return "empty" if counts.prediction_is_empty else "false"
        return "missed" if counts.prediction_is_empty else "both"


def evaluate_run(
    run: str | pathlib.Path,
    split_part: str = "test",
    protocol: str = "strict",
    data_dir: str | pathlib.Path | None = None,
) -> dict[str, Any]:
    """Predicts and scores every case of one part of a run's data.

    Writes into the run's folder `overlays/{best,median,worst}.png`, `curves.png`,
    `cases.csv` and, last, `metrics.json`; each is whole or as it was before.

    Args:
        run: Folder of the run.
        split_part: `val` or `test`.
        protocol: One of `metrics.PROTOCOLS`, or `paper` for the dataset's own.
        data_dir: Folder of the raw data, if not the one the run was trained on.

    Returns:
        What `metrics.json` holds: the run's settings; `mean`, `per_class` and
        `cases` under `protocol`; `mean` and `per_class` again under the name of
        each protocol that was computed (`strict` and the paper's always are);
        `structures`, how often each class was `empty`, `missed` or `false`; and
        the `codes` used, `None` for a method without a codebook. Undefined numbers
        are `None`.

    Raises:
        FileNotFoundError: If the run, its weights or its data are not there.
        ValueError: If the run or a case cannot be used, or the data has other
            classes than the run.
    """
    cases = find_cases(run, split_part, data_dir)
    config, dataset, names = cases.config, cases.dataset, cases.class_names
    protocol = dataset.PAPER_PROTOCOL if protocol == PAPER else protocol
    protocols = dict.fromkeys((protocol, "strict", dataset.PAPER_PROTOCOL))
    tolerance_mm = getattr(dataset, "NSD_TOLERANCE_MM", metrics.NSD_TOLERANCE_MM)
    predictor = Predictor(load_run_model(run))
    data = complete(config.data)

    def predict(case_id: str) -> tuple[Case, np.ndarray]:
        case = dataset.read_case(cases.root, case_id)
        size = config.model.image_size
        return case, predict_case(
            predictor, case.image, data.modality, size, data.channels
        )

    results = []
    title = f"score {config.model.name}"
    for case_id in tqdm(cases.case_ids, title, unit="case", disable=None):
        case, labels = predict(case_id)
        results.append(_score(case, labels, names, protocols, tolerance_mm))
    codes = predictor.codes()

    folder = pathlib.Path(run)
    for place, result in _examples(results).items():
        case, labels = predict(result.case_id)
        caption = f"{place} of {len(results)}: {case.case_id}, DSC {result.dsc:.3f}"
        picture = overlay(case.image, labels, names, case.label, caption)
        write_png(folder / "overlays" / f"{place}.png", picture)
    write_curves(folder)
    runs.write_csv(folder / "cases.csv", _rows(results, protocol))
    report = _report(cases, protocol, results, codes)
    runs.write_json(folder / "metrics.json", report)
    return report


def _report(
    cases: RunCases,
    protocol: str,
    results: list[CaseResult],
    codes: dict[str, Any] | None,
) -> dict[str, Any]:
    """Returns what `evaluate_run` returns."""
    config, dataset = cases.config, cases.dataset
    blocks = {name: _block(results, name) for name in results[0].scores}
    return _without_nan(
        {
            "dataset": config.data.dataset,
            "model": config.model.name,
            "seed": config.training.seed,
            "split": cases.part,
            "data_split": config.data.split,
            "limit": config.data.limit,
            "image_size": config.model.image_size,
            "epochs": config.training.epochs,
            "trained_epochs": cases.trained_epochs,
            "protocol": protocol,
            "paper_protocol": dataset.PAPER_PROTOCOL,
            "distance_unit": "px" if complete(config.data).modality == "rgb" else "mm",
            "num_cases": len(results),
            **blocks[protocol],
            **blocks,
            "structures": _structures(results, cases.class_names),
            "codes": codes,
            "cases": [
                {"case_id": result.case_id, "per_class": result.scores[protocol]}
                for result in results
            ],
        }
    )


def _score(
    case: Case,
    labels: np.ndarray,
    names: tuple[str, ...],
    protocols: Iterable[str],
    tolerance_mm: float,
) -> CaseResult:
    return CaseResult(
        case_id=case.case_id,
        scores={
            protocol: metrics.score_case(
                case.label, labels, names, case.spacing_mm, protocol, tolerance_mm
            )
            for protocol in protocols
        },
        counts=metrics.count_case(case.label, labels, names),
    )


def _block(results: list[CaseResult], protocol: str) -> dict[str, Any]:
    """Returns `mean` and `per_class` over all cases."""
    if protocol == "pooled":
        per_class = metrics.pool([result.counts for result in results])
    else:
        per_class = metrics.average([result.scores[protocol] for result in results])
    return {"mean": metrics.mean_of_classes(per_class), "per_class": per_class}


def _examples(results: list[CaseResult]) -> dict[str, CaseResult]:
    """Picks the best, median and worst case by DSC, of those that have one."""
    ranked = sorted(
        (result for result in results if not math.isnan(result.dsc)),
        key=lambda result: -result.dsc,
    )
    if not ranked:
        return {}
    middle = ranked[len(ranked) // 2]
    return {"best": ranked[0], "median": middle, "worst": ranked[-1]}


def _structures(
    results: list[CaseResult], names: tuple[str, ...]
) -> dict[str, dict[str, int]]:
    counted = {n: Counter(result.presence(n) for result in results) for n in names}
    return {
        name: {kind: counts[kind] for kind in ("empty", "missed", "false")}
        for name, counts in counted.items()
    }


def _rows(results: list[CaseResult], protocol: str) -> list[dict[str, Any]]:
    """Returns the lines of cases.csv: one for each class of each case."""
    return [
        {"case_id": result.case_id, "class": name, "presence": result.presence(name)}
        | {metric: _without_nan(value) for metric, value in scores.items()}
        for result in results
        for name, scores in result.scores[protocol].items()
    ]


def _without_nan(value: Any) -> Any:
    """Replaces `nan` by `None`, for which JSON has a word."""
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value
