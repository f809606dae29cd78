"""The paper's numbers: every row of its Tables 1 to 4, as printed.

A run is looked up by its dataset and model; `PAPER` has no entry for what the paper
does not report.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Table:
    """One table of the paper.

    Attributes:
        number: The paper's.
        dataset: A key of `synergynet_tf.data.DATASETS`.
        note: What to know before comparing.
        columns: Metrics; those named after a class are its DSC.
        printed: A line for each model: percent, `hd95` in voxels.
    """

    number: int
    dataset: str
    note: str
    columns: str
    printed: str

    def rows(self) -> dict[str, dict[str, float]]:
        """Returns each model's metrics: fractions in [0, 1], `hd95` as printed."""
        lines = [line.split() for line in self.printed.strip().splitlines()]
        return {model: self._row(values) for model, *values in lines}

    def _row(self, values: list[str]) -> dict[str, float]:
        numbers = zip(self.columns.split(), map(float, values), strict=True)
        return {c: n if c == "hd95" else round(n / 100, 4) for c, n in numbers}


TABLES = (
    Table(
        number=1,
        dataset="synapse",
        note="TransUNet's test code; HD95 in voxels. The aorta of r50-attunet is as "
        "printed.",
        columns="dsc hd95 aorta gallbladder kidney_left kidney_right liver pancreas "
        "spleen stomach",
        printed="""
r50-unet         74.68 36.87 87.74 63.66 80.60 78.19 93.74 56.90 85.87 74.16
deeplabv3plus    77.63 39.95 88.04 66.51 82.76 74.21 91.23 58.27 87.43 73.53
r50-attunet      75.57 36.97 55.92 63.91 79.20 72.71 93.56 49.37 87.19 74.95
r50-vit          71.29 32.87 73.73 55.13 75.80 72.20 91.51 45.99 81.99 73.95
transunet        77.48 31.69 87.23 63.13 81.87 77.02 94.08 55.86 85.08 75.62
vqunet           63.44 68.79 78.99 50.74 67.32 61.91 89.94 33.96 73.83 50.87
transvqunet-2s2h 65.44 40.79 80.95 48.29 71.42 61.89 90.90 36.88 77.59 55.61
transvqunet-8s2h 68.41 35.05 83.57 54.53 73.73 66.21 92.39 39.45 80.26 57.10
synergynet-2s2h  78.81 26.19 85.31 61.14 81.89 79.75 94.42 56.66 89.81 81.51
synergynet-8s2h  79.65 23.29 86.10 65.49 82.78 79.23 95.06 58.28 88.95 81.30
synergynet-8s8h  77.33 20.56 85.79 61.11 81.69 77.07 94.44 64.80 86.40 75.28
""",
    ),
    Table(
        number=2,
        dataset="acdc",
        note="TransUNet's test code; HD95 in voxels.",
        columns="dsc hd95 rv myo lv",
        printed="""
r50-unet         87.94  2.01 84.62 84.52 93.68
deeplabv3plus    88.35  4.45 85.65 85.55 93.85
r50-attunet      86.90  2.10 83.27 84.33 93.53
r50-vit          86.19  1.98 82.51 83.01 93.05
transunet        89.71  1.92 86.67 87.27 95.18
vqunet           78.15  3.19 70.14 74.13 90.13
transvqunet-2s2h 74.40  4.27 64.69 72.75 85.77
transvqunet-8s2h 78.17  4.63 69.48 75.95 89.05
synergynet-2s2h  88.96  2.41 86.80 85.51 94.60
synergynet-8s2h  89.78  1.86 87.68 86.60 95.06
synergynet-8s8h  89.37  2.14 87.63 86.49 94.98
""",
    ),
    Table(
        number=3,
        dataset="isic",
        note="ISIC 2018, 520 of the 2,594 training images as the test set; 224 px, "
        "encoder from ImageNet.",
        columns="iou dsc acc sp se",
        printed="""
r50-unet         77.86 87.55 94.05 96.69 85.86
deeplabv3plus    78.52 87.59 94.29 95.97 86.46
r50-attunet      78.43 87.91 94.13 96.23 87.60
r50-vit          78.13 87.45 93.53 96.13 87.10
transunet        78.97 88.25 94.32 96.48 87.60
vqunet           79.13 88.35 94.46 97.09 86.29
transvqunet-2s2h 79.83 88.78 94.58 96.62 88.21
transvqunet-8s2h 79.68 88.69 94.54 96.64 88.01
synergynet-2s2h  79.80 88.77 94.56 96.59 88.26
synergynet-8s2h  80.68 89.31 94.91 97.37 87.28
synergynet-8s8h  80.05 88.92 94.66 96.81 87.98
""",
    ),
    Table(
        number=4,
        dataset="bts",
        note="The text at hand prints no row names; they are Table 3's, in order.",
        columns="iou dsc acc sp se",
        printed="""
r50-unet         63.90 78.00 99.33 99.77 77.22
deeplabv3plus    65.23 78.90 99.60 99.77 77.22
r50-attunet      63.15 77.65 99.21 99.57 76.88
r50-vit          62.13 76.35 99.18 99.44 76.62
transunet        62.36 76.82 99.24 99.62 76.90
vqunet           58.00 73.40 99.11 99.66 72.66
transvqunet-2s2h 60.92 75.72 99.10 99.53 72.24
transvqunet-8s2h 61.22 75.94 99.25 99.73 72.44
synergynet-2s2h  70.64 82.81 99.52 99.66 80.25
synergynet-8s2h  70.94 83.00 99.55 99.86 80.45
synergynet-8s8h  69.88 82.27 99.43 99.76 79.85
""",
    ),
)

PAPER: dict[tuple[str, str], dict[str, float]] = {
    (table.dataset, model): metrics
    for table in TABLES
    for model, metrics in table.rows().items()
}
