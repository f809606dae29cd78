"""The methods of the paper, and what they are built from.

The table of methods costs nothing to import; what needs Keras imports it when it is
first asked for, so that a command line can be checked before that.
"""

import importlib

from synergynet_tf.models.methods import (
    BACKBONES,
    METHODS,
    Method,
    check_method,
    without_unused,
)

_LAZY = {
    "BOTTLENECK": "synergynet_tf.models.segmenter",
    "ENCODERS": "synergynet_tf.models.encoders",
    "build_model": "synergynet_tf.models.segmenter",
    "quantizers": "synergynet_tf.models.segmenter",
}
__all__ = [
    "BACKBONES",
    "BOTTLENECK",
    "ENCODERS",
    "METHODS",
    "Method",
    "build_model",
    "check_method",
    "quantizers",
    "without_unused",
]


def __getattr__(name):
    """Imports the module of a lazy name."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
