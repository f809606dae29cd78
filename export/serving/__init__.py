"""TensorFlow Serving: its configuration, and a client that labels files with it."""
