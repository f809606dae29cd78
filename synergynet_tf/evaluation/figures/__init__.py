"""Figures: overlays, learning curves, Grad-CAM, panels of several runs."""
