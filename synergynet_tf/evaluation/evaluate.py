"""Evaluation of a run on one part of its data: scores, tables, overlays."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np
from tqdm import tqdm

from synergynet_tf import metrics, runs
from synergynet_tf.data import Case
from synergynet_tf.data.preprocess import Preprocessor
from synergynet_tf.evaluation.cases import RunCases, say_notes
from synergynet_tf.evaluation.figures.curves import write_curves
from synergynet_tf.evaluation.figures.overlays import overlay, write_png
from synergynet_tf.evaluation.postprocess import NO_POSTPROCESSING, Postprocessing
from synergynet_tf.evaluation.predict import label_all
from synergynet_tf.evaluation.predictor import Predictor, load_run_model
from synergynet_tf.evaluation.report.slices import NAME, make_slice
from synergynet_tf.evaluation.scores import (
    FILE,
    LabeledCase,
    Scores,
    case_rows,
    score_labeled,
)
from synergynet_tf.parallel import map_in_processes

PAPER = "paper"


def evaluate_run(
    cases: RunCases,
    protocol: str = "strict",
    options: Postprocessing = NO_POSTPROCESSING,
    workers: int = 0,
) -> Scores:
    """Predicts and scores every case of one part of a run's data.

    Writes into `run.results`, by default the run's folder,
    `overlays/{best,median,worst}.png`, `slices.json` with the same in layers,
    `curves.png`, `cases.csv` and, last, `metrics.json`; each is whole or as it was
    before.

    Args:
        cases: Cases of the run.
        protocol: Key of `metrics.PROTOCOLS`, or `paper` for the dataset's own.
        options: Post-processing of the predictions.
        workers: Number of processes that score while this one predicts; 0 for none.

    Returns:
        Content of `metrics.json`: scores under `protocol`, `strict` and the paper's
        protocol.

    Raises:
        FileNotFoundError: If a file of the run or of a case is not there.
        ValueError: If the run or a case cannot be used.
    """
    say_notes([cases])
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
    scores = dataclasses.replace(
        Scores.of(cases, protocol, options, results, predictor.codes()),
        weights_sha256=run.weights_sha256,
    )

    _write_overlays(cases, predictor, options, scores)
    write_curves(run)
    runs.write_csv(run.results / "cases.csv", case_rows(results, protocol))
    runs.write_json(run.results / FILE, scores.to_json())
    return scores


def _label(
    cases: RunCases,
    predictor: Predictor,
    options: Postprocessing,
    protocols: Sequence[str],
) -> Iterator[LabeledCase]:
    """Predicts case after case, once for all protocols."""
    grids = {metrics.LABEL_GRIDS[protocol] for protocol in protocols}
    for case, labels in _predict(cases, cases.case_ids, predictor, options, grids):
        patient = cases.patients[case.case_id]
        spacing = case.spacing_mm if case.steps_mm is None else case.steps_mm
        yield LabeledCase(case.case_id, patient, case.label, labels, spacing)


def _predict(
    cases: RunCases,
    case_ids: Iterable[str],
    predictor: Predictor,
    options: Postprocessing,
    grids: Collection[str],
) -> Iterator[tuple[Case, dict[str, np.ndarray]]]:
    """Reads and labels some of the cases."""
    read = functools.partial(cases.dataset.read_case, cases.root)
    return label_all(predictor, cases.preprocessor, case_ids, read, options, grids)


def _write_overlays(
    cases: RunCases,
    predictor: Predictor,
    options: Postprocessing,
    scores: Scores,
) -> None:
    """Draws the best, median and worst case by DSC, of those that have one."""
    ranked = scores.ranked()
    if not ranked:
        return
    # The three channels of a scan are no colors.
    preprocessor = cases.preprocessor
    shown = slice(None) if preprocessor.modality == "rgb" else slice(1)
    labeled = _predict(cases, ranked.values(), predictor, options, {"native"})
    folder, slices = cases.run.results, {}
    for place, (case, maps) in zip(ranked, labeled, strict=True):
        dsc = scores.dsc[case.case_id]
        caption = f"{place} of {scores.num_cases}: {case.case_id}, DSC {dsc:.3f}"
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
