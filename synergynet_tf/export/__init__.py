"""Trained runs as files that other programs serve; TensorFlow only."""
