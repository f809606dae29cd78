"""The analysis of a run's codes: all measurements, `codes.json`, figures and text.

`codes.json` holds

    dataset, data_dir, model, split, num_cases, num_slices, num_codes, image_size,
    grid, stride, class_names               what was analyzed
    used, perplexity, agreement, codes      `agreement.describe_codes`
    disconx, refinement                     `AttentionSummary.results`
    counterfactuals                         `interventions.describe_edits`
    ablations, alone                        `interventions.describe_parts`
    figures             of each its `file`, and its `kind`: `map`, `attention`, `edit`
                        (with `case_id`, and `slice` from 1) or `sheet`

Rows and columns of the grid count from 0. Undefined numbers are `null`.
"""

from __future__ import annotations

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
from synergynet_tf.evaluation.codes.agreement import class_pixels, describe_codes
from synergynet_tf.evaluation.codes.interventions import (
    Edit,
    confusion_matrix,
    describe_edits,
    describe_parts,
    edited_slices,
    foreground_dice,
)
from synergynet_tf.evaluation.codes.model import (
    Bottleneck,
    CodedCase,
    CodeModel,
    code_case,
    read_inputs,
)
from synergynet_tf.evaluation.figures.overlays import write_png
from synergynet_tf.evaluation.predictor import load_run_model
from synergynet_tf.evaluation.scores import rank
from synergynet_tf.formats import DASH, in_brackets, number, without_nan

FILE = "codes.json"
MAX_SHEET_ROWS = 16
MAX_TABLE_ROWS = 10


