"""Figures: overlays, learning curves, and panels of several runs.

    overlays.py  an image beside its prediction (`overlay`, `write_png`), and what all
                 figures share: colors, outlines, legend handles
    curves.py    learning curves: `write_curves` of one run, `draw_validation_curves` of
                 several; `read_columns` gives the numbers behind them
    panels.py    several runs on the same slices (the paper's Figs. 2, 3 and 4):
                 `find_slices`, `predict_views`, `draw_delineations`, `draw_gradcams`
    gradcam.py   Grad-CAM at the bottleneck; only `panels.py` needs it

The command `figures` calls `panels.py` and `draw_validation_curves`; `evaluate.py`
writes a run's overlays and curves. Only `panels.py` and `gradcam.py` import Keras.
"""
