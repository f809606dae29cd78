"""Evaluation: prediction, scores, reports, figures, tables and code analysis."""
