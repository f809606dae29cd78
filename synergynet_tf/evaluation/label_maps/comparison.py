"""Comparison of predictions: scores of each, and paired differences to the first."""

from __future__ import annotations

import functools
import itertools
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from synergynet_tf import metrics, runs
from synergynet_tf.data.datasets.folder import MAX_SCANNED_CLASSES
from synergynet_tf.evaluation.label_maps.cases import ComparedCase, ComparedCases
from synergynet_tf.evaluation.label_maps.classes import (
    Classes,
    find_classes,
    name_values,
    parse_classes,
)
from synergynet_tf.evaluation.label_maps.reading import (
    read_label_map,
    to_labels,
    values_of,
)
from synergynet_tf.evaluation.parallel import map_in_processes
from synergynet_tf.evaluation.scores import (
    CaseResult,
    LabeledCase,
    case_rows,
    count_structures,
    mean_block,
    score_labeled,
)
from synergynet_tf.evaluation.tables.compare import subtract, summarize
from synergynet_tf.formats import without_nan
from synergynet_tf.metrics import METRICS, bootstrap

Report = dict[str, Any]
FILE, CASES, SUMMARY = "comparison.json", "cases.csv", "summary.csv"


def choose_classes(
    cases: ComparedCases, texts: Sequence[str] = (), workers: int = 0
) -> Classes:
    """Takes the classes that were named, or finds the values of all references.

    Args:
        cases: The files.
        texts: `name=value` pairs; none to look for a file that names the classes,
            and without one for values.
        workers: Processes that read the references; 0 for none.

    Raises:
        ValueError: If the classes are malformed, or the values are too many.
    """
    if texts:
        return parse_classes(texts)
    if (classes := find_classes(cases.reference)) is not None:
        return classes
    paths = [case.reference for case in cases.cases]
    found = map_in_processes(values_of, paths, workers)
    progress = tqdm(found, "find classes", len(paths), unit="file", disable=None)
    values: set[int] = set()
    for path, own in zip(paths, progress, strict=True):
        values.update(own)
        if not cases.are_volumes and len(values) > MAX_SCANNED_CLASSES:
            raise ValueError(
                f"{path} and the references before it hold over {MAX_SCANNED_CLASSES} "
                "values: soft edges? Save masks with one value a class, or name the "
                "values with --classes"
            )
    return name_values(sorted(values), cases.reference)


def compare_label_maps(
    cases: ComparedCases,
    classes: Classes,
    out: str | pathlib.Path,
    protocols: Sequence[str] = ("strict",),
    tolerance_mm: float = metrics.NSD_TOLERANCE_MM,
    workers: int = 0,
) -> Report:
    """Scores every prediction of every case, and compares each with the first.

    Of a case only its numbers are kept, so memory does not grow with the volumes.
    Writes into `out` `cases.csv`, `summary.csv` and, last, `comparison.json`; each is
    whole or as it was before.

    Args:
        cases: The files.
        classes: What their values stand for.
        out: A folder, made if it is not there.
        protocols: Of `metrics.PROTOCOLS`, each once.
        tolerance_mm: Of NSD, in the unit of distances.
        workers: Processes that read and score; 0 for none.

    Returns:
        What `comparison.json` holds; see docs/guides/compare.md.

    Raises:
        OSError: If a file cannot be read or written.
        ValueError: If a label map cannot be used, or a prediction has another size
            than its reference.
    """
    score = functools.partial(
        score_files,
        classes=classes,
        protocols=protocols,
        pixel_mm=cases.pixel_mm,
        tolerance_mm=tolerance_mm,
    )
    scored = map_in_processes(score, cases.cases, workers)
    progress = tqdm(scored, "score", len(cases.cases), unit="case", disable=None)
    results: dict[str, list[CaseResult]] = {name: [] for name in cases.predictions}
    for by_name in progress:
        for name, result in by_name.items():
            results[name].append(result)

    in_mm = cases.are_volumes or cases.pixel_mm is not None
    report = without_nan(
        {
            "reference": str(cases.reference),
            "classes": classes.by_name(),
            "classes_from": classes.source,
            "patients_from": cases.patients_from,
            "num_cases": len(cases.cases),
            "num_patients": len({case.patient for case in cases.cases}),
            "protocols": list(protocols),
            "distance_unit": "mm" if in_mm else "px",
            "spacing_mm": cases.pixel_mm,
            "nsd_tolerance": tolerance_mm,
            "bootstrap": {
                "resamples": bootstrap.RESAMPLES,
                "seed": bootstrap.SEED,
                "level": bootstrap.LEVEL,
            },
            "predictions": [
                _describe(name, cases, classes, results[name], protocols)
                for name in cases.predictions
            ],
            "differences": _differences(results, protocols),
        }
    )
    out = pathlib.Path(out)
    runs.write_csv(out / CASES, list(_case_lines(results, protocols)))
    runs.write_csv(out / SUMMARY, list(_summary_lines(report)))
    runs.write_json(out / FILE, report)
    return report


