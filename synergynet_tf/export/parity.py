"""Parity: an export against its run.

`require_same_answers` compares the two on a few probe images when an export is written;
`compare` on real cases, for `synergynet parity`.
"""

from __future__ import annotations

import dataclasses
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

from synergynet_tf import metrics
from synergynet_tf.data import DATASETS
from synergynet_tf.data.preprocess import Preprocessor, to_labels
from synergynet_tf.evaluation.cases import RunCases
from synergynet_tf.evaluation.predict import BATCH_SIZE
from synergynet_tf.evaluation.predictor import load_run_model
from synergynet_tf.export.exported_model import Answers, Exported
from synergynet_tf.export.signatures import require_tensorflow
from synergynet_tf.formats import DASH, markdown, number
from synergynet_tf.models.outputs import with_codes
from synergynet_tf.runs import SCORED_SHA256

# Largest difference of a logit of an export in float32: see `allowed_difference`.
MAX_LOGIT_DIFFERENCE = 1e-4
# Share of the codes that rounding explains.
MAX_OTHER_CODES = 0.01
# Number of calls that a latency is the median of.
REPEATS = 25
Report = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Limits:
    """Largest differences between an export and its run; `None` is no limit.

    Attributes:
        logits: Largest difference of a logit, as a share of the largest logit where
            that is above 1: see `allowed_difference`.
        dsc: Largest change, up or down, of the mean DSC.
    """

    logits: float | None
    dsc: float


LIMITS = {
    "none": Limits(MAX_LOGIT_DIFFERENCE, 1e-4),
    "float16": Limits(None, 0.002),
    "dynamic": Limits(None, 0.005),
    "int8": Limits(None, 0.01),
}


def allowed_difference(limit: float, largest_logit: float) -> float:
    """Returns the largest allowed logit difference: rounding grows with the values."""
    return limit * max(1.0, largest_logit)


def same_codes(run: np.ndarray | None, export: np.ndarray | None) -> Any:
    """Returns an index of the images whose logits are comparable.

    Rounding decides between two equally near codes, and the logits follow the code.

    Args:
        run: Codes of the run, `(images, height, width)`; `None` where there are none.
        export: Codes of the export, likewise.
    """
    if run is None or export is None:
        return slice(None)
    return (run == export).all(axis=(1, 2))


def probe_images(size: int) -> np.ndarray:
    """Returns probe images: noise, and slices of the phantom.

    Args:
        size: Height and width, in pixels.

    Returns:
        float32 `(images, size, size, 3)` in [0, 1].
    """
    phantom = DATASETS["phantom"]
    case = phantom.read_case("", phantom.case_ids("")[0])
    slices = Preprocessor(phantom.modality(""), size).images(case.image)
    noise = np.random.default_rng(0).random((2, size, size, 3), np.float32)
    return np.concatenate([noise, slices])


def require_same_answers(
    expected: Answers, found: Answers, limit: float = MAX_LOGIT_DIFFERENCE
) -> float:
    """Returns the largest logit difference of two models, and checks it.

    With a finite limit, only images with the same codes are compared.

    Args:
        expected: Answers of the Keras model.
        found: Answers of the exported model.
        limit: Limit of `allowed_difference`; may be `inf`.

    Raises:
        ValueError: If it is above what `limit` allows, a value is not finite, or more
            codes differ than rounding explains.
    """
    advice = "nothing was written. Please report it with the run's config.json."
    differences = np.abs(expected.logits - found.logits)
    if expected.codes is not None and found.codes is not None and limit < np.inf:
        differences = differences[same_codes(expected.codes, found.codes)]
        other = float(np.mean(expected.codes != found.codes))
        if other > MAX_OTHER_CODES or not len(differences):
            raise ValueError(
                f"{other:.1%} of the exported model's codes are not the Keras model's, "
                f"and {len(differences)} images have all of them; {advice}"
            )
    difference = float(np.max(differences))
    allowed = allowed_difference(limit, float(np.max(np.abs(expected.logits))))
    if not (difference <= allowed and np.isfinite(difference)):
        raise ValueError(
            f"The exported model's logits differ from the Keras model's by "
            f"{difference:.1e}, more than {allowed:.1e}; {advice}"
        )
    return difference


