"""The report's best, median and worst case: the image under what was found in it."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from synergynet_tf.evaluation.figures.overlays import (
    GROUND_TRUTH_COLOR,
    PAPER_COLOR,
    class_color,
)
from synergynet_tf.evaluation.report.cases import case_mean
from synergynet_tf.evaluation.report.markup import Markup, element, join, section
from synergynet_tf.evaluation.report.scores import number
from synergynet_tf.evaluation.report.slices import Slice, read_slices

Report = dict[str, Any]
OPACITY = 60  # Of the prediction at first, in percent.


def slices_of(
    run: str | pathlib.Path, report: Report, names: Sequence[str]
) -> dict[str, Slice]:
    """Reads a run's slices; returns none if they do not belong to its scores.

    Raises:
        ValueError: If the file is damaged.
    """
    slices = read_slices(run)
    cases = {case["case_id"]: case for case in report["cases"]}
    belong = all(
        part.case_id in cases
        and case_mean(cases[part.case_id]["strict"])["dsc"] == part.dsc
        and {len(part.prediction), len(part.reference)} == {len(names)}
        for part in slices.values()
    )
    return slices if belong else {}


def picture(part: Slice) -> Markup:
    """Returns the picture of a slice, without what was found."""
    return element(
        "img",
        src=f"data:image/webp;base64,{part.image}",
        width=part.width,
        height=part.height,
        alt=f"Slice {part.index + 1} of {part.count} of {part.case_id}",
    )


def overlays_section(
    report: Report, names: Sequence[str], slices: Mapping[str, Slice]
) -> Markup:
    """Shows the slices, with a slider and a toggle each.

    Args:
        report: Of the run.
        names: Its foreground classes.
        slices: What `slices_of` returns; none are said to be missing.
    """
    if not slices:
        note = (
            "There are no slices that belong to these scores: an earlier version made "
            "them, or no case has a DSC. Score the run again to see them."
        )
        return section("Overlays", element("p", note), id_="overlays")
    intro = (
        "The best, the median and the worst case by DSC, protocol strict, the mean of "
        "a case's classes; of each the slice with most foreground."
    )
    legend = [
        element("li", _swatch(value), " ", name)
        for value, name in enumerate(names, start=1)
    ]
    cases = {case["case_id"]: case for case in report["cases"]}
    figures = [
        _figure(place, part, cases[part.case_id], names)
        for place, part in slices.items()
    ]
    return section(
        "Overlays",
        element("p", intro),
        element("ul", *legend, class_="legend", aria_label="Colors of the classes"),
        element("div", *figures, class_="overlays"),
        id_="overlays",
    )


def _figure(
    place: str, part: Slice, case: Mapping[str, Any], names: Sequence[str]
) -> Markup:
    where = f", slice {part.index + 1} of {part.count}" if part.count > 1 else ""
    said = f"{part.case_id}{where}, DSC {number('dsc', part.dsc)} % (strict)"
    by_class = ", ".join(
        f"{name} {number('dsc', case['strict'][name]['dsc'])}" for name in names
    )
    prediction = [
        element(
            "path",
            d=path,
            fill=class_color(value),
            stroke=class_color(value),
            fill_rule="evenodd",
        )
        for value, path in enumerate(part.prediction, start=1)
    ]
    reference = [
        element("path", d=path, stroke=color, class_=kind)
        for path in part.reference
        for color, kind in ((PAPER_COLOR, "edge"), (GROUND_TRUTH_COLOR, "dash"))
    ]
    found = f"Prediction; DSC in %: {by_class}"
    layers = [
        _layer(part, "prediction", found, prediction, OPACITY),
        _layer(part, "reference", "Reference", reference),
    ]
    slider = element(
        "input",
        type="range",
        min=0,
        max=100,
        value=OPACITY,
        data_layer="prediction",
        autocomplete="off",
    )
    toggle = element(
        "input",
        type="checkbox",
        checked=True,
        data_layer="reference",
        autocomplete="off",
    )
    return element(
        "article",
        element("h3", f"{place.capitalize()} case"),
        element(
            "figure",
            element("div", picture(part), *layers, class_="layers"),
            element("figcaption", said, element("br"), f"DSC in %: {by_class}"),
        ),
        element("label", "Prediction ", slider, element("output", f"{OPACITY} %")),
        element("label", toggle, " Reference, dashed"),
    )


def _layer(
    part: Slice, kind: str, said: str, paths: Sequence[Markup], opacity: int = 100
) -> Markup:
    return element(
        "svg",
        *paths,
        viewBox=f"0 0 {part.width} {part.height}",
        role="img",
        aria_label=said,
        class_=f"layer {kind}",
        opacity=f"{opacity / 100}",
    )


def _swatch(value: int) -> Markup:
    square = element("rect", width=14, height=14, rx=2, fill=class_color(value))
    return join([element("svg", square, width=14, height=14, aria_hidden="true")])
