"""Export of runs: SavedModel, TFLite, and proof that they match; TensorFlow only."""
