"""Scores: of a case, and of a run as `metrics.json` holds them.

Scoring processes import this: NumPy and SciPy, never Keras.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import pathlib
import typing
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from synergynet_tf import metrics
from synergynet_tf.evaluation.cases import RunCases
from synergynet_tf.evaluation.postprocess import Postprocessing
from synergynet_tf.formats import cases_title, data_title, with_options, without_nan
from synergynet_tf.metrics import METRICS, PROTOCOLS, Counts, bootstrap
from synergynet_tf.runs import BEST_WEIGHTS, SCORED_SHA256, Run
from synergynet_tf.safe_io import is_plain, read_json, require, shown

FILE = "metrics.json"
# Settings that tell rows of the paper's tables apart, besides the model.
MODEL_SETTINGS = ("backbone", "num_codes", "hidden_dim")
# Metrics that files of all versions have of each case and of the mean.
_OVERLAP_METRICS = {"dsc", "iou", "acc", "sp", "se"}
REQUIRED_METRICS: dict[str, set[str]] = {
    "strict": {*_OVERLAP_METRICS, "hd95", "nsd"},
    "transunet": {*_OVERLAP_METRICS, "hd95", "nsd"},
    "pooled": _OVERLAP_METRICS,
}
Values = dict[str, float | None]
# Scores under a protocol: `mean`, `mean_interval`, `per_class`, `per_class_interval`.
Block = dict[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class LabeledCase:
    """A case's reference and predictions.

    Attributes:
        case_id: Case ID of the dataset.
        patient: ID of the case's patient.
        true_labels: uint8 `(slices, rows, columns)`.
        pred_labels: Predicted labels, same shape, for each grid on which they were
            decided.
        spacing_mm: Distance between slices, rows and columns; or the steps of a grid
            whose axes are not orthogonal.
    """

    case_id: str
    patient: str
    true_labels: np.ndarray
    pred_labels: Mapping[str, np.ndarray]
    spacing_mm: tuple[float, float, float] | np.ndarray


@dataclasses.dataclass(frozen=True)
class CaseResult:
    """The result of a scored case.

    Attributes:
        case_id: Case ID of the dataset.
        patient: ID of the case's patient.
        scores: Metrics of each class, by protocol.
        counts: Confusion matrix of each class, by protocol, as shares of the pixels.
    """

    case_id: str
    patient: str
    scores: dict[str, metrics.ClassScores]
    counts: dict[str, dict[str, Counts]]

    def presence(self, protocol: str, name: str) -> str:
        """Says whether the masks have a class: `both`, `empty`, `missed`, `false`."""
        return self.counts[protocol][name].presence


def score_labeled(
    case: LabeledCase,
    class_names: Sequence[str],
    protocols: Sequence[str],
    tolerance_mm: float,
) -> CaseResult:
    """Scores a case under each protocol, on the labels that belong to it.

    Raises:
        ValueError: If the predictions do not fit the reference; names the case.
    """
    scores, counts, counted = {}, {}, {}
    try:
        for protocol in protocols:
            grid = metrics.LABEL_GRIDS[protocol]
            pred = case.pred_labels[grid]
            scores[protocol] = metrics.score_case(
                case.true_labels,
                pred,
                class_names,
                case.spacing_mm,
                protocol,
                tolerance_mm,
            )
            if grid not in counted:
                counted[grid] = metrics.count_case(case.true_labels, pred, class_names)
            counts[protocol] = counted[grid]
    except ValueError as error:
        raise ValueError(f"Case {case.case_id}: {error}") from error
    return CaseResult(case.case_id, case.patient, scores, counts)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores:
    """The scores of a run on one part of its data. Undefined numbers are `None`.

    Attributes:
        dataset: Name of the dataset.
        data_dir: The folder that was read; empty in files of earlier versions that lack
            it.
        model: Name of the method.
        backbone: Name of its encoder.
        num_codes: Size of its codebook.
        hidden_dim: Channels of its bottleneck.
        seed: Seed of the run.
        split: `val` or `test`.
        data_split: Split of the data, `DataConfig.split`.
        fold: Fold of a cross-validation; empty without one.
        limit: Largest number of cases of each part; `None` for all.
        image_size: Height and width of the model's input in pixels.
        epochs: Number of epochs that the run was to be trained for.
        trained_epochs: Number of epochs that it was trained for.
        weights_sha256: Hash of the weights file; empty in files of earlier versions.
        options: Whether each post-processing was on.
        num_cases: Number of scored cases.
        num_patients: Number of patients of the scored cases.
        bootstrap: `resamples`, `seed` and `level` of the intervals.
        protocol: Protocol that was asked for.
        paper_protocol: Protocol of the paper on this dataset.
        distance_unit: `mm`, or `px` where files have no spacing: a slice counts as one.
        blocks: Scores under each protocol that was computed: the `mean` over classes
            and that of each class, `per_class`, with bootstrap intervals by patient,
            `mean_interval` and `per_class_interval`.
        structures: Number of cases, by class, in which it was `empty`, `missed` or
            `false`.
        codes: Number of codes `used`, the `total`, and the `perplexity` of their use;
            `None` for a method without a codebook.
        cases: For each case its `case_id` and `patient`; the scores `per_class` under
            `protocol`, and again under the name of each protocol; and the `counts`:
            true positives, false positives, false negatives and true negatives of each
            class, as shares of the pixels.
    """

    dataset: str
    data_dir: str = ""
    model: str
    backbone: str
    num_codes: int
    hidden_dim: int
    seed: int
    split: str
    data_split: str
    fold: str
    limit: int | None
    image_size: int
    epochs: int
    trained_epochs: int
    weights_sha256: str = ""
    options: dict[str, bool]
    num_cases: int
    num_patients: int
    bootstrap: dict[str, Any]
    protocol: str
    paper_protocol: str
    distance_unit: str
    blocks: dict[str, Block]
    structures: dict[str, dict[str, int]]
    codes: dict[str, Any] | None
    cases: list[dict[str, Any]]

    @classmethod
    def of(
        cls,
        cases: RunCases,
        protocol: str,
        options: Postprocessing,
        results: Sequence[CaseResult],
        codes: dict[str, Any] | None,
    ) -> Scores:
        """Summarizes the results of cases.

        Args:
            cases: Cases of the run.
            protocol: The one that was asked for.
            options: Post-processing of the predictions.
            results: Result of each case, under this protocol and others.
            codes: Use of the codes that the predictor has counted; `None` without a
                codebook.
        """
        weights = bootstrap.draw_patients([result.patient for result in results])
        parts = {
            "blocks": {
                name: mean_block(results, name, weights) for name in results[0].scores
            },
            "structures": count_structures(results, protocol, cases.class_names),
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
        return cls(
            **describe(cases, options),
            protocol=protocol,
            paper_protocol=cases.dataset.PAPER_PROTOCOL,
            distance_unit=_distance_unit(cases),
            **without_nan(parts),
        )

    @classmethod
    def from_json(cls, values: Any) -> Scores:
        """Reads the values that `to_json` returned, and refuses any others.

        Raises:
            KeyError: If something is missing, as in files of another version.
            ValueError: If something is damaged.
        """
        require(isinstance(values, dict), "it", "an object", values)
        blocks = {name: values[name] for name in PROTOCOLS if name in values}
        found = {"data_dir": "", SCORED_SHA256: "", **values, "blocks": blocks}
        scores = cls(**{field.name: found[field.name] for field in _FIELDS})
        _check(scores)
        return scores

    def to_json(self) -> dict[str, Any]:
        """Returns what `metrics.json` holds: all fields, the blocks by protocol.

        The block of `protocol` stands before them, without a name. Nothing is copied
        but the outermost dictionary.
        """
        values = {field.name: getattr(self, field.name) for field in _FIELDS}
        if not self.weights_sha256:
            del values[SCORED_SHA256]
        at = list(values).index("blocks")
        items = list(values.items())
        own = self.blocks[self.protocol]
        return dict([*items[:at], *own.items(), *self.blocks.items(), *items[at + 1 :]])

    def block(self, protocol: str) -> Block:
        """Returns the means under a protocol, and their intervals."""
        return self.blocks[protocol]

    def case(self, case_id: str) -> dict[str, Any]:
        """Returns the scores of a case.

        Raises:
            KeyError: If it was not scored.
        """
        return self._by_id[case_id]

    @functools.cached_property
    def dsc(self) -> dict[str, float]:
        """Each case's mean DSC of its classes under `strict`; `nan` if it has none."""
        return {
            case_id: metrics.mean_of_classes(
                {
                    name: {"dsc": math.nan if of["dsc"] is None else of["dsc"]}
                    for name, of in case["strict"].items()
                }
            )["dsc"]
            for case_id, case in self._by_id.items()
        }

    def ranked(self) -> dict[str, str]:
        """Returns the `best`, the `median` and the `worst` case; see `rank`."""
        return rank(self.dsc)

    def title(self) -> str:
        """Says what was scored: what runs in one table have in common."""
        values = self.to_json()
        return (
            f"{data_title(values)}: {cases_title(values)}, {self.image_size} px, "
            f"{self.epochs} epochs{with_options(self.options)}"
        )

    def unlike(
        self,
        split: str,
        protocol: str,
        options: Postprocessing,
        data_dir: str | pathlib.Path | None = None,
    ) -> list[str]:
        """Names the arguments that differ from what these scores are of.

        Args:
            split: `val` or `test`.
            protocol: Key of `metrics.PROTOCOLS`, or `paper` for the dataset's own.
            options: Post-processing of the predictions.
            data_dir: Folder of the raw data; `None` to accept any.
        """
        asked = {
            "split": split,
            "protocol": self.paper_protocol if protocol == "paper" else protocol,
            "options": dataclasses.asdict(options),
        }
        if data_dir is not None:
            asked["data_dir"] = str(pathlib.Path(data_dir).resolve())
        return [name for name, value in asked.items() if getattr(self, name) != value]

    @functools.cached_property
    def _by_id(self) -> dict[str, dict[str, Any]]:
        return {case["case_id"]: case for case in self.cases}


