"""Datasets: one reader a file."""
