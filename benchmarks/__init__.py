"""How fast it is, beside what it has to keep up with."""
