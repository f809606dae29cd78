"""Pictures of the cases in which two predictions differ most, side by side."""

from __future__ import annotations

import base64
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from synergynet_tf.data import images, volumes
from synergynet_tf.data.listing import PassedOver, list_files, summary
from synergynet_tf.evaluation.figures.overlays import (
    draw_ground_truth,
    draw_prediction,
    readable,
)
from synergynet_tf.evaluation.inputs import is_volume, stem
from synergynet_tf.evaluation.label_maps import Classes, ComparedCase, ComparedCases
from synergynet_tf.evaluation.label_maps.reading import read_label_map, to_labels
from synergynet_tf.evaluation.report.context import case_mean
from synergynet_tf.formats import score
from synergynet_tf.safe_io import composed

Context = dict[str, Any]
# Most cases of each pair of predictions.
MOST = 3
ENDINGS = (*volumes.ENDINGS, *images.KINDS)


def find_images(folder: str | pathlib.Path) -> tuple[dict[str, pathlib.Path], str]:
    """Finds the images of cases, named as they are; a scan's may end in `_0000`.

    Returns:
        The image of each case, and a note on what else is there.

    Raises:
        FileNotFoundError: If there is no such folder, or no image in it.
    """
    root = pathlib.Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"No folder {root}; name one with --images")
    passed_over: list[PassedOver] = []
    paths = [path for _, path in list_files(root, ENDINGS, passed_over)]
    if not paths:
        raise FileNotFoundError(
            f"No images ({' '.join(ENDINGS)}) in {root}; name their folder with "
            "--images"
        )
    # The first of several channels is shown: it is the first by name, too.
    found: dict[str, pathlib.Path] = {}
    for path in paths:
        found.setdefault(composed(stem(path)), path)
    return found, summary(passed_over)


def check_images(cases: ComparedCases, paths: Mapping[str, pathlib.Path]) -> None:
    """Refuses images on another grid than their label maps, before anything is scored.

    Args:
        cases: Files of the cases.
        paths: Images of the cases, as far as they are there.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If an image does not fit its label map, or cannot be used.
    """

    def shape(path: pathlib.Path) -> tuple[int, ...]:
        if is_volume(path):
            return volumes.read_grid(path).array.shape[:3]
        return 1, *images.read_size(path)

    for case in cases.cases:
        if (path := paths.get(case.case_id)) is not None:
            _require_shape(path, shape(path), case, shape(case.reference))


def differing_cases(
    report: Mapping[str, Any],
    cases: ComparedCases,
    classes: Classes,
    paths: Mapping[str, pathlib.Path],
) -> list[Context]:
    """Draws for each difference the cases in which the DSC differs most.

    Of methods with several seeds the first ones are drawn.

    Args:
        report: Report of `compare_label_maps`.
        cases: Files of the cases.
        classes: Classes, and their values in the files.
        paths: Images of the cases, as far as they are there.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If an image does not fit its label map, or cannot be used.
    """
    by_id = {case.case_id: case for case in cases.cases}
    first_seed = {own["name"]: own["predictions"][0] for own in report["methods"]}
    scores = {own["name"]: _case_dsc(own, report) for own in report["predictions"]}
    found = []
    for entry in report["differences"]:
        pair = first_seed[entry["minus"]], first_seed[entry["name"]]
        one, other = (scores[name] for name in pair)
        changes = {case_id: _change(one[case_id], other[case_id]) for case_id in one}
        most = sorted(changes, key=lambda case_id: -abs(changes[case_id]))[:MOST]
        pictures = [
            {
                "case_id": case_id,
                "change": score("dsc", changes[case_id], "+.2f"),
                **_draw(by_id[case_id], pair, cases.pixel_mm, classes, paths),
                "dsc": [score("dsc", own[case_id]) for own in (one, other)],
            }
            for case_id in most
            if changes[case_id]
        ]
        found.append({"name": pair[1], "minus": pair[0], "cases": pictures})
    return found


def _case_dsc(
    prediction: Mapping[str, Any], report: Mapping[str, Any]
) -> dict[str, float | None]:
    protocol = report["protocols"][0]
    return {
        case["case_id"]: case_mean(case[protocol])["dsc"]
        for case in prediction["cases"]
    }


def _change(first: float | None, second: float | None) -> float:
    """Subtracts the DSC of a case, which counts as 1 where both masks are empty."""
    return (1.0 if second is None else second) - (1.0 if first is None else first)


def _draw(
    case: ComparedCase,
    pair: Sequence[str],
    pixel_mm: tuple[float, float] | None,
    classes: Classes,
    paths: Mapping[str, pathlib.Path],
) -> Context:
    """Draws both predictions of a case on the slice where most voxels differ."""
    true = to_labels(
        read_label_map(case.reference, pixel_mm).values, classes, case.reference
    )
    predicted = []
    for name in pair:
        path = case.predictions[name]
        if path is None:
            predicted.append(np.zeros_like(true))
        else:
            predicted.append(to_labels(read_label_map(path).values, classes, path))
    differs = predicted[0] != predicted[1]
    index = int(np.argmax(np.count_nonzero(differs, axis=(1, 2))))
    path = paths.get(case.case_id)
    if path is None:
        pixels = np.zeros((*true.shape[1:], 1), np.float32)
    else:
        pixels = _read_image(path, case, true.shape)[index]
    plain = readable(pixels)
    drawn = []
    for labels in predicted:
        canvas = plain.copy()
        draw_prediction(canvas, labels[index], len(classes.names))
        draw_ground_truth(canvas, true[index], len(classes.names))
        data = images.encode_png(canvas, case.reference)
        drawn.append(base64.b64encode(data).decode("ascii"))
    return {
        "pictures": drawn,
        "width": plain.shape[1],
        "height": plain.shape[0],
        "where": f", slice {index + 1} of {len(true)}" if len(true) > 1 else "",
        "without_image": bool(paths) and path is None,
    }


def _read_image(
    path: pathlib.Path, case: ComparedCase, shape: Sequence[int]
) -> np.ndarray:
    """Reads the image of a case, float32 `(slices, rows, columns, channels)`."""
    if is_volume(path):
        voxels = volumes.read(path).array
        voxels = voxels.reshape(*voxels.shape[:3], math.prod(voxels.shape[3:]))[..., :1]
    else:
        voxels = images.read_image(path)
    _require_shape(path, voxels.shape[:3], case, shape)
    return voxels


def _require_shape(
    path: pathlib.Path, own: Sequence[int], case: ComparedCase, wanted: Sequence[int]
) -> None:
    if tuple(own) != tuple(wanted):
        raise ValueError(
            f"{path} has the shape {tuple(own)} and {case.reference} {tuple(wanted)} "
            "(slices, rows, columns); give --images on the grid of the label maps"
        )
