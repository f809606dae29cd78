r"""Time to accuracy: validation DSC against CPU seconds, ours beside the peers.

    python -m benchmarks.accuracy --data-dir ACDC --peer-python PYTHON --out accuracy

Ours and SMP's Unet train from ImageNet's weights of EfficientNet-Lite0, by one recipe,
on the same augmented batches; nnU-Net's 2-D configuration by its own, from nothing.
Each in one thread, one after the other. What counts is the CPU time of its process, so
a busy neighbor costs little. It begins with the start of Python; the images are
prepared before. What is in `--out` is not trained again.
"""

from __future__ import annotations

import argparse
import csv
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from synergynet_tf import formats, runs
from synergynet_tf.cli import command_line
from synergynet_tf.config import DataConfig
from synergynet_tf.data import prepared
from synergynet_tf.data.splits import complete
from synergynet_tf.safe_io import read_json

ROOT = pathlib.Path(__file__).parents[1]
OURS = {"synergynet-8s2h": {"hidden_dim": 128, "num_codes": 256}, "r50-unet": {}}
SMP, NNUNET = "smp-unet", "nnunet-2d"
PEERS = {SMP: "benchmarks.accuracy_peer", NNUNET: "benchmarks.accuracy_nnunet"}
CONTESTANTS = (*OURS, *PEERS)
# Okabe and Ito's blue, vermilion, green and purple.
COLORS = dict(
    zip(CONTESTANTS, ("#0072B2", "#D55E00", "#009E73", "#CC79A7"), strict=True)
)
LOWEST_DRAWN = 0.6
GOALS = (0.80, 0.85, 0.88, 0.90)
# As in `studies.campaign`. On ACDC a pixel is that of 160 without a crop.
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "acdc": {"image_size": 128, "center_crop": 0.8},
    "msd": {"image_size": 64},
}
RECIPE = {"recipe": "modern", "backbone": "efficientnetlite0", "precision": "float32"}
THREADS = ("OMP_NUM", "TF_NUM_INTRAOP", "TF_NUM_INTEROP")
POLL_S = 0.25
Point = tuple[float, float]  # CPU seconds, and the validation DSC that was had then.


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__)
    add = parser.add_argument
    add("--dataset", choices=SETTINGS, default="acdc", help="default: %(default)s")
    add("--data-dir", required=True, type=pathlib.Path, help="folder of the raw data")
    add("--peer-python", help="of an environment with benchmarks/requirements.txt")
    add(
        "--contestants",
        choices=CONTESTANTS,
        nargs="+",
        help="default: ours, and the peers with --peer-python",
    )
    add("--epochs", type=int, default=8, help="of each (default: %(default)s)")
    add("--seeds", type=int, nargs="+", default=[0], help="default: 0")
    add("--out", required=True, type=pathlib.Path, help="folder for runs and results")
    args = parser.parse_args(arguments)
    if args.epochs < 1:
        parser.error(f"--epochs must be at least 1. Received: {args.epochs}")
    if args.contestants is None:
        args.contestants = CONTESTANTS if args.peer_python else tuple(OURS)
    for name in args.contestants:
        if name not in OURS and not args.peer_python:
            parser.error(f"{name} needs --peer-python")
    return args


def main(arguments: Sequence[str]) -> None:
    """Trains what is missing; writes accuracy.json and accuracy.png, prints a table."""
    args = parse_args(arguments)
    if sys.platform != "linux":
        raise OSError("benchmarks.accuracy reads /proc, which Linux alone has")
    runs.require_writable(args.out, "--out")
    prepare_images(args)
    curves: dict[str, dict[str, list[Point]]] = {n: {} for n in args.contestants}
    with tempfile.TemporaryDirectory(prefix="synergynet-accuracy-") as scratch:
        for seed in args.seeds:
            for name in args.contestants:
                print(f"{name}, seed {seed} ...", file=sys.stderr)
                curves[name][str(seed)] = curve(args, name, seed, pathlib.Path(scratch))
    results = {
        "dataset": args.dataset,
        "settings": dict(SETTINGS[args.dataset]),
        "epochs": args.epochs,
        "goals": GOALS,
        "curves": curves,
    }
    runs.write_json(args.out / "accuracy.json", results)
    draw(curves, args.out / "accuracy.png")
    print(table(curves))


def curve(
    args: argparse.Namespace, name: str, seed: int, scratch: pathlib.Path
) -> list[Point]:
    """Returns a point an epoch of a contestant, which is trained if it was not yet.

    Args:
        args: Of `parse_args`.
        name: Of `CONTESTANTS`.
        seed: Of the training.
        scratch: Folder of the data that is prepared for the peers.
    """
    folder = args.out / f"{name}-seed{seed}-epochs{args.epochs}"
    kept = folder / "points.json"
    if kept.is_file():
        return [(seconds, dsc) for seconds, dsc in read_json(kept)]
    common = ["--epochs", str(args.epochs), "--seed", str(seed)]
    if name in PEERS:
        arrays, history = scratch / name, folder / "history.csv"
        if not arrays.exists():
            prepare_peer(args, name, arrays)
        command = [args.peer_python, "-m", PEERS[name], "--arrays", str(arrays)]
        command += ["--out", str(folder), *common]
    else:
        history = folder / args.dataset / name / f"seed{seed}" / "history.csv"
        flags = {**RECIPE, **SETTINGS[args.dataset], **OURS[name], "model": name}
        flags |= {"dataset": args.dataset, "data_dir": args.data_dir.resolve()}
        command = [sys.executable, str(ROOT / "train.py"), "--force", *common]
        for flag, value in {**flags, "runs": folder}.items():
            command += [f"--{flag.replace('_', '-')}", str(value)]
    points = watch(command, history)
    runs.write_json(kept, points)
    return points


