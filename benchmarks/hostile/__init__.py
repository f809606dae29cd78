"""Mutated files, fed to every reader of the project."""