_FIELDS = dataclasses.fields(Scores)


def read_scores(run: Run) -> Scores:
    """Reads a run's `metrics.json`.

    Raises:
        FileNotFoundError: If the run has not been scored.
        ValueError: If the file is damaged or of another version.
    """
    path, advice = run.results / FILE, f"score it with synergynet evaluate --run {run}"
    if not path.is_file():
        raise FileNotFoundError(f"No {FILE} in {run.results}; {advice}")
    try:
        return Scores.from_json(read_json(path))
    except KeyError as error:
        raise ValueError(
            f"{path} is of another version (there is no {error}); {advice}"
        ) from error
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged or of another version ({error}); {advice}"
        ) from error


def read_current_scores(run: Run) -> Scores:
    """Reads a run's `metrics.json`, which must be of its weights where those are.

    Raises:
        FileNotFoundError: If the run has not been scored.
        ValueError: If the scores are damaged, or of other weights.
    """
    scores, path = read_scores(run), run.results / FILE
    if not (run.path / BEST_WEIGHTS).is_file():
        return scores  # A copy of a run's small files, for comparison.
    if stale := run.why_stale(path, scores.weights_sha256):
        raise ValueError(
            f"{path} is {stale}; score the run again with synergynet evaluate --run "
            f"{run}"
        )
    return scores


