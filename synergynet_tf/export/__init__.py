"""Export of runs as SavedModel, TFLite or ONNX, and proof that they match."""
