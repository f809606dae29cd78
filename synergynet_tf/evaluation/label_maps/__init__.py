"""Label maps of any framework, scored against references and compared.

NumPy and SciPy, never Keras.
"""

from synergynet_tf.evaluation.label_maps.cases import (
    MISSING,
    ComparedCase,
    ComparedCases,
    find_cases,
)
from synergynet_tf.evaluation.label_maps.classes import Classes
from synergynet_tf.evaluation.label_maps.comparison import (
    CASES,
    FILE,
    LESION_CASES,
    SUMMARY,
    choose_classes,
    compare_label_maps,
)
from synergynet_tf.evaluation.label_maps.table import format_report

__all__ = [
    "CASES",
    "FILE",
    "LESION_CASES",
    "MISSING",
    "SUMMARY",
    "Classes",
    "ComparedCase",
    "ComparedCases",
    "choose_classes",
    "compare_label_maps",
    "find_cases",
    "format_report",
]
