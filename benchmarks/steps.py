"""Time of training steps and predictions, ours and the peer's, and of one GEMM.

A group is a mode, a precision and a batch: its contestants are alive together and take
turns. What they reach is compared with the rate of one large matrix product, the best
of both frameworks at several sizes, which nothing made of products can beat.
"""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.rounds import Spread, interleave, ratio
from benchmarks.worker import Worker, WorkerError

# A method, on another encoder than its default where one is named.
LITE0 = "synergynet-8s2h on efficientnetlite0"
ROLES = ("r50-unet", "transunet", "synergynet-8s2h", LITE0)
PEER = "SMP Unet-R50"
COMPILED = "compiled"
PRECISIONS = ("float32", "bfloat16")
BATCHES = {"train": (8,), "infer": (1, 8)}
GEMM_SIZES = (1024, 2048, 4096)
# A training step's arithmetic: forward, and the gradients of features and weights.
FORWARDS = {"train": 3, "infer": 1}


@dataclasses.dataclass(frozen=True)
class Options:
    """How to measure.

    Attributes:
        peer_python: Of the peers' environment; `None` measures ours alone.
        compile_peer: Whether the peer is also tried with `torch.compile`.
        rounds: Turns of each contestant.
        image_size: Height and width, in pixels.
        modes: Keys of `BATCHES`, those to measure.
        precisions: Of `PRECISIONS`, the same.
    """

    peer_python: str | None
    compile_peer: bool
    rounds: int
    image_size: int
    modes: Sequence[str] = tuple(BATCHES)
    precisions: Sequence[str] = PRECISIONS


def ours(spec: dict[str, Any]) -> Worker:
    """Starts a worker of ours."""
    return Worker([sys.executable, "-m", "benchmarks.ours"], spec)


def peers(python: str, spec: dict[str, Any]) -> Worker:
    """Starts a worker of the peer."""
    return Worker([python, "-m", "benchmarks.peers"], spec)


def peer_settings(mode: str, precision: str, compile_peer: bool) -> list[str]:
    """Returns how the peer is run in a group; the fastest is the one to beat."""
    settings = ["eager"]
    if (mode, precision) == ("infer", "bfloat16"):
        settings.append("weights")
    return settings + [COMPILED] * compile_peer


def measure_gemm(options: Options) -> dict[str, Any]:
    """Measures matrix products, size by size.

    Returns:
        `rates`: GFLOP/s by precision, program and size. `best`: by precision.
    """
    spec = {"mode": "gemm", "sizes": GEMM_SIZES, "precisions": PRECISIONS}
    rates: dict[str, dict[str, dict[str, float]]] = {}
    with contextlib.ExitStack() as stack:
        workers = {"ours": stack.enter_context(ours(spec))}
        if options.peer_python:
            workers[PEER] = stack.enter_context(peers(options.peer_python, spec))
        for worker in workers.values():
            worker.facts()
        for precision in PRECISIONS:
            programs: dict[str, dict[str, float]] = {name: {} for name in workers}
            for size in GEMM_SIZES:
                seconds = interleave(workers, f"{precision} {size}", options.rounds)
                for name, values in seconds.items():
                    rate = 2 * size**3 / statistics.median(values) / 1e9
                    programs[name][str(size)] = rate
            rates[precision] = programs
    best = {
        precision: max(max(sizes.values()) for sizes in programs.values())
        for precision, programs in rates.items()
    }
    return {"rates": rates, "best": best}


def measure_steps(options: Options) -> dict[str, Any]:
    """Measures every group.

    Returns:
        `operations`: of one image, by contestant. `rows`: one for each contestant of
        each group. `failed`: what could not be run, and why.
    """
    operations, versions = _operations(options)
    results: dict[str, Any] = {
        "operations": operations,
        "peer_versions": versions,
        "rows": [],
        "failed": [],
    }
    for mode in options.modes:
        for precision in options.precisions:
            with contextlib.ExitStack() as stack:
                workers = {
                    name: stack.enter_context(worker)
                    for name, worker in _contestants(mode, precision, options)
                }
                results["failed"] += _drop_what_does_not_compile(workers)
                for batch in BATCHES[mode]:
                    print(f"{mode} {precision} batch {batch} ...", file=sys.stderr)
                    group = {"mode": mode, "precision": precision, "batch": batch}
                    seconds = interleave(workers, f"batch {batch}", options.rounds)
                    peaks = {name: w.peak_mib for name, w in workers.items()}
                    results["rows"] += rows(group, seconds, peaks)
    return results


def rows(
    group: dict[str, Any],
    seconds: dict[str, list[float]],
    peaks: dict[str, float],
) -> list[dict[str, Any]]:
    """Summarizes a group against the fastest of the peer's settings.

    Args:
        group: What all rows have in common.
        seconds: A number a round for each contestant.
        peaks: The largest memory of each, in MiB.

    Returns:
        A row for each contestant; `ratio` is `None` where no peer was measured.
    """
    theirs = {n: statistics.median(v) for n, v in seconds.items() if is_peer(n)}
    best = min(theirs, key=lambda name: theirs[name]) if theirs else None
    return [
        {
            **group,
            "contestant": name,
            "seconds": dataclasses.asdict(Spread.of(values)),
            "rounds": values,
            "ratio": dataclasses.asdict(ratio(values, seconds[best])) if best else None,
            "is_reference": name == best,
            "peak_mib": peaks[name],
        }
        for name, values in seconds.items()
    ]


def is_peer(name: str) -> bool:
    """Tells the peer, whatever its setting, from ours."""
    return name.split(", ")[0] == PEER


def _contestants(
    mode: str, precision: str, options: Options
) -> Iterator[tuple[str, Worker]]:
    spec: dict[str, Any] = {
        "mode": mode,
        "precision": precision,
        "batches": BATCHES[mode],
        "image_size": options.image_size,
    }
    for role in ROLES:
        yield role, ours({**spec, "role": role})
    if options.peer_python:
        for setting in peer_settings(mode, precision, options.compile_peer):
            worker = peers(options.peer_python, {**spec, "setting": setting})
            yield f"{PEER}, {setting}", worker


def _drop_what_does_not_compile(workers: dict[str, Worker]) -> list[str]:
    """Waits until all are built, and removes the peer where its compiler failed.

    Returns:
        What was removed, and why.
    """
    failed = []
    for name in list(workers):
        try:
            workers[name].facts()
        except WorkerError as error:
            if not name.endswith(COMPILED):
                raise
            del workers[name]
            failed.append(f"{name}: {error}")
            print(f"left out: {failed[-1]}", file=sys.stderr)
    return failed


def _operations(options: Options) -> tuple[dict[str, int], dict[str, str]]:
    """Counts the operations of an image, and asks for the peer's versions."""

    def spec(roles: Sequence[str]) -> dict[str, Any]:
        return {
            "mode": "operations",
            "roles": roles,
            "image_size": options.image_size,
        }

    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(ours(spec(ROLES)))]
        if options.peer_python:
            worker = peers(options.peer_python, spec([PEER]))
            workers.append(stack.enter_context(worker))
        found = [worker.facts() for worker in workers]
    counted = {name: n for facts in found for name, n in facts["operations"].items()}
    return counted, found[-1].get("versions", {})