def report_codes(
    cases: RunCases,
    out: str | pathlib.Path,
    *,
    drawn_cases: Sequence[str] = (),
    drawn_slice: int | None = None,
    query: Sequence[int] | None = None,
    num_codes: int = 32,
    swaps: Sequence[Sequence[int]] = (),
) -> dict[str, Any]:
    """Writes the figures and, last, `codes.json`.

    Args:
        cases: Cases of a run whose method has a codebook.
        out: Folder for the figures and `codes.json`.
        drawn_cases: Cases to draw; none for the best, the median and the worst by DSC.
        drawn_slice: Slice of each of them, from 1; `None` for the one with most
            foreground.
        query: Row and column, from 0, of the position whose attention is drawn;
            `None` for the one with most foreground below it.
        num_codes: Number of most used codes to draw and to switch off.
        swaps: Pairs of codes to swap.

    Returns:
        Content of `codes.json`.

    Raises:
        ValueError: If a case does not fit the run, or has not the slice.
    """
    config, names = cases.config.model, cases.class_names
    # Which cases are drawn by themselves is known at the end alone.
    for case_id in drawn_cases or (cases.case_ids if drawn_slice else ()):
        label = cases.dataset.read_case(cases.root, case_id).label
        _check_slice(case_id, len(label), drawn_slice)
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
        (case_id, _slice_index(coded[case_id], drawn_slice), begin)
        for case_id, begin in _ranks(drawn_cases, coded, len(names) + 1).items()
    ]
    found = describe_codes(list(coded.values()), config.num_codes, names)
    edits = [Edit(entry["code"]) for entry in found["codes"][:num_codes]]
    edits += [Edit.swap(*pair) for pair in swaps]

    def read_again(why: str) -> Iterator[tuple[CodedCase, np.ndarray]]:
        again = read_inputs(cases, tqdm(coded, why, **progress))
        return ((coded[case_id], images) for case_id, images, _ in again)

    effects = describe_edits(model, read_again("edit"), edits, len(names) + 1)
    parts = describe_parts(model, read_again("ablate"), len(names) + 1)

    figures = _Figures(pathlib.Path(out), cases, model, coded)
    figures.draw_sheet(found["codes"][: min(num_codes, MAX_SHEET_ROWS)])
    for case_id, index, begin in drawn:
        figures.draw_slice(case_id, index, begin, found["codes"], query)
    for entry in [*effects["switched_off"][:1], *effects["swapped"]]:
        figures.draw_edit(entry)

    grid = next(iter(coded.values())).codes.shape[1:]
    report = without_nan(
        {
            "dataset": cases.config.data.dataset,
            "data_dir": str(cases.root.resolve()),
            "model": config.name,
            runs.SCORED_SHA256: cases.run.weights_sha256,
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
    runs.write_json(pathlib.Path(out, FILE), report)
    return report


def format_report(report: dict[str, Any]) -> str:
    """Returns the text that the command prints of a report.

    What the codes tell of the classes, what the attention does, the edits with most
    effect, the prediction without each part of the bottleneck, and with one term of the
    fusion alone.
    """
    agreement, chance = report["agreement"], report["agreement"]["chance"]
    lines = [
        f"{report['model']} on {report['num_slices']} slices of {report['num_cases']} "
        f"cases ({report['dataset']}, {report['split']}): {report['used']} of "
        f"{report['num_codes']} codes, perplexity {report['perplexity']:.1f}",
        "",
        f"{'':<22}{'codes':>8}{'95 % interval':>18}  chance within cases, positions",
    ]
    for name in ("purity", "mutual_information", "homogeneity"):
        by_chance = [number(chance[group][name]["mean"]) for group in chance]
        numbers = in_brackets(agreement["interval"][name], ".3f")
        lines.append(
            f"{name.replace('_', ' '):<22}{number(agreement[name]):>8}{numbers:>18}  "
            f"{', '.join(by_chance)}"
        )
    for part in ("disconx", "refinement"):
        means = {k: v for k, v in (report[part] or {}).items() if k != "tokens"}
        words = [f"{k.replace('_', ' ')} {v['mean']:.2f}" for k, v in means.items()]
        words = words and [f"of {report[part]['tokens']} tokens", *words]
        lines.append(f"{part}: {', '.join(words) or 'not in this method'}")
    effects = report["counterfactuals"]
    lines += [
        "",
        f"DSC {number(effects['dsc'])}: all slices in one count a class, on the "
        "network's grid. Its change with the 95 % interval by patient",
        "",
        f"{'code off':<12}positions  changed labels  per square  moved  DSC change",
    ]
    for entry in effects["switched_off"][:MAX_TABLE_ROWS] + effects["swapped"]:
        other = entry["swapped_with"]
        code = str(entry["code"]) + ("" if other is None else f" <-> {other}")
        lines.append(
            f"{code:<12}{entry['positions']:>9}{100 * entry['changed_share']:>14.2f} %"
            f"{entry['changed_per_square']:>12.2f}{number(entry['moved']):>7}  "
            f"{_change(entry)}"
        )
    lines += ["", "averaged over positions    changed labels  DSC change"]
    for entry in report["ablations"]:
        lines.append(
            f"{entry['part'].replace('_', ' '):<27}"
            f"{100 * entry['changed_share']:>12.2f} %  {_change(entry)}"
        )
    if report["alone"]:
        lines += [
            "",
            f"{'a term of the fusion alone':<27}{'DSC':>14}  above all averaged",
        ]
    for entry in report["alone"]:
        dsc = number(entry["dsc"])
        lines.append(f"{entry['term']:<27}{dsc:>14}  {_change(entry)}")
    return "\n".join(lines) + "\n"


def _change(entry: dict[str, Any]) -> str:
    change = entry["dsc_change"]
    if change is None:
        return DASH
    return f"{change:+.4f} {in_brackets(entry['dsc_change_interval'], '+.4f')}"


class AttentionSummary:
    """Attention statistics of SynergyNet's bottleneck: means over images and tokens.

    DisConX (soft): how many continuous tokens a discrete one attends to. Of the weights
    `p` of a query, `H = -sum p log2 p` bits; `2^H` tokens would have it if all weighed
    alike. How much the codes, its queries, decide of that: entropy of the mean weights
    of all queries of an image, less the mean `H`. At 0 bits all attend to the same.

    Refinement (hard): which tokens are picked, how often a token picks itself.
    """

    def __init__(self) -> None:
        self._sums: dict[str, dict[str, Any]] = {"disconx": {}, "refinement": {}}
        self._images = 0
        self._tokens = 0

    def add(self, batch: Bottleneck) -> None:
        """Adds the images of a batch."""
        self.add_weights(batch.attention, batch.picks)

    def add_weights(
        self, attention: np.ndarray | None, picks: np.ndarray | None
    ) -> None:
        """Adds the images of a batch; arguments are those of a `Bottleneck`."""
        there = attention if attention is not None else picks
        if there is None:
            return
        self._images += len(there)
        self._tokens = there.shape[2]
        if attention is not None:
            entropy = entropy_bits(attention)
            self._count("disconx", "entropy_bits", entropy)
            self._count("disconx", "effective_tokens", 2**entropy)
            own = np.diagonal(attention, axis1=2, axis2=3)
            self._count("disconx", "weight_of_own_position", own)
            of_all = entropy_bits(attention.mean(axis=2, dtype=np.float64))
            information = of_all - entropy.mean(axis=-1)
            self._count("disconx", "told_by_query_bits", information[..., None])
        if picks is not None:
            itself = picks == np.arange(self._tokens)
            self._count("refinement", "picks_itself", itself)
            in_order = np.sort(picks, axis=-1)
            distinct = 1 + (np.diff(in_order, axis=-1) > 0).sum(axis=-1, keepdims=True)
            self._count("refinement", "distinct_picks", distinct)

    def results(self) -> dict[str, dict[str, Any] | None]:
        """Returns the means of `disconx` and `refinement`; `None` if not there.

        `tokens` is how many there are; each other entry has its mean `per_head` and
        over all heads, `mean`.
        """
        return {part: self._result(sums) for part, sums in self._sums.items()}

    def _result(self, sums: dict[str, Any]) -> dict[str, Any] | None:
        if not sums:
            return None
        means = {name: total / self._images for name, total in sums.items()}
        return {
            "tokens": self._tokens,
            **{
                name: {"mean": float(heads.mean()), "per_head": heads.tolist()}
                for name, heads in means.items()
            },
        }

    def _count(self, part: str, name: str, values: np.ndarray) -> None:
        """Adds values `(images, heads, tokens)`, as the mean over tokens."""
        total = values.mean(axis=-1).sum(axis=0, dtype=np.float64)
        self._sums[part][name] = self._sums[part].get(name, 0.0) + total


def entropy_bits(weights: np.ndarray) -> np.ndarray:
    """Returns the entropy of weights `(..., n)` that sum to 1: `(...)`."""
    weights = weights.astype(np.float64)
    logarithm = np.log2(weights, out=np.zeros_like(weights), where=weights > 0)
    return -(weights * logarithm).sum(axis=-1)


class _Figures:
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
        begin: str,
        entries: Sequence[dict[str, Any]],
        query: Sequence[int] | None,
    ) -> None:
        """Draws the codes of a slice, and its attention, if the method has any."""
        case = self._coded[case_id]
        where = {"case_id": case_id, "slice": index + 1}
        caption = f"{begin}{case_id}, slice {index + 1} of {len(case.codes)}"
        picture = plots.draw_map(case, index, entries, caption)
        self._write("map", picture, kind="map", **where)
        ((_, images, _),) = read_inputs(self._cases, [case_id])
        found = self._model.encode(images[index : index + 1])
        if found.attention is None and found.picks is None:
            return
        attention, picks = (
            None if array is None else array[0]
            for array in (found.attention, found.picks)
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
        held, color = edit.held(case.codes[index]), plots.code_color(edit.code)
        picture = plots.draw_edit(case, index, held, labels, color, caption)
        where = {"case_id": case_id, "slice": index + 1}
        self._write(what.replace(" ", "_"), picture, kind="edit", **where)

    def _write(self, name: str, picture: np.ndarray, **entry: Any) -> None:
        if "case_id" in entry:
            name += f"_{entry['case_id']}_{entry['slice']}"
        file = re.sub(r"[^\w.-]", "-", name) + ".png"
        write_png(self._folder / file, picture)
        self.written.append({"file": file, **entry})


def _ranks(
    chosen: Sequence[str], coded: dict[str, CodedCase], num_classes: int
) -> dict[str, str]:
    """Returns the cases to draw, each with its rank by DSC to begin a caption with."""
    if chosen:
        return dict.fromkeys(chosen, "")
    dsc = {}
    for case_id, case in coded.items():
        matrix = confusion_matrix(case.labels, case.pred_labels, num_classes)
        dsc[case_id] = float(foreground_dice(matrix))
    count = sum(not math.isnan(value) for value in dsc.values())
    return {
        case_id: f"{place} of {count}, DSC {dsc[case_id]:.3f}: "
        for place, case_id in rank(dsc).items()
    }


def _slice_index(case: CodedCase, number: int | None) -> int:
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
