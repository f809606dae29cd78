"""Looks into the codes of a run, and writes what is found: `codes.json` and figures.

`codes.json` holds

    dataset, data_dir, model, split, num_cases, num_slices, num_codes, image_size,
    grid, stride, class_names               what was looked at
    used, perplexity, agreement, codes      `code_meaning.describe_codes`
    disconx, refinement                     `code_attention.AttentionSummary.results`
    counterfactuals                         `code_edits.describe_edits`
    ablations, alone                        `code_ablations.describe_parts`
    figures             of each its `file`, and its `kind`: `map`, `attention`, `edit`
                        (with `case_id`, and `slice` from 1) or `sheet`

Rows and columns of the grid count from 0. Undefined numbers are `null`.
"""

from __future__ import annotations

import argparse
import math
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from synergynet_tf import runs
from synergynet_tf.evaluation.cases import RunCases
from synergynet_tf.evaluation.codes import plots
from synergynet_tf.evaluation.codes.ablations import describe_parts
from synergynet_tf.evaluation.codes.agreement import class_pixels, describe_codes
from synergynet_tf.evaluation.codes.attention import AttentionSummary
from synergynet_tf.evaluation.codes.cases import (
    CodedCase,
    code_case,
    count_pairs,
    foreground_dice,
    read_inputs,
)
from synergynet_tf.evaluation.codes.interventions import (
    Edit,
    describe_edits,
    edited_slices,
)
from synergynet_tf.evaluation.codes.model import CodeModel
from synergynet_tf.evaluation.figures.overlays import write_png
from synergynet_tf.evaluation.predictor import load_run_model
from synergynet_tf.evaluation.scores import rank, without_nan

FILE = "codes.json"
SHEET_ROWS = 16


def report_codes(args: argparse.Namespace, cases: RunCases) -> dict[str, Any]:
    """Writes the figures and, last, `codes.json`.

    Args:
        args: What `code_maps.parse_args` returns.
        cases: Of the run.

    Returns:
        What `codes.json` holds.

    Raises:
        ValueError: If a case does not fit the run, or has not the `--slice`.
    """
    config, names = cases.config.model, cases.class_names
    for case_id in args.cases or ():
        label = cases.dataset.read_case(cases.root, case_id).label
        _check_slice(case_id, len(label), args.slice)
    model, attention = CodeModel(load_run_model(cases.run)), AttentionSummary()
    coded = {}
    inputs = read_inputs(cases, cases.case_ids)
    progress = {"total": len(cases.case_ids), "unit": "case", "disable": None}
    for case_id, images, labels in tqdm(inputs, "code", **progress):
        patient = cases.patients[case_id]
        coded[case_id] = code_case(
            model, case_id, patient, images, labels, attention.add
        )
    drawn = [
        (case_id, _drawn_slice(coded[case_id], args.slice), place)
        for case_id, place in _places(args.cases, coded, len(names) + 1).items()
    ]
    found = describe_codes(list(coded.values()), config.num_codes, names)
    edits = [Edit(entry["code"]) for entry in found["codes"][: args.codes]]
    edits += [Edit.swap(*pair) for pair in args.swap]

    def read_again(why: str) -> Iterator[tuple[CodedCase, np.ndarray]]:
        again = read_inputs(cases, tqdm(coded, why, **progress))
        return ((coded[case_id], images) for case_id, images, _ in again)

    effects = describe_edits(model, read_again("edit"), edits, len(names) + 1)
    parts = describe_parts(model, read_again("ablate"), len(names) + 1)

    figures = Figures(pathlib.Path(args.out), cases, model, coded)
    figures.draw_sheet(found["codes"][: min(args.codes, SHEET_ROWS)])
    for place in drawn:
        figures.draw_slice(*place, found["codes"], args.query)
    for entry in [*effects["switched_off"][:1], *effects["swapped"]]:
        figures.draw_edit(entry)

    grid = next(iter(coded.values())).codes.shape[1:]
    report = without_nan(
        {
            "dataset": cases.config.data.dataset,
            "data_dir": str(cases.root.resolve()),
            "model": config.name,
            "split": cases.part,
            "num_cases": len(coded),
            "num_slices": sum(len(case.codes) for case in coded.values()),
            "num_codes": config.num_codes,
            "image_size": config.image_size,
            "grid": list(grid),
            "stride": config.image_size // grid[0],
            "class_names": list(names),
            **found,
            **attention.results(),
            "counterfactuals": effects,
            **parts,
            "figures": figures.written,
        }
    )
    runs.write_json(pathlib.Path(args.out, FILE), report)
    return report