def fresh_scores(run: Run) -> tuple[Scores | None, str]:
    """Reads a run's `metrics.json` if that is of its weights.

    Returns:
        The scores, or `None` and what keeps those that are there from being used:
        nothing if there are none.
    """
    path = run.results / FILE
    if not path.is_file():
        return None, ""
    try:
        scores = Scores.from_json(read_json(path))
    except KeyError:
        return None, "of another version"
    except ValueError:
        return None, "damaged, or of another version"
    stale = run.why_stale(path, scores.weights_sha256)
    return (None, stale) if stale else (scores, "")


def rank(dsc: Mapping[str, float]) -> dict[str, str]:
    """Returns the `best`, the `median` and the `worst` case by DSC.

    Args:
        dsc: DSC of each case; those of `nan` are left out.

    Returns:
        Case ID of each rank; nothing if no case has a DSC.

    Example:
    >>> rank({"a": 0.25, "b": 0.75, "c": float("nan")})
    {'best': 'b', 'median': 'a', 'worst': 'a'}
    """
    ranked = sorted((i for i in dsc if not math.isnan(dsc[i])), key=lambda i: -dsc[i])
    if not ranked:
        return {}
    places = {"best": 0, "median": len(ranked) // 2, "worst": -1}
    return {place: ranked[index] for place, index in places.items()}


def describe(cases: RunCases, options: Postprocessing) -> dict[str, Any]:
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


def mean_block(
    results: Sequence[CaseResult], protocol: str, weights: np.ndarray
) -> Block:
    """Returns the means over all cases, and their intervals.

    Args:
        results: Result of each case.
        protocol: One of the protocols that they were scored under.
        weights: Weights of `bootstrap.draw_patients`, `(resamples, cases)`.
    """
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


def count_structures(
    results: Sequence[CaseResult], protocol: str, names: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Counts for each class in how many cases it was `empty`, `missed` or `false`."""
    counted = {
        name: Counter(result.presence(protocol, name) for result in results)
        for name in names
    }
    return {
        name: {kind: counts[kind] for kind in ("empty", "missed", "false")}
        for name, counts in counted.items()
    }


def _distance_unit(cases: RunCases) -> str:
    known = getattr(cases.dataset, "has_spacing", None)
    in_mm = known(cases.root) if known else cases.preprocessor.modality != "rgb"
    return "mm" if in_mm else "px"


def _check(scores: Scores) -> None:
    """Refuses scores that are inconsistent or incomplete."""
    for name, hint in typing.get_type_hints(Scores).items():
        value = getattr(scores, name)
        if hint is str:
            # A folder may have any name.
            ok = isinstance(value, str) and (name == "data_dir" or is_plain(value))
            require(ok, name, "text", value)
        elif hint is int:
            require(type(value) is int, name, "a whole number", value)
        elif typing.get_origin(hint) is dict:
            require(isinstance(value, dict), name, "an object", value)
    limit, codes, cases = scores.limit, scores.codes, scores.cases
    require(limit is None or type(limit) is int, "limit", "a whole number", limit)
    for on in scores.options.values():
        require(type(on) is bool, "an option", "true or false", on)
    for name in ("resamples", "level"):
        _require_number(f"{name} of bootstrap", scores.bootstrap[name])
    require(isinstance(codes, dict | None), "codes", "an object or null", codes)
    for name in ("used", "total", "perplexity") if codes is not None else ():
        _require_number(f"{name} of codes", codes[name])  # type: ignore[index]
    for name, kinds in scores.structures.items():
        require(isinstance(kinds, dict), f"structures of {name}", "an object", kinds)
        for kind in ("empty", "missed", "false"):
            _require_number(f"structures of {name}", kinds[kind])
    require(isinstance(cases, list) and len(cases) > 0, "cases", "a list", cases)
    needed = ("strict", scores.protocol, scores.paper_protocol)
    _require_keys(scores.blocks, needed)
    for case in cases:
        _check_case(case, cases[0], ("per_class", *needed, "counts"))
    for protocol, block in scores.blocks.items():
        _check_block(protocol, block)
        _require_same(protocol, block["per_class"], cases[0]["per_class"])


def _check_case(case: Any, first: Any, needed: Iterable[str]) -> None:
    require(isinstance(case, dict), "a case", "an object", case)
    for name in ("case_id", "patient"):
        value = case.get(name)
        require(isinstance(value, str), f"{name} of a case", "text", value)
    _require_keys(first, needed)
    title = f"case {case['case_id']}"
    _require_same(title, case, first)
    for name in ("per_class", *REQUIRED_METRICS):
        if name in case:
            least = REQUIRED_METRICS.get(name, set())
            _check_classes(f"{name} of {title}", case[name], first[name], least)
    counts = case["counts"]
    require(isinstance(counts, dict), f"counts of {title}", "an object", counts)
    _require_same(f"counts of {title}", counts, case["per_class"])
    for value in counts.values():
        ok = isinstance(value, list) and len(value) == 4
        ok = ok and all(isinstance(number, int | float) for number in value)
        require(ok, f"counts of {title}", "four numbers for each class", value)


def _check_block(protocol: str, block: Any) -> None:
    ok = isinstance(block, dict) and {"mean", "per_class"} <= set(block)
    require(ok, protocol, "the mean and each class's scores", block)
    mean, classes = block["mean"], block["per_class"]
    least = REQUIRED_METRICS[protocol]
    _check_values(f"{protocol}, mean", mean, least)
    _check_classes(f"{protocol}, per_class", classes, classes, least)
    _check_intervals(f"{protocol}, mean_interval", block["mean_interval"], mean)
    where, intervals = f"{protocol}, per_class_interval", block["per_class_interval"]
    require(isinstance(intervals, dict), where, "of each class", intervals)
    _require_same(where, intervals, classes)
    for name, values in classes.items():
        _check_intervals(f"{where}, {name}", intervals[name], values)


def _check_intervals(where: str, intervals: Any, values: Values) -> None:
    require(isinstance(intervals, dict), where, "an interval each", intervals)
    _require_same(where, intervals, values)
    for ends in intervals.values():
        ok = isinstance(ends, list) and len(ends) == 2 and all(map(_is_value, ends))
        require(ok, where, "two numbers, or null, each", ends)


def _check_classes(where: str, classes: Any, first: Any, least: set[str]) -> None:
    """Refuses anything but scores of the same classes as in the first block."""
    ok = isinstance(classes, dict) and len(classes) > 0
    require(ok, where, "the scores of each class", classes)
    _require_same(where, classes, first)
    for name, values in classes.items():
        _check_values(f"{where}, {name}", values, least)
        _require_same(f"{where}, {name}", values, next(iter(classes.values())))
        _require_same(f"{where}, {name}", values, first[name])


def _check_values(where: str, values: Any, least: set[str]) -> None:
    ok = isinstance(values, dict) and least <= set(values) <= set(METRICS)
    require(ok, where, f"scores ({', '.join(METRICS)})", values)
    for value in values.values():
        require(_is_value(value), where, "numbers or null", value)


def _is_value(value: Any) -> bool:
    return isinstance(value, int | float | None) and not isinstance(value, bool)


def _require_keys(values: Mapping[str, Any], needed: Iterable[str]) -> None:
    if missing := [name for name in needed if name not in values]:
        raise KeyError(missing[0])


def _require_number(where: str, value: Any) -> None:
    require(_is_value(value) and value is not None, where, "a number", value)


def _require_same(where: str, values: Iterable[str], first: Iterable[str]) -> None:
    ok = isinstance(first, dict) and set(values) == set(first)
    require(ok, where, f"of {shown(sorted(first))}, as the first", sorted(values))
