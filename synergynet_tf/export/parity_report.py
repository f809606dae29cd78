"""The comparison of a run with its exports, as data and as a table."""

from __future__ import annotations

import math
import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from synergynet_tf import metrics, runs
from synergynet_tf.data.preprocess import to_labels, to_native, to_network
from synergynet_tf.data.splits import complete
from synergynet_tf.evaluation.cases import RunCases
from synergynet_tf.evaluation.predict import BATCH_SIZE
from synergynet_tf.evaluation.predictor import load_run_model
from synergynet_tf.export.agreement import (
    LIMITS,
    MAX_OTHER_CODES,
    Limits,
    Tally,
    allowed_difference,
    mean_dsc,
    same_codes,
)
from synergynet_tf.export.exported_model import Answers, Exported
from synergynet_tf.export.signatures import require_tensorflow
from synergynet_tf.models.outputs import with_codes

# How often each answers one image: a median of that many.
REPEATS = 25
Report = dict[str, Any]


def compare(
    run: str | pathlib.Path,
    cases: RunCases,
    exports: Sequence[Exported],
    most_cases: int,
) -> Report:
    """Predicts cases with a run and with exports of it, and says what differs.

    Args:
        run: Folder of the run.
        cases: Those of one part of its data.
        exports: Of that run.
        most_cases: How many cases to take, evenly spread over `cases`.

    Returns:
        What `parity.json` holds: the run, the cases, the machine; of Keras its `dsc`,
        `latency_ms` and `size_bytes`; and for each export these and what `Tally`
        counts, `None` for what is not finite, its limits, and those it is `outside` of,
        in words.

    Raises:
        ValueError: If an export cannot be run, a case cannot be used, none of them
            shows a class, or Keras does not run on TensorFlow.
    """
    require_tensorflow()
    model = load_run_model(run)
    predict = _keras(model)
    opened = [export.open() for export in exports]
    count = len(cases.class_names)
    tallies = [Tally(count) for _ in exports]
    ids = spread(cases.case_ids, most_cases)
    data, size = complete(cases.config.data), cases.config.model.image_size
    dsc, slices = [], 0
    images = np.empty(0)
    for case_id in tqdm(ids, "compare", unit="case", disable=None):
        case = cases.dataset.read_case(cases.root, case_id)
        crop = data.center_crop
        images = to_network(case.image, data.modality, size, data.channels, crop)
        logits, codes = _predict(predict, images)
        labels = _labels(logits, case.label, crop)
        dsc.append(metrics.dice_of_classes(case.label, labels, count))
        slices += len(images)
        for found, export, tally in zip(exports, opened, tallies, strict=True):
            their_logits, their_codes = _predict(export.answer, images)
            exact = LIMITS[found.precision].logits is not None
            same = same_codes(codes, their_codes) if exact else slice(None)
            tally.add_logits(logits[same], their_logits[same])
            if codes is not None:
                tally.add_codes(codes, their_codes)
            tally.add_labels(
                case.label, labels, _labels(their_logits, case.label, crop)
            )
    mean = mean_dsc(dsc)
    if math.isnan(mean):
        raise ValueError(
            f"None of the {len(ids)} cases shows a class, nor does the run find one: "
            "there is no DSC to compare; allow more --cases"
        )
    calls = [predict, *(export.answer for export in opened)]
    latencies = time_calls(calls, images[len(images) // 2][None])
    return {
        "run": str(run),
        "model": cases.config.model.name,
        "dataset": cases.config.data.dataset,
        "split": cases.part,
        "num_cases": len(ids),
        "num_slices": slices,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "keras": {
            "dsc": mean,
            "latency_ms": latencies[0],
            "size_bytes": runs.require_weights(run).stat().st_size,
        },
        "exports": [
            _entry(export, tally, mean, latency)
            for export, tally, latency in zip(
                exports, tallies, latencies[1:], strict=True
            )
        ],
    }


def spread(items: Sequence[str], most: int) -> list[str]:
    """Returns up to `most` items, evenly spaced, in their order."""
    count = min(most, len(items))
    return [items[index * len(items) // count] for index in range(count)]


def time_calls(
    calls: Sequence[Callable[[np.ndarray], Any]], image: np.ndarray
) -> list[float]:
    """Returns the median milliseconds of each call; they take turns."""
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(REPEATS + 1):
        for call, times in zip(calls, seconds, strict=True):
            started = time.perf_counter()
            call(image)
            times.append(time.perf_counter() - started)
    # The first call of each may still prepare.
    return [1000 * statistics.median(times[1:]) for times in seconds]


def format_markdown(report: Report) -> str:
    """Sets a report as a Markdown table."""
    cases = f"{report['num_cases']} {report['split']} cases"
    has_codes = any(entry["codes_changed"] is not None for entry in report["exports"])
    head = ["", "MB", "ms", "logits", "labels changed"]
    head += ["codes changed"] if has_codes else []
    head += ["DSC", "change", "within limits"]
    own = report["keras"]
    dash = ["-"] * (3 if has_codes else 2)
    rows = [
        head,
        ["---", *["---:"] * (len(head) - 1)],
        ["Keras", *_costs(own), *dash, f"{own['dsc']:.4f}", "-", "-"],
    ]
    for entry in report["exports"]:
        codes = entry["codes_changed"]
        changed = ["-" if codes is None else f"{codes:.2%}"] if has_codes else []
        rows.append(
            [
                f"{entry['kind']}{_precision(entry['precision'])}",
                *_costs(entry),
                _number(entry["largest_logit_difference"], ".1e"),
                f"{entry['labels_changed']:.4%}",
                *changed,
                _number(entry["dsc"], ".4f"),
                _number(entry["dsc_change"], "+.5f"),
                "no" if entry["outside"] else "yes",
            ]
        )
    lines = [f"| {' | '.join(cells)} |" for cells in rows]
    caption = (
        f"{report['model']} on {report['dataset']}: {cases}, {report['num_slices']} "
        f"slices. ms: one image, median of {REPEATS}, taking turns "
        f"({report['machine']}). logits: largest difference. DSC: strict, against the "
        "reference."
    )
    return "\n".join([caption, "", *lines]) + "\n"


def _keras(model: keras.Model) -> Callable[[np.ndarray], Answers]:
    """Returns the run's model as a graph: the fastest way that Keras has to answer."""
    graph = tf.function(with_codes(model), autograph=False)

    def answer(images: np.ndarray) -> Answers:
        return Answers.of(graph(tf.constant(images), training=False))

    return answer


def _predict(call: Callable[[np.ndarray], Answers], images: np.ndarray) -> Answers:
    """Calls with batches, as scoring does."""
    starts = range(0, len(images), BATCH_SIZE)
    answers = [call(images[start : start + BATCH_SIZE]) for start in starts]
    logits, codes = zip(*answers, strict=True)
    return Answers(
        np.concatenate(logits), None if codes[0] is None else np.concatenate(codes)
    )


def _labels(
    logits: np.ndarray, reference: np.ndarray, center_crop: float
) -> np.ndarray:
    _, rows, columns = reference.shape
    return to_labels(to_native(logits, rows, columns, center_crop))


def _entry(export: Exported, tally: Tally, dsc: float, latency_ms: float) -> Report:
    limits = LIMITS[export.precision]
    measured = {
        "largest_logit": tally.largest_logit,
        "largest_logit_difference": tally.largest_logit_difference,
        "labels_changed": tally.labels_changed,
        "codes_changed": tally.codes_changed,
        "dsc": tally.dsc,
        "dsc_change": tally.dsc - dsc,
    }
    return {
        "path": str(export.path),
        "kind": "SavedModel" if export.path.is_dir() else "TFLite",
        "precision": export.precision,
        **{name: _finite(value) for name, value in measured.items()},
        "latency_ms": latency_ms,
        "size_bytes": _size(export.path),
        "limits": {"logits": limits.logits, "dsc": limits.dsc},
        "outside": outside(measured, limits),
    }


def outside(measured: Report, limits: Limits) -> list[str]:
    """Says which limits are not kept; what is not a number keeps none."""
    found = []
    largest, change = measured["largest_logit_difference"], measured["dsc_change"]
    if limits.logits is not None:
        allowed = allowed_difference(limits.logits, measured["largest_logit"])
        if not largest <= allowed:
            found.append(f"logits differ by {largest:.1e}, more than {allowed:.1e}")
        codes = measured["codes_changed"] or 0.0
        if codes > MAX_OTHER_CODES:
            found.append(f"{codes:.1%} of the codes differ")
    if not abs(change) <= limits.dsc:
        found.append(f"DSC changes by {change:+.4f}, more than {limits.dsc}")
    return found


def _number(value: float | None, form: str) -> str:
    return "not finite" if value is None else f"{value:{form}}"


def _precision(precision: str) -> str:
    return "" if precision == "none" else f", {precision}"


def _finite(value: float | None) -> float | None:
    """Returns `None` for what JSON has no word for."""
    return None if value is None or not math.isfinite(value) else value


def _costs(entry: Report) -> list[str]:
    return [f"{entry['size_bytes'] / 1e6:.1f}", f"{entry['latency_ms']:.0f}"]


def _size(path: pathlib.Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
