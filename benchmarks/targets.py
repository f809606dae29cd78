"""Performance targets: what each measured number must reach."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from benchmarks import steps

Results = dict[str, Any]
# TransUNet's published PyTorch code took 3.6 s for a training step where SMP's
# Unet-R50 took 0.99 s (bfloat16, batch 8, 224 pixels, one machine): ours takes at most
# 0.7 of it, in units of the peer's step of this run.
TRANSUNET_RATIO = 0.7 * 3.6 / 0.99


@dataclasses.dataclass(frozen=True)
class Target:
    """A bound on something measured.

    Attributes:
        name: What it is about.
        bound: Of the number.
        measured: The number, from the results; `None` where its part was not run.
        at_least: Whether the bound is from below.
        unit: After the number.
    """

    name: str
    bound: float
    measured: Callable[[Results], float | None]
    at_least: bool = False
    unit: str = ""

    def is_met(self, value: float) -> bool:
        """Tells whether a measured number is within the bound."""
        return value >= self.bound if self.at_least else value <= self.bound


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A target and what was measured; `None` where it was not."""

    target: Target
    value: float | None

    @property
    def met(self) -> bool | None:
        """Whether it is met; `None` where that is not known."""
        return None if self.value is None else self.target.is_met(self.value)


def find_row(
    results: Results, contestant: str, mode: str, precision: str, batch: int
) -> dict[str, Any] | None:
    """Returns a contestant's row of a group, or `None` where there is none."""
    wanted = (contestant, mode, precision, batch)
    keys = ("contestant", "mode", "precision", "batch")
    rows = results.get("steps", {}).get("rows", [])
    return next((r for r in rows if tuple(r[k] for k in keys) == wanted), None)


def gemm_share(results: Results, row: dict[str, Any]) -> float | None:
    """Returns the row's rate of arithmetic, as a share of a matrix product's."""
    best = results.get("gemm", {}).get("best", {}).get(row["precision"])
    return gflops(results, row) / best if best else None


def gflops(results: Results, row: dict[str, Any]) -> float:
    """Returns the row's rate of arithmetic, in GFLOP/s."""
    counted = results["steps"]["operations"][row["contestant"].split(", ")[0]]
    work = counted * row["batch"] * steps.FORWARDS[row["mode"]]
    return float(work / row["seconds"]["median"] / 1e9)


def _ratio(
    results: Results, role: str, mode: str, precision: str, batch: int
) -> float | None:
    row = find_row(results, role, mode, precision, batch)
    return row["ratio"]["median"] if row and row["ratio"] else None


def _lite0_ratio(results: Results, precision: str) -> float | None:
    rows = [
        find_row(results, role, "train", precision, 8)
        for role in (steps.LITE0, "synergynet-8s2h")
    ]
    seconds = [row["seconds"]["median"] for row in rows if row]
    return seconds[0] / seconds[1] if len(seconds) == 2 else None


def _share(results: Results, role: str) -> float | None:
    row = find_row(results, role, "infer", "float32", 8)
    return gemm_share(results, row) if row else None


def _at(*keys: str) -> Callable[[Results], float | None]:
    """Reads a number of the results, or `None` where a key is not there."""

    def measured(results: Results) -> float | None:
        value: Any = results
        for key in keys:
            value = (value or {}).get(key)
        return value

    return measured


def _slowest_command(results: Results) -> float | None:
    commands = results.get("startup", {}).get("commands", {})
    return max(commands.values(), default=None)


def _best_export(results: Results) -> float | None:
    rows = results.get("exports", {}).get("rows", {})
    ratios = [row["ratio"]["median"] for name, row in rows.items() if name != "Keras"]
    return min(ratios, default=None)


def _against_peer(
    role: str, bound: float, mode: str, precision: str, batch: int
) -> Target:
    return Target(
        f"{role}, {mode}, {precision}, batch {batch}: time in that of {steps.PEER}",
        bound,
        functools.partial(
            _ratio, role=role, mode=mode, precision=precision, batch=batch
        ),
    )


TARGETS = (
    *(
        _against_peer("r50-unet", 1.0, mode, precision, batch)
        for mode, batches in steps.BATCHES.items()
        for precision in steps.PRECISIONS
        for batch in batches
    ),
    _against_peer("synergynet-8s2h", 1.3, "train", "bfloat16", 8),
    _against_peer("transunet", TRANSUNET_RATIO, "train", "bfloat16", 8),
    *(
        Target(
            f"{steps.LITE0}, train, {precision}, batch 8: time in that on ResNet-50",
            0.6,
            functools.partial(_lite0_ratio, precision=precision),
        )
        for precision in steps.PRECISIONS
    ),
    *(
        Target(
            f"{role}, infer, float32, batch 8: share of the GEMM rate",
            0.8,
            functools.partial(_share, role=role),
            at_least=True,
        )
        for role in ("synergynet-8s2h", "transunet")
    ),
    Target(
        "augmented batches: images/s in those that r50-unet's bfloat16 step takes",
        5.0,
        _at("pipeline", "ratio"),
        at_least=True,
    ),
    Target(
        "second start on a prepared store: to the first training step",
        15.0,
        _at("startup", "first_step"),
        unit=" s",
    ),
    Target("slowest --help or refusal", 1.0, _slowest_command, unit=" s"),
    Target(
        "HD95 of a liver: times as fast as medpy",
        40.0,
        _at("surface", "liver", "ratio"),
        at_least=True,
    ),
    Target(
        "HD95 of a gallbladder: times as fast as medpy",
        200.0,
        _at("surface", "gallbladder", "ratio"),
        at_least=True,
    ),
    Target("batch 1 of the best export: time in that of Keras", 0.25, _best_export),
)


def judge(results: Results) -> list[Verdict]:
    """Holds every target against the results."""
    return [Verdict(target, target.measured(results)) for target in TARGETS]
