"""Errors of the input, as one line: what every command refuses."""

from __future__ import annotations

# Errors of the input, not of the program.
REFUSALS = (OSError, ValueError, KeyError, ImportError, MemoryError)

# TensorFlow's and JAX' words for too little memory, on a GPU too, or disk. They are
# told by their names: neither is imported here.
_EXHAUSTED = ("ResourceExhaustedError", "XlaRuntimeError", "JaxRuntimeError")

# A module that is not installed -> the extra of the package that brings it.
EXTRAS = {
    "SimpleITK": "formats",
    "h5py": "train",
    "jax": "jax",
    "keras": "train",
    "keras_hub": "train",
    "grpc": "train",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "safetensors": "train",
    "tensorboard": "train",
    "tensorflow": "train",
    "tensorflow_serving": "train",
    "tf2onnx": "onnx",
}


def is_refusal(error: BaseException) -> bool:
    """Tells whether an error is of the input or the machine, not of the program."""
    return isinstance(error, REFUSALS) or _is_exhausted(error)


def _is_exhausted(error: BaseException) -> bool:
    name = type(error).__name__
    return name == _EXHAUSTED[0] or (
        name in _EXHAUSTED and str(error).startswith("RESOURCE_EXHAUSTED")
    )


def message(error: Exception) -> str:
    """Returns the error's text, or which extra to install for a missing module."""
    if _is_exhausted(error):
        text = " ".join(str(error).partition("[Op:")[0].split())
        return f"There is not enough memory or disk space. {text[:300]}"
    if isinstance(error, KeyError) and error.args:
        return str(error.args[0])  # `str` of a `KeyError` would add quotes.
    if isinstance(error, MemoryError):
        return f"There is not enough memory. {error}"
    if isinstance(error, ModuleNotFoundError):
        module = str(error.name).partition(".")[0]
        if module in EXTRAS:
            extra = EXTRAS[module]
            return (
                f"this needs {module}, which is not installed: "
                f"pip install 'synergynet-tf[{extra}]'"
            )
    return str(error) or type(error).__name__
