"""Scores a run on one part of its data, and writes what was found beside it."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from synergynet_tf import metrics, runs
from synergynet_tf.data import Case
from synergynet_tf.data.preprocess import Preprocessor
from synergynet_tf.evaluation.case_scores import (
    CaseResult,
    LabeledCase,
    score_labeled,
)
from synergynet_tf.evaluation.cases import RunCases
from synergynet_tf.evaluation.figures.curves import write_curves
from synergynet_tf.evaluation.figures.overlays import overlay, write_png
from synergynet_tf.evaluation.parallel import map_in_processes
from synergynet_tf.evaluation.postprocess import PLAIN, Options
from synergynet_tf.evaluation.predict import label_all
from synergynet_tf.evaluation.predictor import Predictor, load_run_model
from synergynet_tf.evaluation.report.slices import NAME, make_slice
from synergynet_tf.evaluation.scores import case_rows, make_report

PAPER = "paper"


def evaluate_run(
    cases: RunCases,
    protocol: str = "strict",
    options: Options = PLAIN,
    workers: int = 0,
) -> dict[str, Any]:
    """Predicts and scores every case of one part of a run's data.

    Writes into the run's folder `overlays/{best,median,worst}.png`, `slices.json`
    with the same in layers, `curves.png`, `cases.csv` and, last, `metrics.json`; each
    is whole or as it was before.

    Args:
        cases: Of the run.
        protocol: One of `metrics.PROTOCOLS`, or `paper` for the dataset's own.
        options: What else is done to the predictions.
        workers: Processes that score while this one predicts; 0 for none.

    Returns:
        What `metrics.json` holds: the run's settings and the `options`; under
        `protocol` the `mean` over classes and that of each class, `per_class`, with
        bootstrap intervals by patient, `mean_interval` and `per_class_interval`, and
        the scores of the `cases`; all of it again under the name of each protocol
        that was computed (`strict` and the paper's always are); of each case the
        `counts`: TP, FP, FN and TN, as shares of its pixels; `structures`, how often
        each class was `empty`, `missed` or `false`; and the `codes` used, `None` for
        a method without a codebook. Undefined numbers are `None`.

    Raises:
        FileNotFoundError: If a file of the run or of a case is not there.
        ValueError: If the run or a case cannot be used.
    """
    run, dataset = cases.run, cases.dataset
    protocol = dataset.PAPER_PROTOCOL if protocol == PAPER else protocol
    protocols = list(dict.fromkeys((protocol, "strict", dataset.PAPER_PROTOCOL)))
    predictor = Predictor(load_run_model(run))
    score = functools.partial(
        score_labeled,
        class_names=cases.class_names,
        protocols=protocols,
        tolerance_mm=getattr(dataset, "NSD_TOLERANCE_MM", metrics.NSD_TOLERANCE_MM),
    )
    labeled = _label(cases, predictor, options, protocols)
    scored = map_in_processes(score, labeled, workers)
    title, count = f"score {cases.config.model.name}", len(cases.case_ids)
    results = list(tqdm(scored, title, count, unit="case", disable=None))
    codes = predictor.codes()

    _write_overlays(cases, predictor, options, results)
    write_curves(run)
    runs.write_csv(run.path / "cases.csv", case_rows(results, protocol))
    report = make_report(cases, protocol, options, results, codes)
    runs.write_json(run.path / "metrics.json", report)
    return report


def _label(
    cases: RunCases, predictor: Predictor, options: Options, protocols: Sequence[str]
) -> Iterator[LabeledCase]:
    """Predicts case after case, once for all protocols."""
    grids = {metrics.LABEL_GRIDS[protocol] for protocol in protocols}
    for case, labels in _predict(cases, cases.case_ids, predictor, options, grids):
        patient = cases.patients[case.case_id]
        yield LabeledCase(case.case_id, patient, case.label, labels, case.spacing_mm)


def _predict(
    cases: RunCases,
    case_ids: Iterable[str],
    predictor: Predictor,
    options: Options,
    grids: Collection[str],
) -> Iterator[tuple[Case, dict[str, np.ndarray]]]:
    """Reads and labels some of the cases."""
    read = functools.partial(cases.dataset.read_case, cases.root)
    return label_all(predictor, cases.config, case_ids, read, options, grids)


def _write_overlays(
    cases: RunCases,
    predictor: Predictor,
    options: Options,
    results: Sequence[CaseResult],
) -> None:
    """Draws the best, median and worst case by DSC, of those that have one."""
    ranked = sorted(
        (result for result in results if not math.isnan(result.dsc)),
        key=lambda result: -result.dsc,
    )
    if not ranked:
        return
    places = {"best": 0, "median": len(ranked) // 2, "worst": -1}
    shown_ids = [ranked[index].case_id for index in places.values()]
    # Of a scan, three channels are no colors.
    preprocessor = Preprocessor.of(cases.config)
    shown = slice(None) if preprocessor.modality == "rgb" else slice(1)
    labeled = _predict(cases, shown_ids, predictor, options, {"native"})
    folder, slices = cases.run.path, {}
    for (place, index), (case, maps) in zip(places.items(), labeled, strict=True):
        dsc = ranked[index].dsc
        caption = f"{place} of {len(results)}: {case.case_id}, DSC {dsc:.3f}"
        image = case.image[..., shown]
        drawn = image, maps["native"], cases.class_names, case.label
        write_png(folder / "overlays" / f"{place}.png", overlay(*drawn, caption))
        kept = make_slice(
            case.case_id,
            dsc,
            image,
            maps["native"],
            case.label,
            len(cases.class_names),
        )
        slices[place] = dataclasses.asdict(kept)
        images = preprocessor.images(case.image)
        codes = predictor.code_maps(images[kept.index : kept.index + 1])
        if codes is not None:
            slices[place]["codes"] = codes[0].tolist()
            slices[place]["codes_box"] = _box_shares(case.label.shape, preprocessor)
    runs.write_json(folder / NAME, slices)


def _box_shares(
    shape: tuple[int, ...], preprocessor: Preprocessor
) -> tuple[float, float, float, float]:
    """Returns left, top, width and height of the crop as shares of the image."""
    _, rows, columns = shape
    tall, wide = preprocessor.box(rows, columns)
    return (
        wide.start / columns,
        tall.start / rows,
        (wide.stop - wide.start) / columns,
        (tall.stop - tall.start) / rows,
    )
