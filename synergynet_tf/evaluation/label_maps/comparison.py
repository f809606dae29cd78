"""Comparison of predictions: scores of each, and paired differences to the first."""

from __future__ import annotations

import dataclasses
import functools
import itertools
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
from synergynet_tf.evaluation.label_maps.differences import (
    compare_methods,
    correct,
    replace_pooled,
)
from synergynet_tf.evaluation.label_maps.methods import (
    LESIONS,
    Distribution,
    bca_block,
    describe_method,
    distribute,
    rank,
)
from synergynet_tf.evaluation.label_maps.reading import (
    read_label_map,
    to_labels,
    values_of,
)
from synergynet_tf.evaluation.scores import (
    CaseResult,
    LabeledCase,
    case_rows,
    count_structures,
    mean_block,
    score_labeled,
)
from synergynet_tf.formats import without_nan
from synergynet_tf.metrics import METRICS, LesionRule, Lesions, bootstrap
from synergynet_tf.parallel import map_in_processes

Report = dict[str, Any]
FILE, CASES, SUMMARY = "comparison.json", "cases.csv", "summary.csv"
LESION_CASES = "lesions.csv"
# First columns of each table.
HEADS = {
    CASES: ["case", "patient", "prediction", "protocol"],
    SUMMARY: ["prediction", "protocol", "class", "metric"],
    LESION_CASES: ["case", "patient", "prediction", "class"],
}


@dataclasses.dataclass(frozen=True)
class ComparedResult(CaseResult):
    """A scored case, whose `scores` have those of its lesions as one more block.

    Attributes:
        lesions: The sizes of each class; none if lesions were not asked for.
    """

    lesions: dict[str, Lesions] = dataclasses.field(default_factory=dict)


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
    by_values: dict[frozenset[int], list[pathlib.Path]] = {}
    for path, own in zip(paths, progress, strict=True):
        values.update(own)
        by_values.setdefault(frozenset(own), []).append(path)
        if not cases.are_volumes and len(values) > MAX_SCANNED_CLASSES:
            raise ValueError(
                f"{path} and the references before it hold over {MAX_SCANNED_CLASSES} "
                "values: soft edges? Save masks with one value a class, or name the "
                "values with --classes"
            )
    return name_values(by_values, cases.reference, cases.are_volumes)


def compare_label_maps(
    cases: ComparedCases,
    classes: Classes,
    out: str | pathlib.Path,
    protocols: Sequence[str] = ("strict",),
    tolerance_mm: float = metrics.NSD_TOLERANCE_MM,
    workers: int = 0,
    lesions: LesionRule | None = None,
) -> Report:
    """Scores every prediction of every case, and compares each with the first.

    Of a case only its numbers are kept, so memory does not grow with the volumes.
    Writes into `out` `cases.csv`, `summary.csv`, with lesions `lesions.csv`, and, last,
    `comparison.json`; each is whole or as it was before.

    Args:
        cases: The files.
        classes: Classes, and their values in the files.
        out: A folder, made if it is not there.
        protocols: Keys of `metrics.PROTOCOLS`, each once.
        tolerance_mm: Tolerance of NSD, in the unit of distances.
        workers: Processes that read and score; 0 for none.
        lesions: Rule for what is a lesion and when it is detected; `None` to look for
            none.

    Returns:
        Content of `comparison.json`; see docs/guides/compare.md.

    Raises:
        OSError: If a file cannot be read or written.
        ValueError: If a label map cannot be used, a prediction has another size than
            its reference, or `out` has a table of these names that is not of an
            earlier comparison.
    """
    out = pathlib.Path(out)
    for name, columns in HEADS.items():
        if (out / name).exists() and runs.read_columns(out / name)[:4] != columns:
            raise ValueError(
                f"{out / name} is there and would be replaced; name another folder "
                "with --out"
            )
    score = functools.partial(
        score_files,
        classes=classes,
        protocols=protocols,
        pixel_mm=cases.pixel_mm,
        tolerance_mm=tolerance_mm,
        lesions=lesions,
    )
    scored = map_in_processes(score, cases.cases, workers)
    progress = tqdm(scored, "score", len(cases.cases), unit="case", disable=None)
    results: dict[str, list[ComparedResult]] = {name: [] for name in cases.predictions}
    for by_name in progress:
        for name, result in by_name.items():
            results[name].append(result)

    blocks = (*protocols, LESIONS) if lesions else tuple(protocols)
    of = {
        block: {name: distribute(own, block) for name, own in results.items()}
        for block in blocks
    }
    num_patients = len({case.patient for case in cases.cases})
    in_mm = cases.are_volumes or cases.pixel_mm is not None
    report = without_nan(
        {
            "reference": str(cases.reference),
            "classes": classes.by_name(),
            "classes_from": classes.source,
            "patients_from": cases.patients_from,
            "num_cases": len(cases.cases),
            "num_patients": num_patients,
            "warning": metrics.few_patients_warning(num_patients),
            "protocols": list(protocols),
            "distance_unit": "mm" if in_mm else "px",
            "spacing_mm": cases.pixel_mm,
            "nsd_tolerance": tolerance_mm,
            "lesion_rule": dataclasses.asdict(lesions) if lesions else None,
            "bootstrap": {
                "resamples": bootstrap.RESAMPLES,
                "seed": bootstrap.SEED,
                "level": bootstrap.LEVEL,
            },
            "predictions": [
                _describe(name, cases, classes, results[name], protocols, of)
                for name in cases.predictions
            ],
            "methods": [
                describe_method(name, predictions, of)
                for name, predictions in cases.methods.items()
            ],
            "differences": _differences(results, cases.methods, of),
            "ranks": {block: rank(cases.methods, of[block]) for block in blocks},
        }
    )
    runs.write_csv(out / CASES, list(_case_lines(results, protocols)))
    runs.write_csv(out / SUMMARY, list(_summary_lines(report)))
    if lesions:
        runs.write_csv(out / LESION_CASES, list(_lesion_lines(results)))
    runs.write_json(out / FILE, report)
    return report


