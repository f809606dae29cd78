"""The methods of the paper, and what they are built from.

`METHODS` costs nothing to import; `ENCODERS` and `build_model` import Keras when they
are first asked for, so that a command line can be checked before that.
"""

import importlib

from synergynet_tf.models.methods import METHODS, Method

_LAZY = {
    "ENCODERS": "synergynet_tf.models.encoders",
    "build_model": "synergynet_tf.models.segmenter",
}
__all__ = ["ENCODERS", "METHODS", "Method", "build_model"]


def __getattr__(name):
    """Imports the module of a lazy name."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
