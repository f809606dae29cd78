"""Dataset readers, one a file."""
