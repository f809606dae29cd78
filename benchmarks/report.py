"""Report of the results in Markdown, and its place in a page of the documentation."""

from __future__ import annotations

import importlib.metadata
import itertools
import os
import pathlib
import platform
from typing import Any

from benchmarks import steps, targets
from benchmarks.targets import Results
from synergynet_tf import environment, formats, runs

BEGIN = "<!-- measured: written by `python -m benchmarks --write`; do not edit -->"
END = "<!-- end of what was measured -->"
PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "ai-edge-litert", "medpy")
# What makes 16-bit or 8-bit products fast.
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")


def describe_machine() -> dict[str, Any]:
    """Returns the CPU, the cores that may be used, versions and the commit."""
    has = environment.cpu_flags()
    return {
        "cpu": environment.cpu_info().get(
            "model name", platform.processor() or platform.machine()
        ),
        "flags": [flag for flag in FLAGS if flag in has],
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "commit": environment.commit(),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def render(results: Results) -> str:
    """Returns the report: the machine, the targets, and a table for each part.

    What was not run has no table, and a dash among the targets.
    """
    parts = [_machine(results), _targets(results)]
    if "gemm" in results:
        parts.append(_gemm(results["gemm"]))
    if "steps" in results:
        parts += _steps(results)
    for name, table in (
        ("exports", _exports),
        ("startup", _startup),
        ("pipeline", _pipeline),
        ("surface", _surface),
    ):
        if name in results:
            parts.append(table(results[name]))
    return "\n\n".join(parts) + "\n"


def replace(page: str | pathlib.Path, text: str) -> None:
    """Puts a report between the marks of a page, in place of what is there.

    Raises:
        ValueError: If the page has no such marks.
    """
    path = pathlib.Path(page)
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} must hold the lines {BEGIN} and {END}")
    runs.write_text(path, f"{before}{BEGIN}\n\n{text}\n{END}{after}")


def _number(value: float | None, digits: int = 2) -> str:
    return formats.number(value, f",.{digits}f")


def _percent(value: float | None) -> str:
    return formats.number(value, ".0%")


def _spread(spread: dict[str, float] | None) -> str:
    if spread is None:
        return formats.DASH
    return f"{spread['median']:.2f} ({spread['low']:.2f} to {spread['high']:.2f})"


def _machine(results: Results) -> str:
    machine, settings = results["machine"], results["settings"]
    versions = {
        "Python": machine["python"],
        **machine["versions"],
        **results.get("steps", {}).get("peer_versions", {}),
    }
    flags = ", ".join(machine["flags"]) or "no vector units that are known"
    cores = f"{machine['cores']} core" + ("s" if machine["cores"] != 1 else "")
    lines = [
        f"{machine['cpu']}, {cores} ({flags}), {machine['system']}.",
        ", ".join(f"{name} {v}" for name, v in versions.items() if v) + ".",
        f"Commit {machine['commit'] or 'unknown'}; {settings['image_size']} pixels, "
        f"{settings['rounds']} rounds, {results['minutes']:.0f} minutes.",
    ]
    if not settings["peers"]:
        lines.append(f"**Without {steps.PEER}**: no Python of its environment given.")
    return "\n".join(lines)


def _targets(results: Results) -> str:
    rows = []
    for verdict in targets.judge(results):
        target = verdict.target
        sign = "at least" if target.at_least else "at most"
        value = _number(verdict.value) + (target.unit if verdict.value else "")
        met = {None: "not measured", True: "met", False: "**missed**"}[verdict.met]
        bound = f"{sign} {target.bound:.3g}{target.unit}"
        rows.append((target.name, bound, value, met))
    return "### Targets\n\n" + formats.markdown(
        [("target", "bound", "measured", ""), *rows]
    )


def _gemm(gemm: dict[str, Any]) -> str:
    header = ("GFLOP/s", *(f"{size} x {size}" for size in steps.GEMM_SIZES))
    rows = [
        (f"{precision}, {name}", *(_number(rate, 0) for rate in sizes.values()))
        for precision, programs in gemm["rates"].items()
        for name, sizes in programs.items()
    ]
    return "### One matrix product\n\n" + formats.markdown([header, *rows])


def _steps(results: Results) -> list[str]:
    sections = []
    header = (
        "",
        "ms",
        f"time in {steps.PEER}'s",
        "GFLOP/s",
        "share of GEMM",
        "peak MiB",
    )

    def group(row: dict[str, Any]) -> tuple[str, str, int]:
        return row["mode"], row["precision"], row["batch"]

    titles = {"train": "Training step", "infer": "Prediction"}
    for (mode, precision, batch), rows in itertools.groupby(
        results["steps"]["rows"], group
    ):
        lines = [
            (
                row["contestant"],
                _number(1000 * row["seconds"]["median"], 0),
                "1" if row["is_reference"] else _spread(row["ratio"]),
                _number(targets.gflops(results, row), 0),
                _percent(targets.gemm_share(results, row)),
                _number(row["peak_mib"], 0),
            )
            for row in rows
        ]
        title = f"### {titles[mode]}, {precision}, batch {batch}"
        sections.append(f"{title}\n\n{formats.markdown([header, *lines])}")
    sections += [f"Left out: {reason}." for reason in results["steps"]["failed"]]
    counted = results["steps"]["operations"].items()
    sections.append(
        formats.markdown(
            [
                ("one image", "GFLOP"),
                *((name, _number(operations / 1e9, 1)) for name, operations in counted),
            ]
        )
    )
    return sections


def _exports(exports: dict[str, Any]) -> str:
    rows = [
        (
            name,
            _number(1000 * row["seconds"]["median"], 0),
            "1" if name == "Keras" else _spread(row["ratio"]),
            _number(row["megabytes"], 0),
            _number(row["peak_mib"], 0),
        )
        for name, row in exports["rows"].items()
    ]
    header = ("", "ms", "time in Keras'", "MB", "peak MiB")
    title = f"### Exports of {exports['model']}, batch 1"
    return f"{title}\n\n{formats.markdown([header, *rows])}"


def _startup(startup: dict[str, Any]) -> str:
    rows = [(f"`{name}`", _number(s)) for name, s in startup["commands"].items()]
    first = "second start on a prepared store, to the first training step"
    rows.append((first, _number(startup["first_step"], 1)))
    return "### Start-up\n\n" + formats.markdown([("command", "seconds"), *rows])


def _pipeline(pipeline: dict[str, Any]) -> str:
    rows = [(name, _number(rate, 1)) for name, rate in pipeline["rates"].items()]
    return "### Data\n\n" + formats.markdown([("batches of 8", "images/s"), *rows])


def _surface(surface: dict[str, Any]) -> str:
    rows = [
        (
            organ,
            _number(row["ours"]["seconds"]),
            _number(row["medpy"]["seconds"]),
            _number(row["ratio"], 0),
            _number(row["ours"]["mib"], 0),
            _number(row["medpy"]["mib"], 0),
        )
        for organ, row in surface.items()
    ]
    header = ("HD95", "s", "medpy's s", "times as fast", "MiB", "medpy's MiB")
    return "### Surface distances\n\n" + formats.markdown([header, *rows])
