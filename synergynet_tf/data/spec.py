"""Dataset interface: `Case`, and the functions that every reader has."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from synergynet_tf.data.listing import Listing

PARTS = ("train", "val", "test")


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """Image or volume with its ground truth segmentation, on its own grid.

    Attributes:
        case_id: ID of the case, unique within the dataset.
        image: float32 `(slices, rows, columns, channels)`, in the source's units:
            0 to 255 for photographs, the scanner's for volumes. A photograph has
            one slice.
        label: uint8 `(slices, rows, columns)`: 0 is background, `i + 1` is the
            dataset's foreground class `i`.
        spacing_mm: Distance between slices, rows and columns in mm, above 0; ones if
            unknown.
        steps_mm: The vectors from a voxel to the next slice, row and column in mm, a
            row each, float64 `(3, 3)`; `None` where they are orthogonal.

    Raises:
        ValueError: If a shape, dtype or spacing is not as above, or the image holds
            a NaN or an infinity; names the case.
    """

    case_id: str
    image: np.ndarray
    label: np.ndarray
    spacing_mm: tuple[float, float, float]
    steps_mm: np.ndarray | None = None

    def __post_init__(self) -> None:
        image, label, spacing_mm = self.image, self.label, self.spacing_mm
        if image.ndim != 4 or image.dtype != np.float32 or image.size == 0:
            self._refuse(
                "`image` must be float32 (slices, rows, columns, channels)",
                f"{image.dtype} {image.shape}",
            )
        if label.shape != image.shape[:3] or label.dtype != np.uint8:
            self._refuse(
                f"`label` must be uint8 {image.shape[:3]}, as the image",
                f"{label.dtype} {label.shape}",
            )
        if len(spacing_mm) != 3 or not all(0 < mm < np.inf for mm in spacing_mm):
            self._refuse("`spacing_mm` must be 3 numbers above 0", f"{spacing_mm}")
        # A sum is finite only if every term is, and needs no array of booleans.
        with np.errstate(invalid="ignore"):
            total = image.sum(dtype=np.float64)
        if not np.isfinite(total):
            count = int(np.count_nonzero(~np.isfinite(image)))
            self._refuse("`image` must be finite", f"{count} NaN or infinite values")

    def _refuse(self, rule: str, received: str) -> None:
        raise ValueError(f"Case {self.case_id}: {rule}. Received: {received}")


class Dataset(Protocol):
    """Interface of the modules in `synergynet_tf.data.DATASETS`.

    `root` is the folder given as `--data-dir`. A folder or file that is not as the
    module's docstring says raises FileNotFoundError or ValueError, in one line that
    names it and says what to do.

    Attributes:
        CLASSES: Names of the foreground classes, `()` where they depend on the root.
        PAPER_PROTOCOL: Protocol of the numbers that the paper prints.

    A module may also have `NSD_TOLERANCE_MM`, the tolerance of surface Dice;
    `label_values(root)`, the value of each class in the user's masks, 1 to 65535, in
    the order of the classes, or `None` where no masks are: predictions are written
    with them; `has_spacing(root)`, whether the files say how large a voxel is (without
    it, all but those of photographs): distances are in pixels otherwise; and
    `class_notes(root)`, lines on how the values of the labels were understood.
    """

    CLASSES: tuple[str, ...]
    PAPER_PROTOCOL: str

    def class_names(self, root: str | pathlib.Path) -> tuple[str, ...]:
        """Returns the foreground classes; label `i + 1` is class `i`."""

    def modality(self, root: str | pathlib.Path) -> str:
        """Returns what the intensities are: a key of `preprocess.MODALITIES`."""

    def case_ids(self, root: str | pathlib.Path) -> list[str]:
        """Lists every labeled case, sorted.

        Raises:
            ListingError: If files are missing or too many.
        """

    def listing(self, root: str | pathlib.Path, /) -> Listing:
        """Lists the files of each case, what is wrong, and what is passed over."""

    def patients(self, root: str | pathlib.Path) -> dict[str, str]:
        """Returns the patient of each case; they are never in two parts.

        A case is its own patient where no others are known.
        """

    def case_files(self, root: str | pathlib.Path, case_id: str) -> list[pathlib.Path]:
        """Lists every file that `read_case` reads."""

    def read_case(self, root: str | pathlib.Path, case_id: str) -> Case:
        """Reads one case."""

    def default_split(self, root: str | pathlib.Path) -> str:
        """Names the split that suits the files at `root`."""

    def splits(
        self, root: str | pathlib.Path, split: str, seed: int
    ) -> dict[str, list[str]]:
        """Returns disjoint case ids of `train`, `val` and `test`.

        Raises:
            ValueError: If `split` is impossible here; says which one is not.
        """


def mask_values(
    known: Sequence[int] | None, num_classes: int, image: bool
) -> tuple[int, ...]:
    """Returns the value of each class in the label maps that are written.

    Args:
        known: Values in the user's masks; `None` if unknown: class `i` is then `i + 1`,
            and a single class is 255 in an image.
        num_classes: Number of foreground classes.
        image: Whether the label map is of an image rather than a volume.
    """
    if known is not None:
        return tuple(known)
    one = image and num_classes == 1
    return (255,) if one else tuple(range(1, num_classes + 1))