def score_files(
    case: ComparedCase,
    classes: Classes,
    protocols: Sequence[str],
    pixel_mm: tuple[float, float] | None,
    tolerance_mm: float,
) -> dict[str, CaseResult]:
    """Reads and scores the predictions of a case, one after the other.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If a label map cannot be used; names the case and the file.
    """
    try:
        reference = read_label_map(case.reference, pixel_mm)
        true_labels = to_labels(reference.values, classes, case.reference)
    except ValueError as error:
        raise ValueError(f"Case {case.case_id}: {error}") from error
    results = {}
    for name, path in case.predictions.items():
        try:
            pred_labels = np.zeros_like(true_labels)
            if path is not None:
                pred_labels = to_labels(read_label_map(path).values, classes, path)
            if pred_labels.shape != true_labels.shape:
                raise ValueError(
                    f"{path} has the shape {pred_labels.shape[1:]} and "
                    f"{case.reference} {true_labels.shape[1:]} (rows, columns); they "
                    "must be equal"
                )
        except ValueError as error:
            raise ValueError(f"Case {case.case_id}, {name}: {error}") from error
        # A label map has one grid, whatever the protocol.
        labels = dict.fromkeys(metrics.LABEL_GRIDS.values(), pred_labels)
        labeled = LabeledCase(
            case.case_id, case.patient, true_labels, labels, reference.spacing_mm
        )
        results[name] = score_labeled(labeled, classes.names, protocols, tolerance_mm)
    return results


def _describe(
    name: str,
    cases: ComparedCases,
    classes: Classes,
    results: Sequence[CaseResult],
    protocols: Sequence[str],
) -> Report:
    """Returns the means of a prediction, and its cases, as `metrics.json` has them."""
    weights = bootstrap.draw_patients([result.patient for result in results])
    return {
        "name": name,
        "folder": str(cases.predictions[name]),
        "missing": cases.missing[name],
        "extra": cases.extra[name],
        **{protocol: mean_block(results, protocol, weights) for protocol in protocols},
        "structures": count_structures(results, protocols[0], classes.names),
        "cases": [
            {
                "case_id": result.case_id,
                "patient": result.patient,
                **result.scores,
                "counts": result.counts[protocols[0]],
            }
            for result in results
        ],
    }


def _differences(
    results: Mapping[str, Sequence[CaseResult]], protocols: Sequence[str]
) -> list[Report]:
    """Subtracts the first prediction from each other one."""
    first, *others = results
    found: list[Report] = [
        {
            "name": name,
            "minus": first,
            **{p: _subtract(results[first], results[name], p) for p in protocols},
        }
        for name in others
    ]
    for protocol in protocols if found else ():
        compared = [entry[protocol] for entry in found]
        _correct([each["mean"] for each in compared])
        for name in compared[0]["per_class"]:
            _correct([each["per_class"][name] for each in compared])
    return found


