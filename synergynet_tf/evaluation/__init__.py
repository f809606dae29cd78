"""Predicting, scoring, and showing both."""
