"""Numbers as the report writes them; a dash for what is undefined."""

from __future__ import annotations

from collections.abc import Sequence

from synergynet_tf.evaluation.tables.console import DASH, in_brackets
from synergynet_tf.metrics import METRICS

__all__ = ["DASH", "decimal", "interval", "percent", "scale", "score"]


def scale(metric: str) -> int:
    """Returns what a value is multiplied with to be shown: fractions are percents."""
    return 100 if METRICS[metric].unit == "fraction" else 1


def score(metric: str, value: float | None, sign: str = "") -> str:
    """Writes a fraction as percent and a distance as it is."""
    return decimal(value, f"{sign}.2f", scale(metric))


def percent(share: float | None) -> str:
    """Writes a share as percent."""
    return decimal(share, ".2f", 100)


def decimal(value: float | None, form: str, factor: int = 1) -> str:
    """Writes the multiple of a number.

    Example:
    >>> decimal(0.125, "+.1f", 100), decimal(None, ".2f")
    ('+12.5', '-')
    """
    return DASH if value is None else f"{factor * value:{form}}"


def interval(ends: Sequence[float | None], form: str, factor: int = 1) -> str:
    """Writes the ends of an interval as `decimal` does.

    Example:
    >>> interval((0.25, 0.5), ".1f", 100)
    '[25.0, 50.0]'
    """
    low, high = (None if end is None else factor * end for end in ends)
    return in_brackets((low, high), form)
