"""Feeds mutated files to every reader: `python -m benchmarks.hostile --files 2000`.

A reader may accept a file, if what it takes is finite and of the declared shape, or
refuse it in one line that names it. It fails if it does anything else, takes over 10
seconds of the CPU or 2 GiB of memory, or ends the process. The same seed makes the same
files.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence

import tqdm

from benchmarks.hostile import workers
from benchmarks.hostile.jobs import Job, mutate, read
from benchmarks.hostile.readers import READERS
from synergynet_tf.cli import command_line

KINDS = ("accepted", "refused", "failed")


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__)
    add = parser.add_argument
    add("--files", type=int, default=2000, help="how many (default: %(default)s)")
    add("--seed", type=int, default=0, help="of the mutations (default: 0)")
    add("--readers", nargs="+", metavar="WORD", help="those with a word in their name")
    add("--data", type=pathlib.Path, help="real data, in folders isic2017, acdc, ...")
    add("--keep", type=pathlib.Path, help="folder for the files that a reader fails on")
    cores = os.cpu_count() or 1
    add("--workers", type=int, default=cores, help="processes (default: one a core)")
    args = parser.parse_args(arguments)
    if args.files < 1 or args.workers < 1:
        parser.error("--files and --workers must be at least 1")
    return args


def make_jobs(
    args: argparse.Namespace, names: Sequence[str], space: pathlib.Path
) -> Iterator[Job]:
    """Yields the jobs, reader by reader: each takes seconds to import what it needs."""
    shares = [name for name in names for _ in range(1 if READERS[name].slow else 4)]
    for number in range(args.files):
        name = shares[number * len(shares) // args.files]
        yield Job(args.seed, number, name, space, args.data)


def main(arguments: Sequence[str]) -> None:
    """Prints a table; exits with 1 if a reader failed."""
    args = parse_args(arguments)
    words = args.readers or [""]
    names = [name for name in READERS if any(word in name for word in words)]
    if not names:
        raise ValueError(f"--readers: none of {', '.join(READERS)} has such a word")
    counts = {name: Counter[str]() for name in names}
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        jobs = make_jobs(args, names, pathlib.Path(folder))
        results = workers.run(jobs, mutate, read, min(args.workers, args.files))
        for job, verdict in tqdm.tqdm(results, total=args.files, unit="file"):
            counts[job.reader][verdict.kind] += 1
            if verdict.kind == "failed":
                tqdm.tqdm.write(f"{job.number} {job.reader}: {verdict.text}")
                if args.keep:
                    workers.keep(job.folder, args.keep / job.folder.name)
            workers.remove(job.folder)
    print(format_table(counts))
    if any(count["failed"] for count in counts.values()):
        sys.exit(1)


def format_table(counts: dict[str, Counter[str]]) -> str:
    """Lays the counts out as text, a line for each reader and one for all."""
    rows = [*counts.items(), ("all", sum(counts.values(), Counter[str]()))]
    lines = [f"{'reader':<28}{''.join(f'{kind:>10}' for kind in KINDS)}"]
    for name, count in rows:
        lines.append(f"{name:<28}{''.join(f'{count[kind]:>10}' for kind in KINDS)}")
    return "\n".join(lines)


if __name__ == "__main__":
    command_line.run(main)
