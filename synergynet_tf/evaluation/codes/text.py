"""What was found of a run's codes, in lines of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from synergynet_tf.evaluation.tables.console import DASH, in_brackets

IN_TABLE = 10


def format_report(report: dict[str, Any]) -> str:
    """Returns what `code_maps` prints of a report.

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
        by_chance = [chance[group][name]["mean"] for group in chance]
        numbers = in_brackets(agreement["interval"][name], ".3f")
        lines.append(
            f"{name.replace('_', ' '):<22}{_number(agreement[name]):>8}{numbers:>18}  "
            f"{_numbers(by_chance)}"
        )
    for part in ("disconx", "refinement"):
        means = {k: v for k, v in (report[part] or {}).items() if k != "tokens"}
        words = [f"{k.replace('_', ' ')} {v['mean']:.2f}" for k, v in means.items()]
        words = words and [f"of {report[part]['tokens']} tokens", *words]
        lines.append(f"{part}: {', '.join(words) or 'not in this method'}")
    effects = report["counterfactuals"]
    lines += [
        "",
        f"DSC {_number(effects['dsc'])}: all slices in one count a class, on the "
        "network's grid. Its change with the 95 % interval by patient",
        "",
        f"{'code off':<12}positions  changed labels  per square  moved  DSC change",
    ]
    for entry in effects["switched_off"][:IN_TABLE] + effects["swapped"]:
        other = entry["swapped_with"]
        code = str(entry["code"]) + ("" if other is None else f" <-> {other}")
        lines.append(
            f"{code:<12}{entry['positions']:>9}{100 * entry['changed_share']:>14.2f} %"
            f"{entry['changed_per_square']:>12.2f}{_number(entry['moved']):>7}  "
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
        dsc = _number(entry["dsc"])
        lines.append(f"{entry['term']:<27}{dsc:>14}  {_change(entry)}")
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    return DASH if value is None else f"{value:.3f}"


def _numbers(values: Sequence[float | None]) -> str:
    return ", ".join(map(_number, values))


def _change(entry: dict[str, Any]) -> str:
    change = entry["dsc_change"]
    if change is None:
        return DASH
    return f"{change:+.4f} {in_brackets(entry['dsc_change_interval'], '+.4f')}"
