"""Cases of a comparison: label maps of several folders, matched by name.

A folder is flat, or nnU-Net's or the Decathlon's dataset with its label maps in
`labelsTr/` or `labelsTs/`. A case's name is its file's without the ending, `_mask`,
`_segmentation` or `_gt`: `ISIC_01_segmentation.png` and `ISIC_01.png` are one case.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence

from synergynet_tf.data import volumes
from synergynet_tf.data.datasets.folder import MASK_ENDINGS
from synergynet_tf.data.listing import PassedOver, list_files, summary
from synergynet_tf.data.nifti import check_grid
from synergynet_tf.data.patients import read_patients
from synergynet_tf.evaluation.inputs import (
    OVERLAY_ENDING,
    SUMMARY,
    bare_name,
    is_volume,
)
from synergynet_tf.evaluation.label_maps.reading import read_grid
from synergynet_tf.formats import counted
from synergynet_tf.safe_io import composed, require_plain_name

Place = str | pathlib.Path
ENDINGS = (*volumes.ENDINGS, ".png")
FOLDERS = ("labelsTr", "labelsTs")
MISSING = ("refuse", "empty")
# Most names in a note, which counts the others; a refusal has all.
NOTED = 20


@dataclasses.dataclass(frozen=True)
class ComparedCase:
    """Files of a case.

    Attributes:
        case_id: Name of the case.
        patient: ID of the case's patient.
        reference: The ground truth.
        predictions: File of each prediction, by the prediction's name; `None` if it is
            missing.
    """

    case_id: str
    patient: str
    reference: pathlib.Path
    predictions: Mapping[str, pathlib.Path | None]


@dataclasses.dataclass(frozen=True)
class ComparedCases:
    """Cases to compare.

    Attributes:
        reference: Folder of the references' files.
        predictions: Folder of each prediction's files, by the prediction's name.
        methods: Names of each method's predictions, by the method's name: one, or one a
            seed.
        cases: Cases sorted by name, at least one.
        missing: For each prediction, the cases that it lacks, scored as empty.
        extra: For each prediction, the names that no reference has.
        patients_from: Source of the patient IDs; empty if each case is its own patient.
        pixel_mm: Distance between rows and columns of images; `None` if unknown, and
            for volumes, which have their own.
        passed_over: Note on each folder with files that are no label maps: which, and
            why.
    """

    reference: pathlib.Path
    predictions: dict[str, pathlib.Path]
    methods: dict[str, list[str]]
    cases: list[ComparedCase]
    missing: dict[str, list[str]]
    extra: dict[str, list[str]]
    patients_from: str
    pixel_mm: tuple[float, float] | None
    passed_over: dict[pathlib.Path, str] = dataclasses.field(default_factory=dict)

    @property
    def are_volumes(self) -> bool:
        """Whether they are volumes, with a spacing of their own, not images."""
        return is_volume(self.cases[0].reference)

    def notes(self) -> list[str]:
        """Says how many cases there are, of whom, and which files do not match."""
        patients = {case.patient for case in self.cases}
        whose = f"by {self.patients_from}" if self.patients_from else "each its own"
        of = (
            f"{counted(len(self.cases), 'case')} of {counted(len(patients), 'patient')}"
        )
        lines = [f"{self.reference}: {of} ({whose})"]
        for name, folder in self.predictions.items():
            for noun, cases, fate in (
                ("missing", self.missing[name], "scored as empty"),
                ("extra", self.extra[name], "no reference, not scored"),
            ):
                if cases:
                    lines.append(
                        f"{name}, {folder}: {len(cases)} {noun}, {fate}: "
                        f"{_listed(cases)}"
                    )
        lines += [f"{folder}: {text}" for folder, text in self.passed_over.items()]
        return lines


def find_cases(
    reference: str | pathlib.Path,
    predictions: Mapping[str, Place | Sequence[Place]],
    patients: str = "",
    missing: str = "refuse",
    pixel_mm: tuple[float, float] | None = None,
) -> ComparedCases:
    """Finds the files of all cases, and refuses what does not match.

    Of volumes all headers are read, so that a file on another grid is found before
    anything is scored.

    Args:
        reference: Folder of the references.
        predictions: By the name of each method, the folder of its prediction or the
            folders of several seeds: `{"ours": ["out/seed0", "out/seed1"]}`.
        patients: A CSV file with the columns `case` and `patient`, or a regular
            expression with one group, which a case's name begins with: the patient.
            Empty: each case is its own.
        missing: `refuse` a reference that has no prediction, or score it as `empty`.
        pixel_mm: Distance between rows and columns of images; `None` if unknown.

    Raises:
        FileNotFoundError: If a folder is not there or has no label maps.
        ValueError: If two files of a folder have one name, a folder is named twice
            for one method, a prediction is missing or lies on another grid, a case has
            no patient, or volumes get a spacing.
    """
    folder, references, note = _find_label_maps(reference, "--reference")
    passed_over = {folder: note}
    kinds = {is_volume(path) for path in references.values()}
    if len(kinds) > 1:
        raise ValueError(f"{folder} has volumes and images; keep one kind of them")
    if kinds == {True} and pixel_mm is not None:
        raise ValueError(f"--spacing is of images; the volumes in {folder} have theirs")
    methods, places = _name_predictions(predictions)
    folders, found = {}, {}
    for name, place in places.items():
        folders[name], found[name], note = _find_label_maps(place, "--predictions")
        passed_over[folders[name]] = note
        if not references.keys() & found[name].keys():
            raise ValueError(
                f"No label map in {folders[name]} has the name of a reference in "
                f"{folder}: there are {_few(found[name])}, here {_few(references)}; "
                "rename them"
            )
    lacking = {
        n: sorted(references.keys() - paths.keys()) for n, paths in found.items()
    }
    if missing == "refuse" and any(lacking.values()):
        words = [
            f"{name} ({folders[name]}) lacks {len(cases)} of {len(references)} "
            f"predictions: {', '.join(cases)}"
            for name, cases in lacking.items()
            if cases
        ]
        raise ValueError(
            f"{'; '.join(words)}. Add them, or have them scored as empty with "
            "--missing empty"
        )
    owners, source = _find_patients(patients, references)
    cases = [
        ComparedCase(
            case_id, owners[case_id], path, {n: found[n].get(case_id) for n in found}
        )
        for case_id, path in references.items()
    ]
    _check_kinds_and_grids(cases)
    return ComparedCases(
        folder,
        folders,
        methods,
        cases,
        lacking,
        {n: sorted(paths.keys() - references.keys()) for n, paths in found.items()},
        source,
        pixel_mm,
        {where: text for where, text in passed_over.items() if text},
    )


def _name_predictions(
    predictions: Mapping[str, Place | Sequence[Place]],
) -> tuple[dict[str, list[str]], dict[str, Place]]:
    """Names the prediction of each seed: `ours #1`, `ours #2`; of one seed, `ours`.

    Returns:
        The names of each method's predictions, and each prediction's folder.
    """
    methods: dict[str, list[str]] = {}
    places: dict[str, Place] = {}
    for method, given in predictions.items():
        own = [given] if isinstance(given, str | pathlib.Path) else list(given)
        if len({pathlib.Path(place).resolve() for place in own}) < len(own):
            raise ValueError(
                f"--predictions has a folder of {method} twice; give each seed its own"
            )
        methods[method] = [
            f"{method} #{i}" if len(own) > 1 else method for i in range(1, len(own) + 1)
        ]
        for name, place in zip(methods[method], own, strict=True):
            if name in places:
                raise ValueError(
                    f"--predictions has the name {name} twice; give each its own, as "
                    "NAME=DIR"
                )
            places[name] = place
    return methods, places


def _find_label_maps(
    place: str | pathlib.Path, flag: str
) -> tuple[pathlib.Path, dict[str, pathlib.Path], str]:
    """Returns the folder of label maps in `place`, its files by case, and a note."""
    root = pathlib.Path(place)
    if not root.is_dir():
        raise FileNotFoundError(f"No folder {root}; name one with {flag}")
    kinds = " ".join(ENDINGS)
    passed_over: list[PassedOver] = []
    if files := _list(root, passed_over):
        return root, files, summary(passed_over)
    passed_over = []
    below = {root / name: _list(root / name, passed_over) for name in FOLDERS}
    below = {folder: files for folder, files in below.items() if files}
    if not below:
        raise FileNotFoundError(
            f"No label maps ({kinds}) in {root}, nor in {' or '.join(FOLDERS)} below "
            f"it; name their folder with {flag}"
        )
    if len(below) > 1:
        raise ValueError(
            f"{root} has label maps in {' and '.join(FOLDERS)}; name one of them "
            f"with {flag}"
        )
    ((folder, files),) = below.items()
    return folder, files, summary(passed_over)


def _list(
    folder: pathlib.Path, passed_over: list[PassedOver]
) -> dict[str, pathlib.Path]:
    """Lists the label maps of a folder by case, without what `predict` adds."""
    if not folder.is_dir():
        return {}
    others: list[PassedOver] = []
    paths = {path.name: path for _, path in list_files(folder, ENDINGS, others)}
    passed_over += [entry for entry in others if entry.path.name != SUMMARY]
    stems = {bare_name(path) for path in paths.values()}
    found: dict[str, pathlib.Path] = {}
    for path in paths.values():
        require_plain_name(path)
        stem = bare_name(path)
        # The overlay that `synergynet predict` writes beside a label map.
        if stem.removesuffix(OVERLAY_ENDING) in stems - {stem}:
            passed_over.append(PassedOver(path, "an overlay", "expected"))
            continue
        name = case_name(path)
        if name in found:
            raise ValueError(
                f"{found[name]} and {path.name} are of one case, {name}; keep one"
            )
        found[name] = path
    return dict(sorted(found.items()))


def case_name(path: pathlib.Path) -> str:
    """Returns the name of a label map's case.

    Example:
    >>> case_name(pathlib.Path("labelsTr/liver_3.nii.gz"))
    'liver_3'
    >>> case_name(pathlib.Path("masks/ISIC_01_segmentation.PNG"))
    'ISIC_01'
    """
    stem = composed(bare_name(path))
    for ending in filter(None, MASK_ENDINGS):
        if stem.endswith(ending) and stem != ending:
            return stem.removesuffix(ending)
    return stem


def _check_kinds_and_grids(cases: Sequence[ComparedCase]) -> None:
    """Refuses predictions that are not of their reference's kind, or on its grid."""
    for case in cases:
        volume = is_volume(case.reference)
        grid = read_grid(case.reference) if volume else None
        for name, path in case.predictions.items():
            if path is None:
                continue
            if is_volume(path) != volume:
                raise ValueError(
                    f"Case {case.case_id}, {name}: {path} and {case.reference} are a "
                    "volume and an image; save both as one kind"
                )
            if grid is None:
                continue
            try:
                check_grid(case.reference, grid, path, read_grid(path))
            except ValueError as error:
                raise ValueError(f"Case {case.case_id}, {name}: {error}") from error