class Figures:
    """The figures of a report, and the list of what was written."""

    def __init__(
        self,
        folder: pathlib.Path,
        cases: RunCases,
        model: CodeModel,
        coded: dict[str, CodedCase],
    ) -> None:
        self.written: list[dict[str, Any]] = []
        self._folder, self._cases, self._model = folder, cases, model
        self._coded = coded

    def draw_sheet(self, entries: Sequence[dict[str, Any]]) -> None:
        """Draws typical patches of codes."""
        picture = plots.draw_sheet(self._coded.values(), entries)
        self._write("typical_patches", picture, kind="sheet")

    def draw_slice(
        self,
        case_id: str,
        index: int,
        place: str,
        entries: Sequence[dict[str, Any]],
        query: Sequence[int] | None,
    ) -> None:
        """Draws the codes of a slice, and its attention, if the method has any."""
        case = self._coded[case_id]
        where = {"case_id": case_id, "slice": index + 1}
        caption = f"{place}{case_id}, slice {index + 1} of {len(case.codes)}"
        picture = plots.draw_map(case, index, entries, caption)
        self._write("map", picture, kind="map", **where)
        ((_, images, _),) = read_inputs(self._cases, [case_id])
        look = self._model.look(images[index : index + 1])
        if look.attention is None and look.picks is None:
            return
        attention, picks = (
            None if array is None else array[0]
            for array in (look.attention, look.picks)
        )
        row, column = query or _busiest_position(case, index)
        picture = plots.draw_attention(
            case, index, (row, column), attention, picks, caption
        )
        self._write("attention", picture, kind="attention", **where)

    def draw_edit(self, entry: dict[str, Any]) -> None:
        """Draws the slice that an edit changed most, if it changed any."""
        case_id, edit = entry["case_id"], Edit(entry["code"], entry["swapped_with"])
        if case_id is None:
            return
        case, index = self._coded[case_id], entry["slice"] - 1
        ((_, images, _),) = read_inputs(self._cases, [case_id])
        decoded = edited_slices(self._model, case, images, [edit])
        labels = next(labels for _, number, labels in decoded if number == index)
        what = f"code {edit.code} "
        what += "off" if edit.other is None else f"and {edit.other} swapped"
        caption = f"{what}: {case_id}, slice {index + 1} of {len(case.codes)}"
        picture = plots.draw_edit(
            case,
            index,
            edit.held(case.codes[index]),
            labels,
            plots.code_color(edit.code),
            caption,
        )
        where = {"case_id": case_id, "slice": index + 1}
        self._write(what.replace(" ", "_"), picture, kind="edit", **where)

    def _write(self, name: str, picture: np.ndarray, **entry: Any) -> None:
        if "case_id" in entry:
            name += f"_{entry['case_id']}_{entry['slice']}"
        file = re.sub(r"[^\w.-]", "-", name) + ".png"
        write_png(self._folder / file, picture)
        self.written.append({"file": file, **entry})


def _places(
    chosen: Sequence[str] | None, coded: dict[str, CodedCase], num_classes: int
) -> dict[str, str]:
    """Returns the cases to draw, and what is said of each."""
    if chosen:
        return dict.fromkeys(chosen, "")
    dsc = {
        case_id: float(
            foreground_dice(count_pairs(case.labels, case.pred_labels, num_classes))
        )
        for case_id, case in coded.items()
    }
    count = sum(not math.isnan(value) for value in dsc.values())
    return {
        case_id: f"{place} of {count}, DSC {dsc[case_id]:.3f}: "
        for place, case_id in rank(dsc).items()
    }


def _drawn_slice(case: CodedCase, number: int | None) -> int:
    if number is None:
        return case.busiest_slice
    _check_slice(case.case_id, len(case.codes), number)
    return number - 1


def _check_slice(case_id: str, slices: int, number: int | None) -> None:
    if number is not None and number > slices:
        raise ValueError(
            f"--slice must be at most {slices}, the slices of {case_id}. "
            f"Received: {number}"
        )


def _busiest_position(case: CodedCase, index: int) -> tuple[int, int]:
    """Returns row and column of the position with most foreground below it."""
    grid = case.codes[index]
    outside = class_pixels(case.labels[index : index + 1], len(grid), 1)[0, ..., 0]
    row, column = divmod(int(outside.argmin()), grid.shape[1])
    return row, column