def compare(
    cases: RunCases,
    exports: Sequence[Exported],
    max_cases: int,
) -> Report:
    """Compares the predictions of a run and of its exports on real cases.

    Args:
        cases: Cases of one part of the run's data.
        exports: Exports of that run.
        max_cases: Largest number of cases to take, evenly spread over `cases`.

    Returns:
        The content of `parity.json`: the run, the cases, the machine; `dsc`,
        `latency_ms` and `size_bytes` of the Keras model; for each export these, the
        differences that `Tally` counts (`None` if not finite), its limits, and the
        limits that it is `outside` of, as text.

    Raises:
        ValueError: If an export cannot be run, a case cannot be used, none of them
            shows a class, or Keras does not run on TensorFlow.
    """
    require_tensorflow()
    model = load_run_model(cases.run)
    predict = _keras(model)
    opened = [export.open() for export in exports]
    count = len(cases.class_names)
    tallies = [Tally(count) for _ in exports]
    ids = spread(cases.case_ids, max_cases)
    preprocessor = cases.preprocessor
    dsc, slices = [], 0
    images = np.empty(0)
    for case_id in tqdm(ids, "compare", unit="case", disable=None):
        case = cases.dataset.read_case(cases.root, case_id)
        images = preprocessor.images(case.image)
        logits, codes = _predict(predict, images)
        labels = _labels(logits, case.label, preprocessor)
        dsc.append(metrics.dice_of_classes(case.label, labels, count))
        slices += len(images)
        for found, export, tally in zip(exports, opened, tallies, strict=True):
            their_logits, their_codes = _predict(export.answer, images)
            exact = LIMITS[found.quantization].logits is not None
            same = same_codes(codes, their_codes) if exact else slice(None)
            tally.add_logits(logits[same], their_logits[same])
            if codes is not None:
                tally.add_codes(codes, their_codes)
            tally.add_labels(
                case.label, labels, _labels(their_logits, case.label, preprocessor)
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
        "run": str(cases.run),
        SCORED_SHA256: cases.run.weights_sha256,
        "model": cases.config.model.name,
        "dataset": cases.config.data.dataset,
        "split": cases.part,
        "num_cases": len(ids),
        "num_slices": slices,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "keras": {
            "dsc": mean,
            "latency_ms": latencies[0],
            "size_bytes": cases.run.weights().stat().st_size,
        },
        "exports": [
            _entry(export, tally, mean, latency)
            for export, tally, latency in zip(
                exports, tallies, latencies[1:], strict=True
            )
        ],
    }


def spread(items: Sequence[str], count: int) -> list[str]:
    """Returns up to `count` items, evenly spaced, in order."""
    count = min(count, len(items))
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
    # The first call is warm-up.
    return [1000 * statistics.median(times[1:]) for times in seconds]


def _keras(model: keras.Model) -> Callable[[np.ndarray], Answers]:
    """Returns the run's model as a `tf.function`, Keras' fastest form."""
    graph = tf.function(with_codes(model), autograph=False)

    def answer(images: np.ndarray) -> Answers:
        return Answers.of(graph(tf.constant(images), training=False))

    return answer


def _predict(call: Callable[[np.ndarray], Answers], images: np.ndarray) -> Answers:
    """Predicts in batches of the size that scoring uses."""
    starts = range(0, len(images), BATCH_SIZE)
    answers = [call(images[start : start + BATCH_SIZE]) for start in starts]
    logits, codes = zip(*answers, strict=True)
    return Answers(
        np.concatenate(logits), None if codes[0] is None else np.concatenate(codes)
    )


def _labels(
    logits: np.ndarray, true: np.ndarray, preprocessor: Preprocessor
) -> np.ndarray:
    _, rows, columns = true.shape
    return to_labels(preprocessor.back(logits, rows, columns))


def _finite(value: float | None) -> float | None:
    """Returns `None` for `nan` and `inf`, which JSON does not have."""
    return None if value is None or not math.isfinite(value) else value