def _find_patients(
    patients: str, case_ids: Iterable[str]
) -> tuple[dict[str, str], str]:
    """Returns the patient of each case, and where they are from."""
    if not patients:
        return {case_id: case_id for case_id in case_ids}, ""
    path = pathlib.Path(patients)
    if path.is_file():
        return read_patients(path, case_ids, _written_name), str(path)
    if path.suffix.lower() == ".csv":
        raise FileNotFoundError(
            f"No file {path}; name a table of patients with --patients"
        )
    try:
        pattern = re.compile(patients)
    except re.error as error:
        raise ValueError(
            f"--patients must be a .csv file or a regular expression ({error}). "
            f"Received: {patients}"
        ) from error
    if pattern.groups != 1:
        raise ValueError(
            r"--patients must have one group, such as (patient\d+)_.*, or be a .csv "
            f"file. Received: {patients}"
        )
    owners = {}
    for case_id in case_ids:
        match = pattern.match(case_id)
        if match is None or not match[1]:
            raise ValueError(
                f"--patients {patients} finds no patient in the case {case_id}; "
                "correct it, or give a .csv file"
            )
        owners[case_id] = match[1]
    return owners, patients


def _written_name(text: str) -> str:
    """Returns the case that a table names, which may be by its file."""
    return case_name(pathlib.Path(text)) if text.lower().endswith(ENDINGS) else text


def _few(names: Iterable[str]) -> str:
    """Returns the first two names, to show what the others are like."""
    names = list(names)
    return ", ".join(names[:2]) + (", ..." if len(names) > 2 else "")


def _listed(names: Sequence[str]) -> str:
    more = len(names) - NOTED
    return ", ".join(names[:NOTED]) + (f" and {more} more" if more > 0 else "")
