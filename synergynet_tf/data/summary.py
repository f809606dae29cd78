"""What is in a dataset: cases, sizes, spacings, classes and intensities."""

from __future__ import annotations

import dataclasses

import numpy as np
import tqdm

from synergynet_tf.config import DataConfig
from synergynet_tf.data import DATASETS
from synergynet_tf.data.splits import complete, data_root, split_ids


@dataclasses.dataclass(frozen=True)
class Summary:
    """A dataset in numbers.

    Attributes:
        data: Its settings, complete.
        cases: Number of cases of each part.
        patients: Number of patients of each part.
        ranges: For each measure, its value in each case that could be read.
        shares: For each class, its share of each case's voxels.
        unreadable: Why each of the other cases could not be read.
    """

    data: DataConfig
    cases: dict[str, int]
    patients: dict[str, int]
    ranges: dict[str, list[float]]
    shares: dict[str, list[float]]
    unreadable: list[str]


def summarize(data: DataConfig) -> Summary:
    """Reads every case of a dataset.

    Raises:
        FileNotFoundError: If the data is not there.
        ValueError: If its cases cannot be listed, or not be split as asked.
    """
    data = complete(data)
    dataset, root = DATASETS[data.dataset], data_root(data)
    parts, owners = split_ids(data), dataset.patients(root)
    names = dataset.class_names(root)
    ranges: dict[str, list[float]] = {}
    shares: dict[str, list[float]] = {name: [] for name in names}
    unreadable = []
    everything = [case_id for ids in parts.values() for case_id in ids]
    for case_id in tqdm.tqdm(everything, "read", unit="case", disable=None):
        try:
            case = dataset.read_case(root, case_id)
        except (OSError, ValueError) as error:
            unreadable.append(f"{case_id}: {error}")
            continue
        measures = (
            *zip(
                ("slices", "rows", "columns", "channels"), case.image.shape, strict=True
            ),
            *zip(("slice mm", "row mm", "column mm"), case.spacing_mm, strict=True),
            ("lowest", case.image.min()),
            ("median", np.median(case.image)),
            ("highest", case.image.max()),
        )
        for name, value in measures:
            ranges.setdefault(name, []).append(float(value))
        counts = np.bincount(case.label.ravel(), minlength=len(names) + 1)
        for name, count in zip(names, counts[1:], strict=True):
            shares[name].append(float(count) / case.label.size)
    return Summary(
        data=data,
        cases={part: len(ids) for part, ids in parts.items()},
        patients={p: len({owners[i] for i in ids}) for p, ids in parts.items()},
        ranges=ranges,
        shares=shares,
        unreadable=unreadable,
    )


def format_summary(summary: Summary) -> str:
    """Lays a summary out as text; of each measure min, median and max."""
    data, cases, patients = summary.data, summary.cases, summary.patients
    split = f"{data.split} split" + (f", fold {data.fold}" if data.fold else "")
    lines = [
        f"{data.dataset} at {data.data_dir}: {split}, modality {data.modality}",
        "",
    ]
    lines.append(_row("", "cases", "patients"))
    lines += [_row(part, f"{cases[part]}", f"{patients[part]}") for part in cases]
    lines += ["", _row("of each case", "min", "median", "max")]
    for name, values in summary.ranges.items():
        numbers = (min(values), float(np.median(values)), max(values))
        lines.append(_row(name, *(f"{number:.6g}" for number in numbers)))
    lines += ["", _row("class", "% of voxels", "cases with it")]
    for name, values in summary.shares.items():
        share = 100 * float(np.mean(values)) if values else 0.0
        count = sum(value > 0 for value in values)
        lines.append(_row(name, f"{share:.3f}", f"{count} of {len(values)}"))
    if summary.unreadable:
        lines += ["", f"{len(summary.unreadable)} cases cannot be read:"]
        lines += summary.unreadable
    return "\n".join(lines)


def _row(name: str, *cells: str) -> str:
    return "".join([f"{name:<16}", *(f"{cell:>15}" for cell in cells)]).rstrip()
