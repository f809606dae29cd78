"""Coverage of the bootstrap intervals: `python -m studies.coverage`.

Draws many data sets of few patients from a distribution with a known mean, takes the
95 % intervals of each with the functions that score runs, and counts how many hold the
true mean. Prints the tables of docs/intervals.md.

A patient's mean DSC is drawn from Beta(5, 1), whose mean is 5/6 and whose tail reaches
to low scores. The DSC of the patient's two cases are drawn from Beta(20 m, 20 (1 - m)),
whose mean is that `m`. With misses, a tenth of all cases then has DSC 0, as a missed
structure has under `strict`. Of several seeds each adds a shift of its own to all
cases, drawn from a normal distribution with a standard deviation of 0.03, and each case
a shift of 0.03 of its own under each seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

import numpy as np

from synergynet_tf.cli import command_line
from synergynet_tf.formats import percent
from synergynet_tf.metrics import bootstrap

CASES = 2
MEAN = 5 / 6
PRECISION = 20
MISSED = 0.1
SEED_SD = 0.03
METHODS = ("percentile", "BCa", "Student's t")
SOURCES = ("patients", "patients and seeds")


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__.splitlines()[0] if __doc__ else None)
    add = parser.add_argument
    add("--patients", type=int, nargs="+", default=[5, 10, 20, 50])
    add("--seeds", type=int, nargs="+", default=[2, 3, 5], help="seeds of a method")
    add(
        "--patients-of-seeds",
        type=int,
        nargs="+",
        default=[50],
        help="whose scores several seeds have (default: 50)",
    )
    add("--simulations", type=int, default=5000, help="of each row (default: 5000)")
    add("--seed", type=int, default=0, help="of the simulation (default: 0)")
    return parser.parse_args(argv)


def owners(num_patients: int) -> list[str]:
    """Returns the patient of each case."""
    return [str(case // CASES) for case in range(num_patients * CASES)]


def draw_scores(
    generator: np.random.Generator, num_patients: int, missed: float = 0.0
) -> np.ndarray:
    """Draws the DSC of a data set, float64 `(cases,)`; its mean is the true one's.

    Args:
        generator: To draw from.
        num_patients: Each of whom has `CASES` cases, one after another.
        missed: Share of cases with DSC 0. The true mean is `MEAN * (1 - missed)`.
    """
    means = np.repeat(generator.beta(5, 1, size=num_patients), CASES)
    scores = generator.beta(PRECISION * means, PRECISION * (1 - means))
    return np.where(generator.random(scores.size) < missed, 0.0, scores)


def cover(
    generator: np.random.Generator, num_patients: int, missed: float, simulations: int
) -> tuple[float, ...]:
    """Returns the share of each of `METHODS`' intervals that hold the true mean."""
    from scipy import stats

    patients = owners(num_patients)
    draws = bootstrap.draw_patients(patients)
    left_out = bootstrap.leave_one_out(patients)
    t = stats.t.ppf((1 + bootstrap.LEVEL) / 2, num_patients - 1)
    held = []
    for _ in range(simulations):
        scores = draw_scores(generator, num_patients, missed)
        mean, values = float(scores.mean()), scores.tolist()
        resamples = bootstrap.resample_means(values, draws)
        jackknifed = bootstrap.resample_means(values, left_out).means
        of_patients = scores.reshape(num_patients, CASES).mean(axis=1)
        half = t * float(of_patients.std(ddof=1)) / num_patients**0.5
        ends = (
            bootstrap.interval(resamples),
            bootstrap.bca_interval(resamples, mean, jackknifed),
            (mean - half, mean + half),
        )
        held.append([low <= MEAN * (1 - missed) <= high for low, high in ends])
    return tuple(np.mean(held, axis=0).tolist())


def cover_seeds(
    generator: np.random.Generator,
    num_seeds: int,
    simulations: int,
    num_patients: int = 50,
) -> tuple[float, ...]:
    """Returns the share of intervals that hold the true mean, by `SOURCES`.

    Each is a percentile interval of the mean over the seeds.
    """
    draws = bootstrap.draw_patients(owners(num_patients))
    held = []
    for _ in range(simulations):
        scores = draw_scores(generator, num_patients)
        shifts = generator.normal(scale=SEED_SD, size=(num_seeds, 1))
        shifts = shifts + generator.normal(scale=SEED_SD, size=(num_seeds, scores.size))
        of_seeds = [
            bootstrap.resample_means(values.tolist(), draws)
            for values in scores + shifts
        ]
        means = (scores + shifts).mean(axis=1).tolist()
        every_seed_once = np.ones((1, num_seeds))
        ends = (
            bootstrap.interval(bootstrap.resample_seeds(of_seeds, every_seed_once)),
            bootstrap.summarize_seeds(means, of_seeds).interval,
        )
        held.append([low <= MEAN <= high for low, high in ends])
    return tuple(np.mean(held, axis=0).tolist())


def as_table(head: Sequence[str], rows: Mapping[str, Sequence[float]]) -> str:
    """Formats shares in percent as a Markdown table."""
    lines = [f"| {' | '.join(head)} |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for name, shares in rows.items():
        cells = " | ".join(percent(share, 1) for share in shares)
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the tables."""
    args = parse_args(argv)
    generator = np.random.default_rng(args.seed)
    for title, missed in (("no misses", 0.0), ("a tenth missed", MISSED)):
        rows = {
            str(count): cover(generator, count, missed, args.simulations)
            for count in args.patients
        }
        print(as_table((f"patients, {title}", *METHODS), rows))
    for patients in args.patients_of_seeds:
        rows = {
            str(count): cover_seeds(generator, count, args.simulations, patients)
            for count in args.seeds
        }
        print(as_table((f"seeds, {patients} patients", *SOURCES), rows))


if __name__ == "__main__":
    command_line.run(main)
