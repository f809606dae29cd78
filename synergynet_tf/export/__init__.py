"""Export of runs: SavedModel, TFLite, ONNX, a page for browsers; proof of parity."""
