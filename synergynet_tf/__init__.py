"""SynergyNet (Gorade et al., WACV 2024) and the paper's baselines, in Keras 3.

Importing the package costs nothing: what is named here is imported when it is used.

Example:
>>> import synergynet_tf
>>> synergynet_tf.ModelConfig("synergynet-8s2h", num_classes=4).num_codes
1024
"""

import importlib

__version__ = "0.1.0"
__all__ = ["METHODS", "ModelConfig", "Run", "__version__", "build_model", "metrics"]

_PLACES = {
    "METHODS": "synergynet_tf.models",
    "ModelConfig": "synergynet_tf.config",
    "Run": "synergynet_tf.runs",
    "build_model": "synergynet_tf.models",
}


def __getattr__(name: str) -> object:
    if name == "metrics":
        return importlib.import_module("synergynet_tf.metrics")
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
