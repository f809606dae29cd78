"""Errors of the input, as one line: what every command refuses."""

from __future__ import annotations

# What is wrong with the input, not with the program.
REFUSALS = (OSError, ValueError, KeyError, ImportError, MemoryError)


def message(error: Exception) -> str:
    """Returns the error's text; `str` of a `KeyError` would add quotes."""
    if isinstance(error, KeyError) and error.args:
        return str(error.args[0])
    if isinstance(error, MemoryError):
        return f"There is not enough memory. {error}"
    return str(error) or type(error).__name__
