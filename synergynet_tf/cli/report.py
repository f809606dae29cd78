"""Writes report.html of runs from their scores, which are made first if missing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from synergynet_tf.cli import evaluate


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the flags of `evaluate`, as `evaluate --report` does."""
    return evaluate.parse_args([*(sys.argv[1:] if argv is None else argv), "--report"])


def main(argv: Sequence[str]) -> None:
    """Does what `evaluate --report` does."""
    evaluate.main([*argv, "--report"])
