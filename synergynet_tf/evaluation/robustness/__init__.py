"""Robustness: scores of runs on corrupted images."""