def prepare_images(
    args: argparse.Namespace, folder: pathlib.Path | None = None
) -> None:
    """Prepares the images of ours, and writes them to a folder for SMP's Unet."""
    settings = SETTINGS[args.dataset]
    data = complete(
        DataConfig(
            dataset=args.dataset,
            data_dir=str(args.data_dir),
            center_crop=settings.get("center_crop", 1.0),
        )
    )
    found = prepared.prepare(data, settings["image_size"])
    if folder:
        prepared.save(found, data, settings["image_size"], folder)


def prepare_peer(args: argparse.Namespace, name: str, folder: pathlib.Path) -> None:
    """Prepares the data of a peer, which is not timed."""
    if name == SMP:
        prepare_images(args, folder)
        return
    raw = str(args.data_dir.resolve())
    command = [args.peer_python, "-m", PEERS[name], "--arrays", str(folder)]
    command += ["--prepare", raw, "--dataset", args.dataset]
    watch(command, folder / "history.csv")


def watch(command: Sequence[str], history: pathlib.Path) -> list[Point]:
    """Runs a training, and notes its CPU seconds whenever `history` has a new row.

    Raises:
        RuntimeError: If it fails; its last line of output is the reason.
    """
    history.unlink(missing_ok=True)
    environment = {**os.environ, **{f"{name}_THREADS": "1" for name in THREADS}}
    environment |= {"PYTHONPATH": str(ROOT)}
    points: list[Point] = []
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            running = True
            while running:
                time.sleep(POLL_S)
                # Before `poll`, which takes the times of a process that has ended.
                seconds = _cpu_seconds(process.pid)
                running = process.poll() is None
                points += [(seconds, dsc) for dsc in _scores(history)[len(points) :]]
        finally:
            process.kill()
            process.wait()
        output.seek(0)
        said = output.read().split("\n")
    if process.returncode:
        why = next((line for line in reversed(said) if line), "no reason given")
        raise RuntimeError(f"{command[1]} ended with {process.returncode}: {why}")
    return points


def _cpu_seconds(pid: int) -> float:
    """Returns the CPU time of a process, of all its threads."""
    text = pathlib.Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace")
    user, system = text.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _scores(history: pathlib.Path) -> list[float]:
    """Returns the validation DSC of the epochs that are in a history."""
    if not history.is_file():
        return []
    with history.open(encoding="utf-8", newline="") as file:
        return [float(row["val_dsc"]) for row in csv.DictReader(file)]


def seconds_to(goal: float, points: Sequence[Point]) -> float | None:
    """Returns the CPU seconds after which a DSC was first had; `None` if never."""
    return next((seconds for seconds, dsc in points if dsc >= goal), None)


def table(curves: Mapping[str, Mapping[str, Sequence[Point]]]) -> str:
    """Returns a Markdown table: minutes of a core to each goal, best DSC, all minutes.

    A contestant has one row; its seeds are apart by slashes, in the order trained.
    """
    rows = [["validation DSC", *(f"{goal:.2f}" for goal in GOALS), "best", "minutes"]]
    for name, seeds in curves.items():
        columns = [_row(points) for points in seeds.values()]
        rows.append(
            [name, *(" / ".join(cells) for cells in zip(*columns, strict=True))]
        )
    return formats.markdown(rows)


def _row(points: Sequence[Point]) -> list[str]:
    times = [seconds_to(goal, points) for goal in GOALS]
    minutes = [None if t is None else t / 60 for t in times]
    best = max(dsc for _, dsc in points)
    cells = [formats.number(value, ".1f") for value in minutes]
    return [*cells, formats.number(best), f"{points[-1][0] / 60:.1f}"]


def draw(
    curves: Mapping[str, Mapping[str, Sequence[Point]]], path: pathlib.Path
) -> None:
    """Draws validation DSC against minutes of a core."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name, seeds in curves.items():
        for number, points in enumerate(seeds.values()):
            minutes = [seconds / 60 for seconds, _ in points]
            label = name if number == 0 else None
            scores = [dsc for _, dsc in points]
            axes.plot(
                minutes,
                scores,
                color=COLORS[name],
                marker="o",
                markersize=4,
                label=label,
            )
    # One peer takes ten times as long, and begins far below.
    axes.set(xlabel="CPU minutes of one core", ylabel="validation DSC", xscale="log")
    axes.set_ylim(bottom=LOWEST_DRAWN)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower left")
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    command_line.run(main)
