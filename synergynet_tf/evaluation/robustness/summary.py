"""Whether runs differ in what corruption costs them: one number a run, and pairs.

The loss of a run is its clean DSC less its mean DSC over all corruptions and
severities, each weighing alike. Runs saw the same cases, corrupted alike, so the
difference of two losses is taken within each resample of the patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from synergynet_tf.evaluation.scores import without_nan
from synergynet_tf.metrics import bootstrap
from synergynet_tf.metrics.bootstrap import Resamples


def summarize(
    reports: Sequence[Mapping[str, Any]], patients: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Sums up each run, and sets it beside the first.

    Args:
        reports: From `corrupt_run`, of the same cases.
        patients: The patient of each case.

    Returns:
        For each run its mean DSC when `corrupted`, the `loss` and, less that of the
        first run, the `excess`, each with its 95 % `<name>_interval` by patient;
        fractions, `None` where undefined and the first run's excess.
    """
    case_ids = list(reports[0]["rows"][0]["cases"])
    weights = bootstrap.draw_patients([patients[case_id] for case_id in case_ids])
    summaries, first = [], None
    for report in reports:
        rows = [_resampled(row, weights) for row in report["rows"]]
        several = all(row.several for row in rows)
        means = np.mean([row.means for row in rows[1:]], axis=0)
        loss = Resamples(rows[0].means - means, several)
        found = {"corrupted": Resamples(means, several), "loss": loss, "excess": None}
        if first is None:
            first = loss
        else:
            both = several and first.several
            found["excess"] = Resamples(loss.means - first.means, both)
        summaries.append(without_nan(_numbers(found)))
    return summaries


def _resampled(row: Mapping[str, Any], weights: np.ndarray) -> Resamples:
    """Returns a row's mean DSC: of all cases, then of each resample of them."""
    scores = [
        {
            name: {"dsc": np.nan if value is None else value}
            for name, value in by_class.items()
        }
        for by_class in row["cases"].values()
    ]
    everyone = np.ones((1, weights.shape[1]))
    resampled = bootstrap.resample_averages(scores, np.vstack([everyone, weights]))
    return bootstrap.resampled_means(resampled)["dsc"]


def _numbers(found: Mapping[str, Resamples | None]) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    for name, values in found.items():
        numbers[name], numbers[f"{name}_interval"] = None, (None, None)
        if values is not None:
            numbers[name] = float(values.means[0])
            drawn = Resamples(values.means[1:], values.several)
            numbers[f"{name}_interval"] = bootstrap.interval(drawn)
    return numbers
