"""Time and memory of HD95, ours and medpy's: `python -m benchmarks.surface_metrics`.

A pair is two ellipsoids in 512 x 512 x 150 voxels, one of them moved and dented. Each
is measured in a process of its own, so that the memory is that of one measurement.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.worker import peak_mib
from synergynet_tf.cli import command_line
from synergynet_tf.metrics import surface

SHAPE = (150, 512, 512)
# Half axes in voxels: 1.6 and 0.02 liters at 0.8 x 0.8 x 1.5 mm.
ORGANS = {"liver": (48, 85, 100), "gallbladder": (12, 20, 21)}
SHIFT = (2, 5, -4)


class Measurement(NamedTuple):
    """One call.

    Attributes:
        hd95: In voxels.
        seconds: How long it took.
        mib: How much the process's largest size grew.
    """

    hd95: float
    seconds: float
    mib: float


def make_pair(half_axes: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Returns a reference and a prediction, bool `SHAPE`."""
    true, pred = np.zeros((2, *SHAPE), bool)
    for mask, shift in ((true, (0, 0, 0)), (pred, SHIFT)):
        # Slice by slice, so that what is measured is not hidden below a larger peak.
        z, y, x = (
            ((np.arange(length) - length / 2 - offset) / half) ** 2
            for length, half, offset in zip(SHAPE, half_axes, shift, strict=True)
        )
        for i, height in enumerate(z):
            mask[i] = height + y[:, None] + x <= 1
    slices, rows, columns = (length // 2 for length in SHAPE)
    pred[slices:, rows:, columns : columns + half_axes[2] // 3] = False
    return true, pred


def ours(true: np.ndarray, pred: np.ndarray) -> float:
    """Returns HD95 as TransUNet's protocol has it: both directions in one list."""
    distances = surface.surface_distances(true, pred, (1.0, 1.0, 1.0))
    return float(np.percentile(np.concatenate(distances), 95))


def medpys(true: np.ndarray, pred: np.ndarray) -> float:
    """Returns medpy's HD95."""
    from medpy.metric import binary

    return float(binary.hd95(pred, true))


def measure(
    function: Callable[[np.ndarray, np.ndarray], float], half_axes: Sequence[int]
) -> Measurement:
    """Calls the function on one pair, after a call on a small one to warm up."""
    pair = make_pair(half_axes)
    function(*(mask[70:80, 250:260, 250:270] for mask in pair))
    before = peak_mib()
    started = time.perf_counter()
    hd95 = function(*pair)
    seconds = time.perf_counter() - started
    after = peak_mib()
    return Measurement(hd95, seconds, after - before)


def measure_organs() -> dict[str, Any]:
    """Measures both programs on every organ, each in a process of its own.

    Returns:
        For each organ `ours` and `medpy`, each a `Measurement` as a dict, and `ratio`:
        how many times as fast ours is.

    Raises:
        ValueError: If the two disagree.
    """
    context = multiprocessing.get_context("spawn")
    results = {}
    for organ, half_axes in ORGANS.items():
        found = {}
        for name, function in (("ours", ours), ("medpy", medpys)):
            with context.Pool(1) as pool:
                found[name] = pool.apply(measure, (function, half_axes))
        mine, theirs = found.values()
        if abs(mine.hd95 - theirs.hd95) > 1e-9:
            raise ValueError(f"{organ}: HD95 must agree to 1e-9. Received: {found}")
        results[organ] = {
            **{name: measured._asdict() for name, measured in found.items()},
            "ratio": theirs.seconds / mine.seconds,
        }
    return results


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    return command_line.ArgumentParser(__doc__).parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Prints a line for each organ and program, and how many times faster ours is."""
    parse_args(argv)
    print(f"{'organ':<13}{'program':<9}{'HD95':>9}{'seconds':>10}{'MiB':>8}")
    for organ, found in measure_organs().items():
        for name in ("ours", "medpy"):
            hd95, seconds, mib = found[name].values()
            print(f"{organ:<13}{name:<9}{hd95:>9.4f}{seconds:>10.2f}{mib:>8.0f}")
        print(f"{organ}: {found['ratio']:.0f} times as fast")


if __name__ == "__main__":
    command_line.run(main)