def score_files(
    case: ComparedCase,
    classes: Classes,
    protocols: Sequence[str],
    pixel_mm: tuple[float, float] | None,
    tolerance_mm: float,
    lesions: LesionRule | None,
) -> dict[str, ComparedResult]:
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
        scored = score_labeled(labeled, classes.names, protocols, tolerance_mm)
        results[name] = _with_lesions(scored, labeled, classes.names, lesions)
    return results


def _with_lesions(
    scored: CaseResult,
    case: LabeledCase,
    names: Sequence[str],
    rule: LesionRule | None,
) -> ComparedResult:
    """Adds the lesions of a case to its scores, if they are asked for."""
    found: dict[str, Lesions] = {}
    scores = dict(scored.scores)
    if rule:
        pred_labels = next(iter(case.pred_labels.values()))
        found = metrics.find_lesions_of_case(case.true_labels, pred_labels, names, rule)
        scores[LESIONS] = metrics.lesion_scores(found)
    return ComparedResult(scored.case_id, scored.patient, scores, scored.counts, found)


def _describe(
    name: str,
    cases: ComparedCases,
    classes: Classes,
    results: Sequence[ComparedResult],
    protocols: Sequence[str],
    of: Mapping[str, Mapping[str, Distribution]],
) -> Report:
    """Returns the means of a prediction, and its cases, as `metrics.json` has them."""
    weights = bootstrap.draw_patients([result.patient for result in results])
    report: Report = {
        "name": name,
        "folder": str(cases.predictions[name]),
        "missing": cases.missing[name],
        "extra": cases.extra[name],
        **{block: mean_block(results, block, weights) for block in of},
        "bca": {block: bca_block(of[block][name]) for block in of},
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
    if LESIONS in of:
        report[LESIONS]["total"] = {
            class_name: _sum_up(
                metrics.total_lesions(
                    [result.lesions[class_name] for result in results]
                )
            )
            for class_name in classes.names
        }
        for case, result in zip(report["cases"], results, strict=True):
            case["lesion_sizes"] = {n: o._asdict() for n, o in result.lesions.items()}
    return report


def _sum_up(lesions: Lesions) -> Report:
    """Counts the lesions of all cases, and scores them as one."""
    counts = {kind: len(sizes) for kind, sizes in lesions._asdict().items()}
    return {**counts, **lesions.scores(), "missed_sizes": list(lesions.missed)}


def _differences(
    results: Mapping[str, Sequence[ComparedResult]],
    methods: Mapping[str, Sequence[str]],
    of: Mapping[str, Mapping[str, Distribution]],
) -> list[Report]:
    """Subtracts the first method from each other one."""
    first, *others = methods
    found: list[Report] = [{"name": name, "minus": first} for name in others]
    for block in of:
        for entry in found:
            pair = methods[first], methods[entry["name"]]
            one, other = ([results[name] for name in names] for names in pair)
            entry[block] = compare_methods(one, other, block)
            if block == "pooled":
                one_pool, other_pool = ([of[block][n] for n in own] for own in pair)
                replace_pooled(entry[block], one_pool, other_pool)
        correct([entry[block] for entry in found])
    return found


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


def _lesion_lines(
    results: Mapping[str, Sequence[ComparedResult]],
) -> Iterator[dict[str, Any]]:
    """Yields the lines of `lesions.csv`: one a case, prediction and class."""
    for name, own in results.items():
        for result in own:
            for class_name, lesions in result.lesions.items():
                yield {
                    "case": result.case_id,
                    "patient": result.patient,
                    "prediction": name,
                    "class": class_name,
                    **{kind: len(s) for kind, s in lesions._asdict().items()},
                    **without_nan(lesions.scores()),
                    "missed_sizes": " ".join(map(str, lesions.missed)),
                    "false_sizes": " ".join(map(str, lesions.false)),
                }


def _summary_lines(report: Report) -> Iterator[dict[str, Any]]:
    """Yields the lines of `summary.csv`: one a block, prediction, class and metric.

    After the seeds of a method comes the method itself, with its differences.
    """
    predictions = {entry["name"]: entry for entry in report["predictions"]}
    changes = {entry["name"]: entry for entry in report["differences"]}
    for block, method in itertools.product(report["ranks"], report["methods"]):
        name, seeds = method["name"], method["predictions"]
        ranks = {metric: own[name] for metric, own in report["ranks"][block].items()}
        change = changes.get(name, {}).get(block, {"mean": {}, "per_class": {}})
        if len(seeds) == 1:
            own = _parts(predictions[name], block)
            yield from _method_lines(name, block, own, change, ranks)
            continue
        for seed in seeds:
            yield from _method_lines(
                seed, block, _parts(predictions[seed], block), {}, {}
            )
        yield from _method_lines(name, block, _parts(method, block), change, ranks)


def _parts(entry: Report, block: str) -> dict[str, Report]:
    """Returns `mean`, `sd` and both intervals of each class and metric."""
    own = entry[block]
    if "mean_interval" not in own:
        return {"mean": own["mean"], **own["per_class"]}

    def part(means: Report, ends: Report, bca: Report) -> Report:
        return {
            m: {"mean": means[m], "interval": ends[m], "bca_interval": bca[m]}
            for m in means
        }

    bca = entry["bca"][block]
    return {"mean": part(own["mean"], own["mean_interval"], bca["mean_interval"])} | {
        name: part(
            means, own["per_class_interval"][name], bca["per_class_interval"][name]
        )
        for name, means in own["per_class"].items()
    }


def _method_lines(
    name: str,
    block: str,
    parts: Mapping[str, Report],
    change: Mapping[str, Any],
    ranks: Mapping[str, Report],
) -> Iterator[dict[str, Any]]:
    none = (None, None)
    for place, (class_name, scores) in enumerate(parts.items()):
        changes = change.get("per_class", {}).get(class_name, {})
        if place == 0:
            changes = change.get("mean", {})
        for metric, own in scores.items():
            compared = changes.get(metric, {})
            of_mean = ranks.get(metric, {}) if place == 0 else {}
            yield {
                "prediction": name,
                "protocol": block,
                "class": class_name,
                "metric": metric,
                "mean": own["mean"],
                **_ends("", own.get("interval") or none),
                **_ends("bca_", own.get("bca_interval") or none),
                "sd_of_seeds": own.get("sd"),
                "rank": of_mean.get("rank"),
                "difference": compared.get("difference"),
                **_ends("difference_", compared.get("interval") or none),
                **_ends("difference_bca_", compared.get("bca_interval") or none),
                "p": compared.get("p"),
                "p_holm": compared.get("p_holm"),
                "rank_biserial": compared.get("rank_biserial"),
                "cohens_d_z": compared.get("cohens_d_z"),
            }


def _ends(prefix: str, interval: Sequence[float | None]) -> dict[str, float | None]:
    return {f"{prefix}low": interval[0], f"{prefix}high": interval[1]}
