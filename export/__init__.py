"""Trained runs as files that other programs run: doors to the commands."""
