r"""Scores label maps of any framework against references, and compares them.

`synergynet compare --reference labelsTs --predictions a=DIR b=DIR --out scores`
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import pathlib
from collections.abc import Sequence

from synergynet_tf import metrics, runs
from synergynet_tf.cli import command_line
from synergynet_tf.evaluation import label_maps
from synergynet_tf.evaluation.report.comparison import write_comparison_report
from synergynet_tf.evaluation.report.differing_cases import check_images, find_images
from synergynet_tf.metrics.lesions import OVERLAPS
from synergynet_tf.parallel import usable_cores
from synergynet_tf.safe_io import is_plain


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__)
    parser.add_argument(
        "--reference",
        required=True,
        metavar="DIR",
        help="label maps of the ground truth: .nii, .nii.gz, .nrrd, .mha or .png files",
    )
    parser.add_argument(
        "--predictions",
        required=True,
        nargs="+",
        action="extend",
        metavar="NAME=DIR",
        help="label maps of the same names, by whom; without NAME= it is the folder's. "
        "The others are compared with the first. Several folders of one NAME are seeds "
        "of one method",
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="folder for report.html, comparison.json and tables",
    )
    parser.add_argument(
        "--classes",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="a class and its value in all files; a class may have several (default: "
        "of dataset.json or classes.json, else the values in the references)",
    )
    parser.add_argument(
        "--patients",
        default="",
        help="a .csv file with the columns case and patient, or a regular expression "
        r"with one group, such as '(patient\d+)_.*' (default: each case its own)",
    )
    parser.add_argument(
        "--protocol",
        nargs="+",
        choices=metrics.PROTOCOLS,
        default=["strict"],
        help="rules of the scores (default: strict)",
    )
    parser.add_argument(
        "--spacing",
        nargs="+",
        type=float,
        metavar="MM",
        help="mm per pixel of images: one number, or rows and columns (default: "
        "distances in pixels)",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=metrics.NSD_TOLERANCE_MM,
        help="of the surface Dice (NSD), in mm, or in pixels without --spacing "
        f"(default: {metrics.NSD_TOLERANCE_MM:g})",
    )
    parser.add_argument(
        "--lesions",
        choices=OVERLAPS,
        help="also find lesions, connected components of each class: one is detected "
        "if a finding shares any voxel with it, a share of its voxels, or has an IoU",
    )
    parser.add_argument(
        "--lesion-threshold",
        type=float,
        metavar="SHARE",
        help="of --lesions share and iou: what that must be at least, in (0, 1]",
    )
    parser.add_argument(
        "--lesion-size",
        type=int,
        default=1,
        metavar="VOXELS",
        help="smaller components are removed from both label maps (default: 1)",
    )
    parser.add_argument(
        "--missing",
        choices=label_maps.MISSING,
        default="refuse",
        help="empty: score a missing prediction as one that found nothing (default: "
        "refuse)",
    )
    parser.add_argument(
        "--images",
        metavar="DIR",
        help="images or scans of the cases, for the pictures of report.html (default: "
        "label maps alone)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=max(1, usable_cores() - 1),
        help="processes that read and score; 0: none (default: one less than there "
        "are cores)",
    )
    args = parser.parse_args(argv)
    if args.workers < 0:
        parser.error(f"--workers must be at least 0. Received: {args.workers}")
    if not 0 <= args.tolerance < math.inf:
        parser.error(f"--tolerance must be at least 0. Received: {args.tolerance}")
    if args.spacing is not None and (
        len(args.spacing) > 2 or not all(0 < mm < math.inf for mm in args.spacing)
    ):
        given = " ".join(f"{mm:g}" for mm in args.spacing)
        parser.error(f"--spacing must be one or two numbers above 0. Received: {given}")
    _check_lesions(parser, args)
    return args


def _check_lesions(
    parser: command_line.ArgumentParser, args: argparse.Namespace
) -> None:
    """Refuses flags of lesions that make no sense, or do not go together."""
    threshold, given = args.lesion_threshold, parser.given(args)
    flags = [
        given[name] for name in ("lesion_threshold", "lesion_size") if name in given
    ]
    if flags and not args.lesions:
        parser.error(f"only with --lesions: {', '.join(flags)}")
    if args.lesions == "any" and threshold is not None:
        parser.error("--lesion-threshold is of --lesions share and iou")
    if args.lesions in ("share", "iou") and not 0 < (threshold or 0) <= 1:
        parser.error(
            f"--lesions {args.lesions} needs a --lesion-threshold in (0, 1]. "
            f"Received: {threshold}"
        )
    if args.lesion_size < 1:
        parser.error(f"--lesion-size must be at least 1. Received: {args.lesion_size}")


def _lesion_rule(args: argparse.Namespace) -> metrics.LesionRule | None:
    if not args.lesions:
        return None
    return metrics.LesionRule(
        args.lesions, args.lesion_threshold, minimal_size=args.lesion_size
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Scores every case, or refuses in one line; then prints and writes the result."""
    args = parse_args(argv)
    folders = _named_folders(args.predictions)
    out = pathlib.Path(args.out)
    for folder in (args.reference, *itertools.chain(*folders.values())):
        if os.path.realpath(out) == os.path.realpath(folder):
            raise ValueError(f"{out} holds label maps; name another folder with --out")
    spacing = args.spacing and (args.spacing[0], args.spacing[-1])
    cases = label_maps.find_cases(
        args.reference, folders, args.patients, args.missing, spacing
    )
    images, note = find_images(args.images) if args.images else ({}, "")
    check_images(cases, images)
    runs.require_writable(out, "--out")
    print("\n".join([*cases.notes(), *([f"{args.images}: {note}"] if note else [])]))
    classes = label_maps.choose_classes(cases, args.classes, args.workers)
    print(classes.title(), end="\n\n", flush=True)
    protocols = list(dict.fromkeys(args.protocol))
    report = label_maps.compare_label_maps(
        cases,
        classes,
        out,
        protocols,
        args.tolerance,
        args.workers,
        _lesion_rule(args),
    )
    print(label_maps.format_report(report), end="")
    page = write_comparison_report(report, cases, classes, out, images)
    names = [page.name, label_maps.FILE, label_maps.CASES, label_maps.SUMMARY]
    if args.lesions:
        names.append(label_maps.LESION_CASES)
    print(f"wrote {', '.join(str(out / name) for name in names)}")


def _named_folders(texts: Sequence[str]) -> dict[str, list[str]]:
    """Returns the folders of each method, by its name: one, or one a seed."""
    folders: dict[str, list[str]] = {}
    unnamed: set[str] = set()
    for text in texts:
        name, equals, folder = text.partition("=")
        is_unnamed = not equals or pathlib.Path(text).is_dir()
        if is_unnamed:
            name, folder = pathlib.Path(text).resolve().name, text
        if not name.strip() or not is_plain(name) or not folder:
            raise ValueError(f"--predictions must be NAME=DIR. Received: {text}")
        # Two unnamed folders with one name need not be seeds of one method.
        if name in unnamed or (is_unnamed and name in folders):
            raise ValueError(
                f"--predictions has the name {name} twice; give each its own, as "
                "NAME=DIR, or each of one method's seeds the same"
            )
        unnamed |= {name} if is_unnamed else set()
        folders.setdefault(name, []).append(folder)
    return folders
