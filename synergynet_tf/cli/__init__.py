"""Commands: one module each. Keras is imported after the arguments are checked."""
