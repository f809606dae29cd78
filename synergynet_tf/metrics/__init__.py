"""Segmentation metrics of a prediction and its ground truth: NumPy and SciPy."""

from synergynet_tf.metrics.codebook import (
    class_entropy,
    codebook_usage,
    mutual_information,
    purity,
)
from synergynet_tf.metrics.overlap import (
    Counts,
    accuracy,
    dice,
    dice_of_classes,
    iou,
    sensitivity,
    specificity,
)
from synergynet_tf.metrics.protocols import (
    LABEL_GRIDS,
    METRICS,
    NSD_TOLERANCE_MM,
    PROTOCOLS,
    ClassScores,
    Scores,
    average,
    count_case,
    mean_of_classes,
    pool,
    score_case,
)
from synergynet_tf.metrics.surface import hausdorff95_mm, surface_dice

__all__ = [
    "LABEL_GRIDS",
    "METRICS",
    "NSD_TOLERANCE_MM",
    "PROTOCOLS",
    "ClassScores",
    "Counts",
    "Scores",
    "accuracy",
    "average",
    "class_entropy",
    "codebook_usage",
    "count_case",
    "dice",
    "dice_of_classes",
    "hausdorff95_mm",
    "iou",
    "mean_of_classes",
    "mutual_information",
    "pool",
    "purity",
    "score_case",
    "sensitivity",
    "specificity",
    "surface_dice",
]
