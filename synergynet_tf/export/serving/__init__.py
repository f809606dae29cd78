"""A client of TensorFlow Serving."""
