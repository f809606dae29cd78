"""Experiments behind the pages of docs/: each a command that anyone can repeat."""
