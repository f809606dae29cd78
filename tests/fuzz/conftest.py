"""Hypothesis profiles of the fuzzing tests: `quick` is the default, `deep` a flag.

pytest tests/fuzz -m "slow or not slow" --hypothesis-profile=deep
"""

from hypothesis import HealthCheck, settings

# A file is written, and read by another process: neither has a fixed time.
settings.register_profile(
    "quick",
    max_examples=6,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
settings.register_profile(
    "deep",
    settings.get_profile("quick"),
    max_examples=300,
    derandomize=False,
    print_blob=True,
)
settings.load_profile("quick")
