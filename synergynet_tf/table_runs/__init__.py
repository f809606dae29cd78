"""The tables of the paper as runs: which there are, and training what is missing."""