def _subtract(
    first: Sequence[CaseResult], second: Sequence[CaseResult], protocol: str
) -> Report:
    """Sums up the differences of two predictions, as `compare_runs` does."""
    scores = [[result.scores[protocol] for result in own] for own in (first, second)]
    names = list(scores[0][0])
    patients = [result.patient for result in first]
    listed = list(scores[0][0][names[0]])
    summary = summarize(subtract(*scores), names, listed, patients)
    if protocol == "pooled":
        _pool_differences(summary, first, second, patients)
    return summary


def _pool_differences(
    summary: Report,
    first: Sequence[CaseResult],
    second: Sequence[CaseResult],
    patients: Sequence[str],
) -> None:
    """Sets differences and intervals to those of the pools, not of the cases."""
    weights = bootstrap.draw_patients(patients)
    counts = [[result.counts["pooled"] for result in own] for own in (first, second)]
    one, other = (metrics.pool(own) for own in counts)
    drawn = [bootstrap.resample_pools(own, weights) for own in counts]

    def replace(
        block: dict[str, Report],
        scores: tuple[metrics.Scores, metrics.Scores],
        resamples: Sequence[Mapping[str, bootstrap.Resamples]],
    ) -> None:
        for metric, values in block.items():
            values["difference"] = scores[1][metric] - scores[0][metric]
            before, after = (own[metric] for own in resamples)
            change = bootstrap.Resamples(after.means - before.means, before.several)
            values["interval"] = bootstrap.interval(change)

    means = metrics.mean_of_classes(one), metrics.mean_of_classes(other)
    replace(summary["mean"], means, [bootstrap.resampled_means(own) for own in drawn])
    for name, block in summary["per_class"].items():
        replace(block, (one[name], other[name]), [own[name] for own in drawn])


def _correct(blocks: Sequence[dict[str, Report]]) -> None:
    """Adds `p_holm` to each metric: corrected for the number of predictions."""
    for metric in blocks[0]:
        for block in blocks:
            block[metric]["p_holm"] = math.nan
        tested = [b[metric] for b in blocks if not math.isnan(b[metric]["p"])]
        corrected = bootstrap.holm([summary["p"] for summary in tested])
        for summary, p in zip(tested, corrected, strict=True):
            summary["p_holm"] = p


def _case_lines(
    results: Mapping[str, Sequence[CaseResult]], protocols: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yields the lines of `cases.csv`: one a case, prediction, protocol and class."""
    for (name, own), protocol in itertools.product(results.items(), protocols):
        for row in case_rows(own, protocol):
            yield {
                "case": row["case_id"],
                "patient": row["patient"],
                "prediction": name,
                "protocol": protocol,
                "class": row["class"],
                "presence": row["presence"],
                **{metric: row.get(metric) for metric in METRICS},
            }


def _summary_lines(report: Report) -> Iterator[dict[str, Any]]:
    """Yields the lines of `summary.csv`: one a protocol, prediction, class, metric."""
    differences = {entry["name"]: entry for entry in report["differences"]}
    for protocol, prediction in itertools.product(
        report["protocols"], report["predictions"]
    ):
        block, entry = prediction[protocol], differences.get(prediction["name"])
        change = entry[protocol] if entry else {"mean": {}, "per_class": {}}
        parts: list[tuple[str, Report, Report, Report]] = [
            ("mean", block["mean"], block["mean_interval"], change["mean"])
        ]
        parts += [
            (
                name,
                means,
                block["per_class_interval"][name],
                change["per_class"].get(name, {}),
            )
            for name, means in block["per_class"].items()
        ]
        for name, means, intervals, changes in parts:
            for metric, mean in means.items():
                compared = changes.get(metric, {})
                low, high = compared.get("interval", (None, None))
                yield {
                    "prediction": prediction["name"],
                    "protocol": protocol,
                    "class": name,
                    "metric": metric,
                    "mean": mean,
                    "low": intervals[metric][0],
                    "high": intervals[metric][1],
                    "difference": compared.get("difference"),
                    "difference_low": low,
                    "difference_high": high,
                    "p": compared.get("p"),
                    "p_holm": compared.get("p_holm"),
                }