def _size(path: pathlib.Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _entry(export: Exported, tally: Tally, dsc: float, latency_ms: float) -> Report:
    limits = LIMITS[export.quantization]
    measured = {
        "largest_logit": tally.largest_logit,
        "largest_logit_difference": (
            tally.largest_logit_difference if tally.images else math.nan
        ),
        "labels_changed": tally.labels_changed,
        "codes_changed": tally.codes_changed,
        "dsc": tally.dsc,
        "dsc_change": tally.dsc - dsc,
    }
    return {
        "path": str(export.path),
        "kind": export.kind,
        "precision": export.quantization,
        **{name: _finite(value) for name, value in measured.items()},
        "compared_images": tally.images,
        "latency_ms": latency_ms,
        "size_bytes": _size(export.path),
        "limits": {"logits": limits.logits, "dsc": limits.dsc},
        "outside": outside(measured, limits),
    }


def outside(measured: Report, limits: Limits) -> list[str]:
    """Describes the limits that are exceeded; NaN exceeds every limit."""
    found = []
    largest, change = measured["largest_logit_difference"], measured["dsc_change"]
    if limits.logits is not None:
        allowed = allowed_difference(limits.logits, measured["largest_logit"])
        if math.isnan(largest):
            found.append("no image has the run's codes, so no logits were compared")
        elif not largest <= allowed:
            found.append(f"logits differ by {largest:.1e}, more than {allowed:.1e}")
        codes = measured["codes_changed"] or 0.0
        if codes > MAX_OTHER_CODES:
            found.append(f"{codes:.1%} of the codes differ")
    if not abs(change) <= limits.dsc:
        found.append(f"DSC changes by {change:+.4f}, more than {limits.dsc}")
    return found


class Tally:
    """Accumulates over cases how an export's answers differ from its run's.

    Args:
        num_classes: Number of foreground classes.

    Attributes:
        largest_logit_difference: Largest difference of a logit over all images.
        largest_logit: Largest magnitude of the run's logits.
        images: Number of images whose logits were compared.
    """

    def __init__(self, num_classes: int) -> None:
        self.largest_logit_difference = self.largest_logit = 0.0
        self.images = 0
        self._num_classes = num_classes
        self._labels = self._changed = 0
        self._codes = self._other_codes = 0
        self._dsc: list[list[float]] = []

    def add_logits(self, run: np.ndarray, export: np.ndarray) -> None:
        """Compares the logits of some images; `nan` counts as `inf`.

        Raises:
            ValueError: If their shapes differ.
        """
        _require_same_shape("logits", run, export)
        self.images += len(run)
        difference = float(np.max(np.abs(run - export), initial=0.0))
        if not math.isfinite(difference):
            difference = math.inf
        self.largest_logit_difference = max(self.largest_logit_difference, difference)
        largest = float(np.max(np.abs(run), initial=0.0))
        self.largest_logit = max(self.largest_logit, largest)

    def add_codes(self, run: np.ndarray, export: np.ndarray | None) -> None:
        """Compares the codes of some images.

        Raises:
            ValueError: If the export gives none, or not as many.
        """
        if export is None:
            raise ValueError("The export gives no codes, its run does: export it again")
        _require_same_shape("codes", run, export)
        self._codes += run.size
        self._other_codes += int(np.count_nonzero(run != export))

    def add_labels(self, true: np.ndarray, run: np.ndarray, export: np.ndarray) -> None:
        """Compares a case's labels, and scores the export's against ground truth."""
        self._labels += run.size
        self._changed += int(np.count_nonzero(run != export))
        self._dsc.append(metrics.dice_of_classes(true, export, self._num_classes))

    @property
    def labels_changed(self) -> float:
        """Share of pixels, on the images' own grids."""
        return self._changed / self._labels

    @property
    def codes_changed(self) -> float | None:
        """Share of the codes; `None` where there are none."""
        return self._other_codes / self._codes if self._codes else None

    @property
    def dsc(self) -> float:
        """Strict DSC: mean over cases, then over classes."""
        return mean_dsc(self._dsc)


def mean_dsc(by_case: Sequence[Sequence[float]]) -> float:
    """Returns the mean over cases, then classes, without `nan`."""
    cases = [
        {str(number): {"dsc": dsc} for number, dsc in enumerate(classes)}
        for classes in by_case
    ]
    return metrics.mean_of_classes(metrics.average(cases))["dsc"]


def _require_same_shape(what: str, run: np.ndarray, export: np.ndarray) -> None:
    if run.shape != export.shape:
        raise ValueError(
            f"The export's {what} have the shape {export.shape}, the run's "
            f"{run.shape}: it is of another run"
        )


def format_markdown(report: Report) -> str:
    """Formats a report as a Markdown table."""
    cases = f"{report['num_cases']} {report['split']} cases"
    has_codes = any(entry["codes_changed"] is not None for entry in report["exports"])
    head = ["", "MB", "ms", "logits", "labels changed"]
    head += ["codes changed"] if has_codes else []
    head += ["DSC", "change", "within limits"]
    own = report["keras"]
    dash = [DASH] * (3 if has_codes else 2)
    rows = [head, ["Keras", *_costs(own), *dash, f"{own['dsc']:.4f}", DASH, DASH]]
    for entry in report["exports"]:
        precision = entry["precision"]
        codes = [number(entry["codes_changed"], ".2%")] if has_codes else []
        rows.append(
            [
                entry["kind"] + ("" if precision == "none" else f", {precision}"),
                *_costs(entry),
                _finite_number(entry["largest_logit_difference"], ".1e")
                if entry["compared_images"]
                else DASH,
                f"{entry['labels_changed']:.4%}",
                *codes,
                _finite_number(entry["dsc"], ".4f"),
                _finite_number(entry["dsc_change"], "+.5f"),
                "no" if entry["outside"] else "yes",
            ]
        )
    caption = (
        f"{report['model']} on {report['dataset']}: {cases}, {report['num_slices']} "
        f"slices. ms: one image, median of {REPEATS}, taking turns "
        f"({report['machine']}). logits: largest difference. DSC: strict, against "
        "ground truth."
    )
    return f"{caption}\n\n{markdown(rows)}\n"


def _finite_number(value: float | None, form: str) -> str:
    return "not finite" if value is None else number(value, form)


def _costs(entry: Report) -> list[str]:
    return [f"{entry['size_bytes'] / 1e6:.1f}", f"{entry['latency_ms']:.0f}"]
